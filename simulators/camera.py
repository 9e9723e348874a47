"""HTTP cameras over the rooms of a plant: single JPEG pictures, basic or digest login, and the ways cameras fail.

Paths: `/<name>/snapshot.jpg` of each camera, `/snapshot.jpg` of the first, Hikvision's `/ISAPI/Streaming/channels/<n>01/picture` and Dahua's
`/cgi-bin/snapshot.cgi?channel=<n>` of the n-th. Their event streams and ONVIF are in simulators/camera_talk.py, RTSP in simulators/rtsp.py.
Digest is RFC 7616 with MD5 and qop=auth, as in the cameras on the market.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from simulators.camera_talk import Talk
from simulators.faults import FaultError
from simulators.picture import View, jpeg
from simulators.plant import Plant
from simulators.rtsp import Login
from simulators.weather import LOCAL

CAMERA_FAULTS = ("black", "white", "covered", "blurred", "moved", "frozen", "error", "truncated", "slow", "wrong_type")
_SPOILT = CAMERA_FAULTS[:5]  # these change the picture itself
_REALM = "IP Camera"
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera: `auth` is none, basic or digest; `fault` one of CAMERA_FAULTS to begin with, or empty."""

    name: str
    room: str
    auth: str = "none"
    user: str = "viewer"
    password: str = ""
    fault: str = ""


