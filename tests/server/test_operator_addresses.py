"""Addresses of store, broker and database are the operator's: no route takes one, and what answers there cannot send us elsewhere."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi import FastAPI

from server.ingest.mqtt import Connection, Transport
from server.series import SeriesError
from server.series.influx import InfluxStore
from server.web import site
from tests.series.some_rows import month_of

ADDRESS = re.compile(r"(^|_)(url|uri|host|hostname|broker|dsn|endpoint|database|influx|ldap|port)($|_)", re.IGNORECASE)


@contextmanager
def answering(status: int, location: str = "") -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that gives everybody this answer: its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append(f"{self.command} {self.path} {self.headers.get('authorization', '')}")
            self.send_response(status)
            if location:
                self.send_header("Location", f"{location}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = handle_any  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_series_store_cannot_send_us_elsewhere_with_its_token(status: int) -> None:
    with answering(200) as (inner, reached), answering(status, inner) as (url, asked):
        store = InfluxStore(url, bucket="aw", token="secret-of-the-store")
        with pytest.raises(SeriesError):
            store.write(month_of([1, 2]))
        with pytest.raises(SeriesError):
            store.mark()
        store.close()
    assert len(asked) >= 2, "both ways were tried"
    assert reached == []


def test_a_broker_cannot_send_us_elsewhere_because_our_protocol_knows_no_reference() -> None:
    """MQTT 5 lets a broker name another server; 3.1.1, which the line speaks, has no such thing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        to = Connection(host="127.0.0.1", port=listening.getsockname()[1], host_id="aw", groups=("350100",))
        line = Transport(to, clock=lambda: 1_790_000_000_000, refused=lambda _: None)
        line.start()
        try:
            listening.settimeout(60)
            with listening.accept()[0] as asking:
                asking.settimeout(60)
                said = asking.recv(64)
        finally:
            line.stop()
    assert said[:1] == b"\x10"
    assert b"\x00\x04MQTT\x04" in said, "level 4 is MQTT 3.1.1"


def test_no_route_takes_an_address_of_a_store_a_broker_or_a_database() -> None:
    app = FastAPI()
    app.router.routes.extend(site.routes())
    document = app.openapi()
    bodies = {
        ref
        for path in document["paths"].values()
        for operation in path.values()
        for ref in re.findall(r"schemas/(\w+)", str(operation.get("requestBody")))
    }
    names = {name for body in bodies for name in document["components"]["schemas"][body].get("properties", {})}
    names |= {part["name"] for path in document["paths"].values() for operation in path.values() for part in operation.get("parameters", ())}
    assert len(names) > 80
    assert {name for name in names if ADDRESS.search(name)} == set()
