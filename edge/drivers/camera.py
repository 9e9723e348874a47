"""Cameras: one still at a time over HTTP (or out of RTSP), judged by edge/pictures.py, and the events that the cameras tell by themselves.

A camera that does not answer is a reading (1, no picture), not a failure. Its own tamper and motion events are points beside the verdict on the
picture; while nobody can follow its event stream they are BAD, and the point `events` says so. Addresses come from devices.yaml alone: neither a
redirect nor what a camera names as its address leads anywhere else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from contract.profile_transport import Camera
from contract.readings import Reading
from contract.sample import Quality
from edge import pictures
from edge.cameras import rtsp
from edge.cameras.events import BrokenStreamError
from edge.cameras.listener import Door, Listener
from edge.cameras.onvif import Onvif
from edge.clock import mono_ms, wall_ms
from edge.configfile import read_secret
from edge.drivers import Arrival
from edge.pictures import Features, NoPictureError, Watch
from edge.plan import Device, Job
from edge.settings import CameraBus

_log = logging.getLogger("edge.camera")

_LOCAL: Final = timezone(timedelta(hours=8))
"""Hours of the day are those of the building: what is usual at noon is not at midnight."""
_COSTLY_MS: Final = 1_000
_PAUSE_MS: Final = (15_000.0, 120_000.0)
_WORDS: Final = ("ok", "no_picture", "black", "white", "covered", "blurred", "moved", "frozen")


@dataclass(slots=True)
class _Seen:
    """What is remembered of a camera. `fresh_at` is mono ms of the last picture that was new."""

    fresh_at: float
    watch: Watch = field(default_factory=Watch)
    trouble: str = ""
    url: str = ""
    listener: Listener | None = None
    pause_ms: float = 0.0
    retry_at: float = float("-inf")


class CameraDriver:
    """Raises ConfigError for an unreadable password file."""

    def __init__(self, bus: CameraBus, devices: Sequence[Device]) -> None:
        self._bus, self._devices = bus, devices
        self._seen = {device.name: _Seen(mono_ms()) for device in devices}
        self._password = read_secret(bus.password_file) if bus.password_file else ""
        kind = httpx.DigestAuth if bus.auth == "digest" else httpx.BasicAuth
        self._auth = kind(bus.username, self._password) if bus.username is not None else None
        self._news: dict[str, Device] = {}
        self._told = asyncio.Event()
        self._following: list[asyncio.Task[None]] = []
        self._client: httpx.AsyncClient | None = None
        self.counters: dict[str, int] = {}

    async def open(self) -> None:
        """No picture is asked yet; the event streams are followed from now on."""
        self._client = httpx.AsyncClient(auth=self._auth, verify=self._bus.verify_tls, follow_redirects=False, trust_env=False)
        for device in self._devices:
            camera = device.profile.camera
            if camera is not None and camera.events is not None and _event_points(device):
                self._follow(device, camera)

    def _follow(self, device: Device, camera: Camera) -> None:
        rule = camera.events
        assert self._client is not None and rule is not None  # noqa: S101, PT018 - open() has looked
        door = Door(self._client, _base(device), self._onvif(device), self._bus.timeout_ms / 1000)
        channel = device.settings.params.get("channel", next((param.default for param in device.profile.params if param.id == "channel"), 1))
        listener = Listener(device.name, int(channel or 1), rule, door, lambda _changed: self._tell(device))
        self._seen[device.name].listener = listener
        self._following.append(asyncio.create_task(listener.run(), name=f"events {device.name}"))

    def _onvif(self, device: Device) -> Onvif:
        assert self._client is not None  # noqa: S101 - opened before it is read
        return Onvif(self._client, _base(device), self._bus.username, self._password, self._bus.timeout_ms / 1000)

    def _tell(self, device: Device) -> None:
        self._news[device.name] = device
        self._told.set()

    async def read(self, job: Job | None) -> Sequence[Arrival]:
        """Take a picture and judge it; of None wait for the cameras' own events."""
        if job is None:
            return await self._events()
        device, camera = job.device, job.device.profile.camera
        assert camera is not None  # noqa: S101 - the plan puts only cameras on this bus
        seen, still, started = self._seen[device.name], b"", mono_ms()
        try:
            still = await self._picture(seen, device, camera)
            found = await asyncio.to_thread(pictures.features, still, camera.tamper.min_bytes)
        except NoPictureError as error:
            code, still = self._failed(device, seen, str(error), started), b""
        else:
            code = self._judged(device, seen, found, camera)
        readings = (*_readings(device, code, mono_ms() - seen.fresh_at), *_event_readings(device, seen.listener))
        return [Arrival(device.name, readings, still=still, verdict=_WORDS[code])]

    async def _events(self) -> Sequence[Arrival]:
        """What the cameras told since the last call; waits for it."""
        while True:
            mono = mono_ms()
            for device in self._devices:
                listener = self._seen[device.name].listener
                if listener is not None and listener.switches.over(mono):
                    self._news[device.name] = device
            if self._news:
                told, self._news = self._news, {}
                return [Arrival(name, tuple(_event_readings(device, self._seen[name].listener))) for name, device in told.items()]
            self._told.clear()
            await self._told.wait()

    async def close(self) -> None:
        """Let go of the connections."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        self._following.clear()
        if self._client is not None:
            await self._client.aclose()

    # ----------------------------------------------------------------------------------------------------------------------------- pictures

    async def _picture(self, seen: _Seen, device: Device, camera: Camera) -> bytes:
        """The JPEG of the address that worked last, or of the first that works. Raises NoPictureError."""
        if mono_ms() < seen.retry_at:
            raise NoPictureError(seen.trouble)
        trouble = ""
        async for url in self._addresses(seen, device, camera):
            try:
                async with asyncio.timeout(self._bus.timeout_ms / 1000):  # for all of it: a camera may also answer a byte at a time
                    picture = await (self._frame(url) if url.startswith("rtsp:") else self._get(url))
            except TimeoutError:
                trouble = "没有按时给出图片"
            except httpx.HTTPError as error:
                trouble = f"连不上（{type(error).__name__}）"
            except NoPictureError as error:
                trouble = str(error)
            else:
                seen.url = url
                return picture
        seen.url = ""
        raise NoPictureError(trouble)

    async def _addresses(self, seen: _Seen, device: Device, camera: Camera) -> AsyncIterator[str]:
        """The one that worked last, or all there are."""
        if seen.url:
            yield seen.url
            return
        for url in _urls(device, camera):
            yield url
        if camera.snapshot_by == "onvif":
            try:
                async with asyncio.timeout(3 * self._bus.timeout_ms / 1000):
                    yield _base(device) + await self._onvif(device).snapshot_path()
            except (httpx.HTTPError, BrokenStreamError, TimeoutError) as error:
                raise NoPictureError(str(error) or type(error).__name__) from None

    async def _frame(self, url: str) -> bytes:
        """A frame of an RTSP stream; its login is that of the bus, if the address has none."""
        user, host = self._bus.username, url.removeprefix("rtsp://")
        login = f"{quote(user, safe='')}:{quote(self._password, safe='')}@" if user is not None and "@" not in host else ""
        return await asyncio.to_thread(rtsp.frame, f"rtsp://{login}{host}", self._bus.timeout_ms / 1000)

    async def _get(self, url: str) -> bytes:
        assert self._client is not None  # noqa: S101 - opened before it is read
        async with self._client.stream("GET", url, timeout=self._bus.timeout_ms / 1000) as response:
            if response.status_code in (401, 403):
                raise NoPictureError("拒绝登录，请检查用户名和密码")
            if response.status_code != 200:
                raise NoPictureError(f"回答 HTTP {response.status_code}")
            if not response.headers.get("content-type", "").startswith("image/"):
                raise NoPictureError("给出的不是图片")
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > self._bus.max_bytes:
                    raise NoPictureError(f"图片超过 {self._bus.max_bytes} 字节")
            return bytes(content)

    def _failed(self, device: Device, seen: _Seen, trouble: str, started: float) -> int:
        """No picture. A camera that let us wait is asked less often, so that dead ones do not hold up the others."""
        if mono_ms() - started > _COSTLY_MS:
            seen.pause_ms = min(max(2 * seen.pause_ms, _PAUSE_MS[0]), _PAUSE_MS[1])
            seen.retry_at = mono_ms() + seen.pause_ms
        self.counters["no_picture"] = self.counters.get("no_picture", 0) + 1
        if not seen.trouble:
            _log.warning("摄像机 %s %s", device.name, trouble)
        seen.trouble = trouble
        return seen.watch.failed()

    def _judged(self, device: Device, seen: _Seen, found: Features, camera: Camera) -> int:
        if seen.trouble:
            _log.info("摄像机 %s 恢复出图", device.name)
        seen.trouble, seen.pause_ms = "", 0.0
        hour = datetime.fromtimestamp(wall_ms() / 1000, _LOCAL).hour
        code = seen.watch.seen(found, hour, camera.tamper)
        if seen.watch.same == 1:
            seen.fresh_at = mono_ms()
        return code


def _urls(device: Device, camera: Camera) -> Iterator[str]:
    """The address of devices.yaml when it has a path, else the profile's paths on that host; none where the camera itself is asked."""
    given = device.settings.url or ""
    if given.startswith("rtsp:") or urlsplit(given).path not in ("", "/"):
        yield given
        return
    if camera.snapshot_by == "onvif":
        return
    for path in (camera.snapshot, *camera.snapshot_fallback):
        yield given.rstrip("/") + path


