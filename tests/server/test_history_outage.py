"""The history loop while its store is down: nothing moves, nothing is lost, and the log says so once."""

import threading
import urllib.parse
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server.history import READER, History
from server.series import SeriesError
from server.series.influx import InfluxStore
from server.store import journal
from server.store.journal import JournalRow

T0 = 1_790_000_000_000


def fill(db, *numbers):
    with db.write() as session:
        for number in numbers:
            taken = T0 + number * 1000
            journal.append(session, [JournalRow(point, taken, 20.0 + number, 2, False, taken + 1000) for point in (1, 2, 40)], taken)


def cursor(db):
    with db.read() as session:
        return journal.cursor_of(session, READER)


class SmallInflux(BaseHTTPRequestHandler):
    """As much of an Influx server as the loop needs: takes lines, or answers 503 while `server.down`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.down:
            self.server.refused.release()
            self.reply(503, b'{"message": "down"}')
        elif self.path.startswith("/query"):
            assert urllib.parse.parse_qs(body.decode())["q"] == ["SELECT last(id) FROM mark"]
            self.reply(200, b'{"results": [{"statement_id": 0}]}')
        else:
            self.server.lines += zlib.decompress(body, 31).decode().splitlines()
            self.reply(204, b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Be quiet."""


@pytest.fixture
def small_influx():
    with ThreadingHTTPServer(("127.0.0.1", 0), SmallInflux) as server:
        server.lines, server.down, server.refused = [], False, threading.Semaphore(0)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_dead_store_moves_nothing_and_loses_nothing(db, small_influx):
    remote = InfluxStore(f"http://127.0.0.1:{small_influx.server_port}", bucket="aw")
    history = History(db, remote)
    fill(db, 0, 1)
    small_influx.down = True
    for _ in range(3):
        with pytest.raises(SeriesError):
            history.run_once(T0)
    assert cursor(db) == 0
    assert (history.counters.rows, history.counters.failures) == (0, 3)
    small_influx.down = False
    assert history.run_once(T0) == 6
    assert len([line for line in small_influx.lines if line.startswith("sample,")]) == 6
    remote.close()


def test_the_thread_survives_an_outage_and_says_so_once(db, small_influx, caplog):
    caplog.set_level("INFO")
    remote = InfluxStore(f"http://127.0.0.1:{small_influx.server_port}", bucket="aw")
    history = History(db, remote)
    stop = threading.Event()
    small_influx.down = True
    thread = threading.Thread(target=history.run, args=(stop, lambda: T0, 0.001))
    thread.start()
    fill(db, 0, 1)
    for _ in range(3):
        assert small_influx.refused.acquire(timeout=30)
    small_influx.down = False
    while history.counters.rows < 6:
        stop.wait(0.005)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert caplog.text.count("history stands still") == 1
    assert caplog.text.count("history runs again after") == 1
    remote.close()
