"""The series store of the Influx family: InfluxDB 1.8, 2.x, 3 and clustered engines that speak line protocol in and InfluxQL out.
VictoriaMetrics takes the writes; it has no InfluxQL, and reading from it raises SeriesError.

Writes go synchronously through influxdb-client, whose batching mode would drop a batch after its last retry without telling anybody. One measurement
`sample`: tag `point`, fields `v` (float, absent when nothing usable was read), `q` (quality code), `recv` (time of arrival), `r` (reason, absent when
empty), time in ms. Differences to the embedded store: a second value under the same point and time overwrites the first (conflicts are not seen), and
`write` therefore returns the rows accepted, whether new or not.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from server.series import Changed, Limits, Row, SeriesError, Stats, fold
from server.series.answers import Answers
from server.series.batch import Batch
from server.series.figures import Figures
from server.series.fold import Samples
from server.series.partition import BUCKETS, bucket_of, day_of

log = logging.getLogger("server.series")

_LINES_AT_ONCE = 5_000
_REFUSALS = 100  # more than this in one request is no bad point but a wrong setting
_BAD_REQUEST = (400, 413, 422)
_EVER = 1 << 62
_MEASUREMENTS = ("sample", "mark")


class InfluxStore(Answers):
    """SeriesStore on the server at `url`; `conflicts` stays 0, see the module.

    `bucket` is a bucket of 2.x and 3, or `database/retention_policy` of 1.8; `token` is a token, or `user:password` of 1.8. Nothing is contacted
    before the first call.
    """

    def __init__(self, url: str, *, bucket: str, token: str = "", org: str = "-", timeout_s: float = 30) -> None:
        self._bucket, self._org = bucket, org
        database, _, policy = bucket.partition("/")
        self._database = {"db": database} | ({"rp": policy} if policy else {})
        self._client = InfluxDBClient(url, token=token, org=org, timeout=int(timeout_s * 1000), enable_gzip=True)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        headers = {"Authorization": f"Token {token}"} if token else {}
        self._queries = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self._refused: deque[tuple[Row, str]] = deque(maxlen=100_000)
        self._set_aside = 0
        self._touched: set[tuple[int, int]] = set()
        self._seen_before = False
        self.conflicts = 0

    def write(self, rows: Sequence[Row] | Batch, mark: int | None = None) -> int:
        """See SeriesStore.write; a row that the server refuses is set aside, every other failure raises SeriesError."""
        listed = rows.rows() if isinstance(rows, Batch) else list(rows)
        refused = 0
        for offset in range(0, len(listed), _LINES_AT_ONCE):
            refused += self._write(listed[offset : offset + _LINES_AT_ONCE])
        if mark is not None and listed:
            self._send([f"mark,reader=history id={mark}i {max(row.received_at for row in listed)}"])
        self._touched |= {(day_of(row.taken_at), bucket_of(row.point_id)) for row in listed}
        return len(listed) - refused

    def mark(self) -> int | None:
        """See SeriesStore.mark."""
        series = self._query("SELECT last(id) FROM mark")
        return int(series[0]["values"][0][1]) if series else None

    def take_refused(self) -> list[tuple[Row, str]]:
        """See SeriesStore.take_refused."""
        return [self._refused.popleft() for _ in range(len(self._refused))]

    def figures(self, points: Mapping[int, Limits], start: int, end: int, step_ms: int | None = None) -> Figures:
        """See SeriesStore.figures; always from the samples, these servers keep no roll-ups of ours."""
        step = max(1, end - start) if step_ms is None else step_ms
        fold.check(points, start, end, step)
        return fold.all_figures(self._samples, points, start, end, step)

    def set_limits(self, limits: Mapping[int, Limits]) -> int:  # noqa: ARG002 - nothing is rolled up here
        """Nothing to note: figures are made with the limits of the question."""
        return 0

    def samples(self, points: Sequence[int], start: int, end: int) -> Batch:
        """See SeriesStore.samples."""
        return Batch.of(self.raw(points, start, end))

    def extent(self) -> tuple[int, int] | None:
        """See SeriesStore.extent."""
        ends = [self._query(statement) for statement in ("SELECT first(q) FROM sample", "SELECT last(q) FROM sample")]
        return (int(ends[0][0]["values"][0][0]), int(ends[1][0]["values"][0][0])) if all(ends) else None

    def raw(self, points: Sequence[int], start: int, end: int, limit: int | None = None) -> list[Row]:
        """See SeriesStore.raw."""
        found: list[Row] = []
        for point in sorted(set(points)):
            room = "" if limit is None else f" LIMIT {limit - len(found)}"
            if limit is not None and len(found) >= limit:
                break
            found += self._rows([point], start, end - 1, room)
        return found

    def last(self, points: Sequence[int], since: int = 0) -> dict[int, Row]:
        """See SeriesStore.last."""
        newest = self._rows(points, since, _EVER, " ORDER BY time DESC LIMIT 1") if points else []
        return {row.point_id: row for row in newest}

    def count(self) -> int:
        """See SeriesStore.count."""
        series = self._query("SELECT count(q) FROM sample")
        return int(series[0]["values"][0][1]) if series else 0

    def stats(self) -> Stats:
        """See SeriesStore.stats; only `rows` and `set_aside` are known here."""
        return Stats(self.count(), 0, 0, 0, 0, self._set_aside)

    def flush(self, now: int) -> None:
        """Nothing waits in this store."""

    def compact(self, now: int) -> int:  # noqa: ARG002 - the server compacts by itself
        """Nothing to do: the server compacts by itself."""
        return 0

    def changed(self, before: int) -> Changed:
        """See SeriesStore.changed. The server does not tell what came when: first the last eight days are named, later what was written."""
        last = day_of(before) - 1
        if not self._seen_before:
            self._touched |= {(day, bucket) for day in range(last - 7, last + 1) for bucket in range(BUCKETS)}
            self._seen_before = True
        return Changed(sorted(key for key in self._touched if key[0] <= last), 0)

    def settled(self, keys: Sequence[tuple[int, int]], upto: int) -> None:  # noqa: ARG002 - nothing is numbered here
        """See SeriesStore.settled."""
        self._touched -= set(keys)

    def kept_from(self) -> int:
        """Not known here: the server deletes by its own retention policy."""
        return 0

    def expire(self, before: int) -> int:  # noqa: ARG002
        """Nothing: set the retention of the database or bucket on the server."""
        return 0

    def close(self) -> None:
        """See SeriesStore.close."""
        self._writer.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]
        self._queries.close()

    def _write(self, rows: list[Row]) -> int:
        lines = [_line(row) for row in rows]
        refused = [*self._refusals(lines, 0)]
        for index, reason in refused:
            log.error("the series store refuses %s: %s", lines[index], reason)
            self._refused.append((rows[index], reason))
        self._set_aside += len(refused)
        return len(refused)

    def _refusals(self, lines: list[str], offset: int) -> Iterator[tuple[int, str]]:
        """Write lines and halve what is refused until only bad ones are left; what was accepted may be written twice, which changes nothing."""
        pending = [(offset, lines)]
        found = 0
        while pending:
            first, some = pending.pop()
            reason = self._send(some)
            if reason is not None and len(some) > 1:
                half = len(some) // 2
                pending += [(first, some[:half]), (first + half, some[half:])]
            elif reason is not None:
                found += 1
                if found > _REFUSALS:
                    raise SeriesError(f"the series store refuses more than {_REFUSALS} samples at once: {reason}")
                yield first, reason

    def _send(self, lines: list[str]) -> str | None:
        """None when the server has stored the lines, else its reason for refusing them. Raises SeriesError when it has not answered in earnest."""
        try:
            self._writer.write(self._bucket, self._org, "\n".join(lines), write_precision=WritePrecision.MS)  # type: ignore[arg-type]
        except ApiException as refusal:
            if refusal.status in _BAD_REQUEST:
                return str(refusal.message or refusal.body or refusal.reason)
            raise SeriesError(f"the series store answered {refusal.status}: {refusal.reason}") from refusal
        except (HTTPError, OSError) as failure:
            raise SeriesError(f"the series store cannot be reached: {failure}") from failure
        return None

    def _query(self, statement: str) -> list[dict[str, Any]]:
        try:
            answer = self._queries.post("/query", data=self._database | {"epoch": "ms", "q": statement})
            answer.raise_for_status()
            result = answer.json()["results"][0]
        except (httpx.HTTPError, ValueError, LookupError) as failure:
            raise SeriesError(f"the series store does not answer a query: {failure}") from failure
        series: list[dict[str, Any]] = result.get("series", [])
        if "error" in result or result.get("partial") or any(each.get("partial") for each in series):
            raise SeriesError(f"the series store answered a query only in part: {result.get('error', 'row limit')}")
        if any(each.get("name") not in _MEASUREMENTS for each in series):
            raise SeriesError("the series store does not answer a query: it takes line protocol but has no InfluxQL, so nothing can be read here")
        return series

    def _select(self, fields: str, points: Sequence[int], first: int, last: int, tail: str = "") -> list[dict[str, Any]]:
        chosen = " OR ".join(f"point = '{int(point)}'" for point in sorted(set(points)))
        until = "" if last >= _EVER else f" AND time <= {int(last)}ms"
        return self._query(f"SELECT {fields} FROM sample WHERE ({chosen}) AND time >= {int(first)}ms{until} GROUP BY point{tail}")  # noqa: S608

    def _samples(self, points: list[int], first: int, last: int) -> Samples:
        """Samples of [first, last], sorted by point and time."""
        series = sorted(self._select("v, q", points, first, last), key=lambda each: int(each["tags"]["point"]))
        rows = [(int(each["tags"]["point"]), *row) for each in series for row in each["values"]]
        point, taken, value, quality = zip(*rows, strict=True) if rows else ((), (), (), ())
        values = np.array(value, dtype=np.float64)  # null becomes NaN
        return Samples(np.array(point, dtype=np.int64), np.array(taken, dtype=np.int64), values, np.array(quality, dtype=np.uint8))

    def _rows(self, points: Sequence[int], first: int, last: int, tail: str) -> list[Row]:
        series = sorted(self._select("v, q, recv, r", points, first, last, tail), key=lambda each: int(each["tags"]["point"]))
        found = ((int(each["tags"]["point"]), row) for each in series for row in each["values"])
        return [
            Row(point, taken, None if value is None else float(value), quality, received, reason or "")
            for point, (taken, value, quality, received, reason) in found
        ]


def _line(row: Row) -> str:
    value = "" if row.value is None else f"v={float(row.value)!r},"
    reason = row.reason.replace("\\", "\\\\").replace('"', '\\"')
    said = f',r="{reason}"' if reason else ""
    return f"sample,point={row.point_id} {value}q={row.quality}i,recv={row.received_at}i{said} {row.taken_at}"
