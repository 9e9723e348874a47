"""Stores under test: the embedded one, and the Influx one on a real influxd where that is installed."""

import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from server.series.embedded import EmbeddedStore
from server.series.influx import InfluxStore

CONFIG = """
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:0"
  log-enabled = false
"""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the environment names


class Relay(BaseHTTPRequestHandler):
    """Debian has influxd 1.6, which lacks the /api/v2/write of 1.8: this maps it to /write, body and everything else untouched."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for head and body, or each answer waits 40 ms for an acknowledgement

    def do_POST(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/v2/write":
            given = dict(urllib.parse.parse_qsl(query))
            database, _, policy = given["bucket"].partition("/")
            path, query = "/write", urllib.parse.urlencode({"db": database, "rp": policy, "precision": given["precision"]})
        if self.server.failing is not None:
            self.reply(self.server.failing, b'{"message": "switched off by the test"}')
            return
        kept = {name: value for name, value in self.headers.items() if name in ("Content-Type", "Content-Encoding")}
        request = urllib.request.Request(f"{self.server.behind}{path}?{query}", body, kept)
        try:
            with DIRECT.open(request) as answer:
                self.reply(answer.status, answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                self.reply(refusal.code, refusal.read())

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Be quiet."""


@pytest.fixture(scope="session")
def influxd(tmp_path_factory):
    """A real influxd behind the relay; `server.failing = 503` makes it fail."""
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("influxd is not installed (Debian package influxdb)")
    folder = tmp_path_factory.mktemp("influxd")
    (folder / "influxd.conf").write_text(CONFIG.format(folder=folder))
    process = subprocess.Popen([program, "-config", str(folder / "influxd.conf")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    address = next(line.partition("addr=")[2].split()[0] for line in process.stderr if "Listening on HTTP" in line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        server.behind, server.failing = f"http://{address}", None
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
    process.terminate()
    process.wait(10)


@pytest.fixture
def influx_database(influxd, request):
    """A new database on it; gives the address to write to and the name of the bucket."""
    name = "t" + str(abs(hash(request.node.nodeid)))
    httpx.post(f"{influxd.behind}/query", data={"q": f"CREATE DATABASE {name}"}, trust_env=False).raise_for_status()
    return f"http://127.0.0.1:{influxd.server_port}", f"{name}/autogen"


@pytest.fixture(params=["embedded", "influx"])
def store(request, tmp_path: Path):
    """Each kind of store, empty."""
    if request.param == "embedded":
        made = EmbeddedStore(tmp_path / "series")
    else:
        url, bucket = request.getfixturevalue("influx_database")
        made = InfluxStore(url, bucket=bucket)
    yield made
    made.close()


@pytest.fixture
def embedded(tmp_path: Path):
    """An empty embedded store."""
    made = EmbeddedStore(tmp_path / "series")
    yield made
    made.close()
