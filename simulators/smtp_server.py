"""A mail server for tests and the demo: speaks enough SMTP for smtplib, keeps what it got, refuses whom it was told to refuse."""

import socketserver
import ssl
import sys
import threading
from email import message_from_bytes
from email.message import Message
from email.policy import default
from types import TracebackType
from typing import Any, Self


class _Session(socketserver.StreamRequestHandler):
    """One connection."""

    server: "_Server"

    def handle(self) -> None:
        """Answer commands until QUIT or the end of the line."""
        self._say(220, "simulated mail server")
        while raw := self.rfile.readline():  # by its name: STARTTLS changes it
            word, _, rest = raw.decode("utf-8", "replace").strip().partition(" ")
            if not self._command(word.upper(), rest):
                return

    def _command(self, word: str, rest: str) -> bool:
        if word == "EHLO" and self.server.owner.starttls is not None:
            self._say(250, "STARTTLS", first="simulated mail server")
        elif word == "STARTTLS" and (secret := self.server.owner.starttls) is not None:
            self._say(220, "go on")
            line = secret.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = line.makefile("rb"), line.makefile("wb")
        elif word in ("EHLO", "HELO", "MAIL", "RSET", "NOOP"):
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

    def _say(self, code: int, text: str, *, first: str = "") -> None:
        self.wfile.write((f"{code}-{first}\r\n" if first else "").encode() + f"{code} {text}\r\n".encode())
        self.wfile.flush()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    owner: "MailServer"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not like the certificate hangs up; anything else is told as ever."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class MailServer:
    """The server in threads of this process; `letters` is what it got, `refused` maps an address to the code of its refusal. `tls`: encrypted from
    the first byte; `starttls`: once it is asked for."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> None:
        self.starttls = starttls
        self.letters: list[Message] = []
        self.refused: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Session)
        if tls is not None:  # the handshake in the session's own thread
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
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
