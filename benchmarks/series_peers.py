"""Time-series stores side by side: ours in this process, and InfluxDB 1.6 and VictoriaMetrics of Debian as real servers on loopback.

All get the same samples and the same questions. Ours is asked in this process, as pages and reports of the server ask it; a peer's time holds a
round trip over loopback, well below a ms. Peers are asked over HTTP by line protocol in and InfluxQL or MetricsQL out; they are sent the value
alone, where ours also keeps quality, time of arrival and reason, and their answers are counted but not decoded, so that both differences favour them.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import duckdb
import httpx

from benchmarks.figures import PATIENCE_S, took_ms
from benchmarks.series_data import HIGH, HOUR, LOW, Plan, pieces
from server.series.batch import Batch
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS

LINES = 20_000
ROWS = 250_000
SENDERS = 2
_INFLUX = """
reporting-enabled = false
bind-address = "127.0.0.1:{backup}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  cache-snapshot-write-cold-duration = "2s"
  compact-full-write-cold-duration = "5s"
  max-values-per-tag = 0
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-row-limit = 0
"""


class Peer(Protocol):
    """A store that can be measured. Instants in ms; every question returns how many values came back."""

    name: str

    def take(self, batch: Batch) -> float:
        """Write a day; ms that it took, without preparing the texts."""

    def settle(self) -> float:
        """Bring everything to rest; ms."""

    def size(self) -> int:
        """Bytes on the disk."""

    def raw(self, points: Sequence[int], since: int, until: int) -> int:
        """All samples."""

    def hourly(self, points: Sequence[int], since: int, until: int) -> int:
        """Lowest, mean and highest of each hour."""

    def shares(self, since: int, until: int) -> int:
        """For every point and day, the share inside the band."""

    def newest(self, now: int) -> int:
        """The last value of every point."""

    def close(self) -> None:
        """Stop it."""


class Ours:
    """The embedded store; its band shares are weighted by time, those of the peers count samples."""

    name = "ArchiveWatch"

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.store, self._plan = EmbeddedStore(folder / "ours", memory_limit="2GB"), plan
        self.store.set_limits(plan.limits())

    def take(self, batch: Batch) -> float:
        return sum(took_ms(partial(self.store.write, piece)) for piece in pieces(batch, ROWS))

    def settle(self) -> float:
        return took_ms(lambda: self.store.compact(self._plan.end + 40 * DAY_MS))  # when the last month is merged as well

    def size(self) -> int:
        return self.store.stats().bytes + sum(file.bytes for file in self.store.rollup_files())

    def raw(self, points: Sequence[int], since: int, until: int) -> int:
        return len(self.store.samples(points, since, until))

    def hourly(self, points: Sequence[int], since: int, until: int) -> int:
        return len(self.store.figures(self._plan.limits(list(points)), since, until, HOUR))

    def shares(self, since: int, until: int) -> int:
        return len(self.store.figures(self._plan.limits(), since, until, DAY_MS))

    def newest(self, now: int) -> int:
        return len(self.store.last(range(1, self._plan.points + 1), now - DAY_MS))

    def close(self) -> None:
        self.store.close()


class _Served:
    """A server process of its own in a folder, and HTTP to it. Raises FileNotFoundError when the program is not installed."""

    def __init__(self, folder: Path, program: str, arguments: Callable[[Path, int], list[str]]) -> None:
        found = shutil.which(program)
        if found is None:
            raise FileNotFoundError(f"{program} is not installed")
        self.program, self.folder = program, folder / program
        self.folder.mkdir()
        port = _free_port()
        self.process = subprocess.Popen([found, *arguments(self.folder, port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False)
        self._wait()

    def take(self, batch: Batch) -> float:
        bodies = [*_lines(batch)]
        with ThreadPoolExecutor(SENDERS) as senders:
            return took_ms(lambda: [*senders.map(self._send, bodies)])

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(60)

    def _send(self, body: str) -> None:
        self.http.post("/write", params={"db": "bench", "precision": "ms"}, content=body).raise_for_status()

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                self.http.get("/ping").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"{self.program} does not answer")

    def _at_rest(self, pause_s: float, patience_s: float = 180) -> None:
        """Wait until the files have not changed for a while: these servers merge on their own."""
        until, before = time.monotonic() + patience_s, -1
        while time.monotonic() < until and (now := self.size()) != before:
            before = now
            time.sleep(pause_s)


class Influx(_Served):
    """InfluxDB 1.6."""

    name = "InfluxDB 1.6"

    def __init__(self, folder: Path, _plan: Plan) -> None:
        super().__init__(folder, "influxd", _influx_arguments)
        self.http.post("/query", data={"q": "CREATE DATABASE bench"}).raise_for_status()

    def settle(self) -> float:
        return took_ms(lambda: self._at_rest(8))

    def raw(self, points: Sequence[int], since: int, until: int) -> int:
        return self._count(f"SELECT v FROM sample WHERE {_either(points)} AND {_between(since, until)} GROUP BY point")

    def hourly(self, points: Sequence[int], since: int, until: int) -> int:
        span = _between(since, until)
        return self._count(f"SELECT min(v), mean(v), max(v) FROM sample WHERE {_either(points)} AND {span} GROUP BY point, time(1h)")

    def shares(self, since: int, until: int) -> int:
        inside = f"v >= {LOW} AND v <= {HIGH} AND {_between(since, until)}"
        return self._count(f"SELECT count(v) FROM sample WHERE {inside} GROUP BY point, time(1d) TZ('Asia/Shanghai')")

    def newest(self, now: int) -> int:
        return self._count(f"SELECT last(v) FROM sample WHERE time >= {now - DAY_MS}ms GROUP BY point")

    def _count(self, statement: str) -> int:
        answer = self.http.post("/query", data={"db": "bench", "epoch": "ms", "q": statement})
        answer.raise_for_status()
        return answer.text.count("],[") + answer.text.count("[[")


class Victoria(_Served):
    """VictoriaMetrics of Debian; its cache of answers is off, as the others have none."""

    name = "VictoriaMetrics"

    def __init__(self, folder: Path, _plan: Plan) -> None:
        super().__init__(folder, "victoria-metrics", _victoria_arguments)

    def settle(self) -> float:
        def work() -> None:
            for path in ("/internal/force_flush", "/internal/force_merge"):
                self.http.get(path).raise_for_status()
            self._at_rest(3)

        return took_ms(work)

    def raw(self, points: Sequence[int], since: int, until: int) -> int:
        span = {"match[]": _selector(points), "start": since / 1000, "end": (until - 1) / 1000}
        answer = self.http.get("/api/v1/export", params=span)
        answer.raise_for_status()
        return sum(line.partition('"timestamps":[')[2].count(",") + 1 for line in answer.text.splitlines())

    def hourly(self, points: Sequence[int], since: int, until: int) -> int:
        return self._range(f"rollup({_selector(points)}[1h])", since, until, HOUR) // 3

    def shares(self, since: int, until: int) -> int:
        below = f"share_le_over_time(sample_v[1d], {HIGH}) - share_le_over_time(sample_v[1d], {LOW - 0.05})"
        return self._range(below, since, until, DAY_MS)

    def newest(self, now: int) -> int:
        answer = self.http.get("/api/v1/query", params={"query": "last_over_time(sample_v[1d])", "time": now / 1000})
        answer.raise_for_status()
        return answer.text.count('"value":')

    def _range(self, query: str, since: int, until: int, step: int) -> int:
        """A window looks back: the first ends one step after `since`."""
        span = {"query": query, "start": (since + step) / 1000, "end": until / 1000, "step": f"{step // 1000}s", "nocache": 1}
        answer = self.http.get("/api/v1/query_range", params=span)
        answer.raise_for_status()
        return answer.text.count("],[") + answer.text.count("[[")


def _influx_arguments(folder: Path, port: int) -> list[str]:
    config = folder / "influxd.conf"
    config.write_text(_INFLUX.format(folder=folder, port=port, backup=_free_port()))
    return ["-config", str(config)]


def _victoria_arguments(folder: Path, port: int) -> list[str]:
    data = ["-storageDataPath", str(folder / "data"), "-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.disableCache"]
    return [*data, "-httpListenAddr", f"127.0.0.1:{port}", "-search.maxPointsPerTimeseries=100000"]


def _lines(batch: Batch) -> Iterator[str]:
    """Bodies of line protocol."""
    with duckdb.connect() as connection:
        for piece in pieces(batch, LINES):
            connection.register("piece", {"point": piece.point, "value": piece.value, "taken": piece.taken_at})
            query = "SELECT string_agg('sample,point=' || point || ' v=' || value || ' ' || taken, chr(10)) FROM piece"
            yield connection.execute(query).fetchall()[0][0]


def _either(points: Sequence[int]) -> str:
    return "(" + " OR ".join(f"point = '{point}'" for point in points) + ")"


def _between(since: int, until: int) -> str:
    return f"time >= {since}ms AND time < {until}ms"


def _selector(points: Sequence[int]) -> str:
    return f'sample_v{{point=~"{"|".join(str(point) for point in points)}"}}'


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
