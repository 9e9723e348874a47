"""An HTTP endpoint that keeps what it is posted: stands for a webhook's receiver, a chat service, a siren's relay, an SMS platform."""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Posted:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


class HttpSink:
    """`posted` is what came; `answers` are (status, body) for the next requests, after them `standard`."""

    def __init__(self, standard: tuple[int, Any] | None = None) -> None:
        self.posted: list[Posted] = []
        self.answers: list[tuple[int, Any]] = []
        self.standard = standard or (200, {"errcode": 0, "code": 0})
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._take("POST")

            def do_GET(self) -> None:
                self._take("GET")

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

            def _take(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sink.posted.append(Posted(method, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, answer = sink.answers.pop(0) if sink.answers else sink.standard
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
