"""Which series store: a literal table, imported on use, so that nobody needs the libraries of the other."""

from pathlib import Path

from server.series import SeriesStore


def open_store(kind: str, folder: Path, *, url: str = "", bucket: str = "", org: str = "", token: str = "") -> SeriesStore:
    """Open the store of a kind, `embedded` in `folder` or `influx` at `url`. Raises ValueError for another kind."""
    if kind == "embedded":
        from server.series.embedded import EmbeddedStore  # noqa: PLC0415

        return EmbeddedStore(folder)
    if kind == "influx":
        from server.series.influx import InfluxStore  # noqa: PLC0415

        return InfluxStore(url, bucket=bucket, token=token, org=org)
    raise ValueError(f"there is no series store {kind!r}")