class Cameras:
    """All cameras behind one port; `app` is the ASGI application. Raises FaultError for an unknown fault, ValueError for a twice used name."""

    def __init__(self, specs: Sequence[CameraSpec], plant: Plant, clock: Callable[[], int], heartbeat_s: float = 5.0) -> None:
        self._specs = {s.name: s for s in specs}
        if len(self._specs) != len(specs):
            raise ValueError("two cameras have one name")
        self._plant, self._clock = plant, clock
        self._nonce = secrets.token_hex(16)
        self._faults: dict[str, str] = {}
        self._frozen: dict[str, bytes] = {}
        self._frame = 0
        for spec in specs:
            plant.value(spec.room, "door")  # an unknown room fails here, not at the first picture
            self.set_fault(spec.name, spec.fault or None)
        self.app = FastAPI(telemetry={"auto_configure": False}, openapi_url=None, docs_url=None, redoc_url=None)
        self.app.add_api_route("/{name}/snapshot.jpg", self._by_name)
        self.app.add_api_route("/snapshot.jpg", self._first)
        self.app.add_api_route("/ISAPI/Streaming/channels/{channel}/picture", self._by_channel)
        self.app.add_api_route("/cgi-bin/snapshot.cgi", self._by_number)
        first = next(iter(specs), None)
        login = None if first is None or first.auth == "none" else (first.user, first.password)
        self.talk = Talk(self.app, self.names, self._refusal, login, heartbeat_s)

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in order; the n-th is ISAPI channel n."""
        return tuple(self._specs)

    @property
    def faults(self) -> dict[str, str]:
        """The faults that are on, by camera."""
        return dict(self._faults)

    def set_fault(self, name: str, kind: str | None) -> None:
        """Switch a fault on, or off with None. Raises FaultError for an unknown camera or kind."""
        if name not in self._specs or (kind is not None and kind not in CAMERA_FAULTS):
            raise FaultError(f"no camera {name!r} or no fault {kind!r}; known: {', '.join(CAMERA_FAULTS)}")
        self._frozen.pop(name, None)
        if kind is None:
            self._faults.pop(name, None)
        else:
            self._faults[name] = kind

    # What simulators.rtsp streams from.

    def login(self, name: str) -> Login | None:
        """Who may look through a camera; None when there is no such camera."""
        spec = self._specs.get(name)
        return None if spec is None else Login(spec.auth, spec.user, spec.password)

    def fault(self, name: str) -> str:
        """The fault that is on, or ""."""
        return self._faults.get(name, "")

    async def frame(self, name: str) -> bytes:
        """The next picture of a camera. Raises KeyError."""
        return await self._picture(self._specs[name], self.fault(name))

    async def _by_name(self, name: str, request: Request) -> Response:
        return await self._answer(self._specs.get(name), request)

    async def _first(self, request: Request) -> Response:
        return await self._answer(next(iter(self._specs.values()), None), request)

    async def _by_channel(self, channel: str, request: Request) -> Response:
        position = int(channel[:-2] or 0) - 1 if channel.isdigit() and channel.endswith("01") else -1
        specs = list(self._specs.values())
        return await self._answer(specs[position] if 0 <= position < len(specs) else None, request)

    async def _by_number(self, request: Request, channel: int = 1) -> Response:
        specs = list(self._specs.values())
        return await self._answer(specs[channel - 1] if 0 < channel <= len(specs) else None, request)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to somebody who may not follow the events; the login is that of the first camera."""
        spec = next(iter(self._specs.values()), None)
        if spec is None or self._allowed(spec, request):
            return None
        return Response("login\n", status_code=401, headers={"WWW-Authenticate": self._challenge(spec)})

    async def _answer(self, spec: CameraSpec | None, request: Request) -> Response:
        if spec is None:
            return Response("no such camera\n", status_code=404)
        if not self._allowed(spec, request):
            return Response("login\n", status_code=401, headers={"WWW-Authenticate": self._challenge(spec)})
        fault = self._faults.get(spec.name, "")
        if fault == "error":
            return Response("internal error\n", status_code=500)
        if fault == "wrong_type":
            return Response("<html>login page</html>", media_type="text/html")
        body = await self._picture(spec, fault)
        if fault == "slow":
            return StreamingResponse(_drip(body), media_type="image/jpeg", headers={"Content-Length": str(len(body))})
        return Response(body[: len(body) // 2] if fault == "truncated" else body, media_type="image/jpeg")

    async def _picture(self, spec: CameraSpec, fault: str) -> bytes:
        if spec.name in self._frozen:
            return self._frozen[spec.name]
        view = self.view(spec, fault)
        body = await asyncio.to_thread(jpeg, view)
        if fault == "frozen":
            self._frozen[spec.name] = body
        return body

    def view(self, spec: CameraSpec, fault: str = "") -> View:
        """What a camera sees now; every call is a new frame."""
        self._frame += 1
        room, value = spec.room, self._plant.value
        spoilt: dict[str, Any] = {fault: True} if fault in _SPOILT else {}
        seen = View(
            scene=room,
            clock=datetime.fromtimestamp(self._clock() / 1000, LOCAL).strftime("%Y-%m-%d %H:%M:%S"),
            door_open=value(room, "door") >= 0.5,
            light=value(room, "illuminance") > 20,
            person=value(room, "motion") >= 0.5,
            smoke=value(room, "smoke_density"),
            leak=value(room, "leak") >= 0.5,
            frame=self._frame,
        )
        return replace(seen, **spoilt)

    def _challenge(self, spec: CameraSpec) -> str:
        if spec.auth == "basic":
            return f'Basic realm="{_REALM}"'
        return f'Digest realm="{_REALM}", qop="auth", algorithm=MD5, nonce="{self._nonce}"'

    def _allowed(self, spec: CameraSpec, request: Request) -> bool:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if spec.auth == "none":
            return True
        if scheme.lower() != spec.auth:
            return False
        return _basic(spec, rest) if spec.auth == "basic" else _digest(spec, rest, request, self._nonce)


def _basic(spec: CameraSpec, text: str) -> bool:
    try:
        given = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(given, f"{spec.user}:{spec.password}".encode())


def _digest(spec: CameraSpec, text: str, request: Request, nonce: str) -> bool:
    """RFC 7616, section 3.4.1, for MD5 and qop=auth."""
    given = {name: quoted or plain for name, quoted, plain in _FIELD.findall(text)}
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if given.get("username") != spec.user or given.get("nonce") != nonce or given.get("uri") != path:
        return False
    secret = _md5(f"{spec.user}:{_REALM}:{spec.password}")
    target = _md5(f"{request.method}:{path}")
    expected = _md5(f"{secret}:{nonce}:{given.get('nc', '')}:{given.get('cnonce', '')}:auth:{target}")
    return hmac.compare_digest(expected, given.get("response", ""))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    """A picture over a bad line: a sixteenth every two seconds."""
    size = len(body) // 16 + 1
    for at in range(0, len(body), size):
        yield body[at : at + size]
        await asyncio.sleep(2.0)
