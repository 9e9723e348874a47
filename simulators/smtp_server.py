"""A mail server for tests and the demo: speaks enough SMTP for smtplib, keeps what it got, refuses whom it was told to refuse."""

import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from email.policy import default
from types import TracebackType
from typing import Self


class _Session(socketserver.StreamRequestHandler):
    """One connection."""

    server: "_Server"

    def handle(self) -> None:
        """Answer commands until QUIT or the end of the line."""
        self._say(220, "simulated mail server")
        for raw in iter(self.rfile.readline, b""):
            word, _, rest = raw.decode("utf-8", "replace").strip().partition(" ")
            if not self._command(word.upper(), rest):
                return

    def _command(self, word: str, rest: str) -> bool:
        if word in ("EHLO", "HELO", "MAIL", "RSET", "NOOP"):
            self._say(250, "ok")
        elif word == "RCPT":
            address = rest.partition("<")[2].partition(">")[0]
            code = self.server.owner.refused.get(address, 250)
            self._say(code, "ok" if code == 250 else "no such mailbox")
        elif word == "DATA":
            self._say(354, "go on")
            self.server.owner.keep(self._letter())
            self._say(250, "kept")
        elif word == "QUIT":
            self._say(221, "bye")
            return False
        else:
            self._say(502, "not here")
        return True

    def _letter(self) -> bytes:
        lines = []
        for line in iter(self.rfile.readline, b".\r\n"):
            if not line:
                break
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, code: int, text: str) -> None:
        self.wfile.write(f"{code} {text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    owner: "MailServer"


class MailServer:
    """The server in threads of this process; `letters` is what it got, `refused` maps an address to the code of its refusal."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.letters: list[Message] = []
        self.refused: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Session)
        self._server.owner = self
        self.host, self.port = self._server.server_address[:2]

    def keep(self, raw: bytes) -> None:
        """File a letter."""
        with self._lock:
            self.letters.append(message_from_bytes(raw, policy=default))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