def _readings(device: Device, code: int, age_ms: float) -> Iterator[Reading]:
    values = {"camera": float(code), "picture_age": round(age_ms / 1000, 1)}
    for point_id, planned in device.points.items():
        if planned.key.quantity in values:
            yield Reading(point_id, planned.key.quantity, planned.key.channel, values[planned.key.quantity], "", Quality.GOOD)


def _base(device: Device) -> str:
    parts = urlsplit(device.settings.url or "")
    return f"{'http' if parts.scheme == 'rtsp' else parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _event_points(device: Device) -> list[str]:
    """Ids of the points that the camera's own events tell."""
    camera = device.profile.camera
    if camera is None or camera.events is None:
        return []
    names = {*camera.events.map.values(), "events"}
    return [point_id for point_id in device.points if point_id in names]


def _event_readings(device: Device, listener: Listener | None) -> Iterator[Reading]:
    if listener is None:
        return
    for point_id in _event_points(device):
        key = device.points[point_id].key
        if point_id == "events":
            yield Reading(point_id, key.quantity, key.channel, float(not listener.alive), "", Quality.GOOD)
        elif listener.alive:
            yield Reading(point_id, key.quantity, key.channel, float(listener.switches.stands(point_id, mono_ms())), "", Quality.GOOD)
        else:
            yield Reading(point_id, key.quantity, key.channel, None, "", Quality.BAD, "events_lost")
