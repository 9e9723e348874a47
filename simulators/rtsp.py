"""The same cameras over RTSP: pictures as RTP/JPEG (RFC 2435) inside the TCP connection (RFC 2326, 10.12), without a video encoder.

`rtsp://host:port/<name>`; login as the camera has it (basic, or digest of RFC 2069 as cameras still do it). The camera's faults show in its stream:
a spoilt picture is sent as such, `frozen` repeats one frame, `error` refuses the stream, `truncated` hangs up at once, `slow` sends nothing.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import urlsplit

_PAYLOAD: Final = 1_400  # bytes of a picture in one packet
_CLOCK_HZ: Final = 90_000
_JPEG: Final = 26  # RTP payload type
_REALM: Final = "IP Camera"
_FIELD: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Login:
    """Who may look: `auth` is none, basic or digest."""

    auth: str
    user: str
    password: str


class Source(Protocol):
    """Where the pictures come from."""

    def login(self, name: str) -> Login | None:
        """Of a camera; None when there is no such camera."""

    def fault(self, name: str) -> str:
        """The fault that is on, or ""."""

    def frame(self, name: str) -> Awaitable[bytes]:
        """The next picture as a baseline JPEG."""


@dataclass(slots=True, eq=False)
class _Talk:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    name: str = ""
    playing: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    url: str
    headers: Mapping[str, str]


class RtspServer:
    """Streams of all cameras on one port, `fps` pictures a second."""

    def __init__(self, source: Source, host: str = "127.0.0.1", port: int = 0, fps: float = 5) -> None:
        self._source, self._host, self.port, self._fps = source, host, port, fps
        self._server: asyncio.Server | None = None
        self._talks: set[_Talk] = set()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accepted, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is None:
            return
        self._server.close()
        ends = [asyncio.create_task(talk.ended.wait()) for talk in self._talks]
        for talk in tuple(self._talks):
            talk.writer.transport.abort()
        await asyncio.gather(*ends)
        await self._server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = _Talk(reader, writer)
        self._talks.add(talk)
        try:
            while (asked := await _request(reader)) is not None and await self._answered(talk, asked):
                continue
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the viewer is gone; there is nobody left to tell
        finally:
            self._talks.discard(talk)
            if talk.playing is not None:
                talk.playing.cancel()
            writer.close()
            talk.ended.set()

    async def _answered(self, talk: _Talk, asked: _Asked) -> bool:
        """Answer one request; False to hang up."""
        name = urlsplit(asked.url).path.strip("/").partition("/")[0]
        login = self._source.login(name)
        if asked.method == "OPTIONS":
            _say(talk, asked, "200 OK", {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"})
        elif login is None:
            _say(talk, asked, "404 Not Found")
        elif not _allowed(login, asked, talk.nonce):
            challenge = f'Basic realm="{_REALM}"' if login.auth == "basic" else f'Digest realm="{_REALM}", nonce="{talk.nonce}"'
            _say(talk, asked, "401 Unauthorized", {"WWW-Authenticate": challenge})
        elif self._source.fault(name) == "error":
            _say(talk, asked, "500 Internal Server Error")
        elif asked.method == "DESCRIBE":
            _say(talk, asked, "200 OK", {"Content-Type": "application/sdp", "Content-Base": asked.url.rstrip("/") + "/"}, _SDP)
        elif asked.method == "SETUP":
            _say(talk, asked, "200 OK", {"Session": "1", "Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"})
        elif asked.method == "PLAY":
            _say(talk, asked, "200 OK", {"Session": "1"})
            talk.name = name
            talk.playing = asyncio.create_task(self._play(talk))
        else:
            _say(talk, asked, "200 OK", {"Session": "1"})
            return asked.method != "TEARDOWN"
        await talk.writer.drain()
        return True

    async def _play(self, talk: _Talk) -> None:
        sequence = 0
        with contextlib.suppress(ConnectionError):
            for number in range(1 << 30):
                fault = self._source.fault(talk.name)
                if fault == "truncated":
                    talk.writer.close()
                    return
                if fault != "slow":
                    stamp = int(number / self._fps * _CLOCK_HZ) & 0xFFFFFFFF
                    for packet in packets(await self._source.frame(talk.name), sequence, stamp):
                        talk.writer.write(b"$\0" + struct.pack("!H", len(packet)) + packet)
                        sequence = sequence + 1 & 0xFFFF
                    await talk.writer.drain()
                await asyncio.sleep(1 / self._fps)


_SDP: Final = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP {_JPEG}\r\na=control:track1\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> _Asked | None:
    """The next request; None at the end. What the viewer reports about its reception is passed over."""
    while (first := await reader.read(1)) == b"$":
        await reader.readexactly(struct.unpack("!BH", await reader.readexactly(3))[1])
    if not first:
        return None
    lines = (first + await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "replace").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return _Asked(method, rest.partition(" ")[0], headers)


def _say(talk: _Talk, asked: _Asked, status: str, headers: Mapping[str, str] = MappingProxyType({}), body: bytes = b"") -> None:
    whole = {"CSeq": asked.headers.get("cseq", "0"), "Content-Length": str(len(body)), **headers}
    lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in whole.items()), "", ""]
    talk.writer.write("\r\n".join(lines).encode() + body)


def _allowed(login: Login, asked: _Asked, nonce: str) -> bool:
    scheme, _, rest = asked.headers.get("authorization", "").partition(" ")
    if login.auth == "none":
        return True
    if scheme.lower() != login.auth:
        return False
    if login.auth == "basic":
        return hmac.compare_digest(rest, base64.b64encode(f"{login.user}:{login.password}".encode()).decode())
    given = dict(_FIELD.findall(rest))
    secret, target = _md5(f"{login.user}:{_REALM}:{login.password}"), _md5(f"{asked.method}:{given.get('uri', '')}")
    return given.get("nonce") == nonce and hmac.compare_digest(_md5(f"{secret}:{nonce}:{target}"), given.get("response", ""))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def packets(picture: bytes, sequence: int, stamp: int) -> Iterator[bytes]:
    """A baseline JPEG with the standard Huffman tables as RTP packets; `sequence` is that of the first, `stamp` counts 90 kHz."""
    kind, width, height, tables, scan = _taken_apart(picture)
    for offset in range(0, len(scan), _PAYLOAD):
        piece = scan[offset : offset + _PAYLOAD]
        last = offset + _PAYLOAD >= len(scan)
        rtp = struct.pack("!BBHII", 0x80, _JPEG | (0x80 if last else 0), sequence, stamp, 1)
        head = struct.pack("!IBBBB", offset, kind, 255, width // 8, height // 8)
        quantisation = struct.pack("!BBH", 0, 0, len(tables)) + tables if offset == 0 else b""
        yield rtp + head + quantisation + piece
        sequence = sequence + 1 & 0xFFFF


def _taken_apart(picture: bytes) -> tuple[int, int, int, bytes, bytes]:
    """RFC 2435 type (0 for 4:2:2, 1 for 4:2:0), width, height, quantisation tables, and the scan without its end marker."""
    tables, kind, width, height, at = b"", 1, 0, 0, 2
    while True:
        marker, length = struct.unpack("!HH", picture[at : at + 4])
        body = picture[at + 4 : at + 2 + length]
        if marker == 0xFFDB:
            tables += b"".join(body[start + 1 : start + 65] for start in range(0, len(body), 65))
        elif marker == 0xFFC0:
            height, width = struct.unpack("!HH", body[1:5])
            kind = 1 if body[7] == 0x22 else 0
        at += 2 + length
        if marker == 0xFFDA:
            return kind, width, height, tables, picture[at:-2]
