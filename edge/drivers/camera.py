"""Cameras: one still over HTTP at a time, judged by edge/pictures.py. A camera that does not answer is a reading (1, no picture), not a failure."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import urlsplit

import httpx

from contract.profile_transport import Camera
from contract.readings import Reading
from contract.sample import Quality
from edge import pictures
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
    pause_ms: float = 0.0
    retry_at: float = float("-inf")


class CameraDriver:
    """Raises ConfigError for an unreadable password file."""

    def __init__(self, bus: CameraBus, devices: Sequence[Device]) -> None:
        self._bus = bus
        self._seen = {device.name: _Seen(mono_ms()) for device in devices}
        password = read_secret(bus.password_file) if bus.password_file else ""
        kind = httpx.DigestAuth if bus.auth == "digest" else httpx.BasicAuth
        self._auth = kind(bus.username, password) if bus.username is not None else None
        self._client: httpx.AsyncClient | None = None
        self.counters: dict[str, int] = {}

    async def open(self) -> None:
        """Nothing is asked yet."""
        self._client = httpx.AsyncClient(auth=self._auth, verify=self._bus.verify_tls, follow_redirects=False, trust_env=False)

    async def read(self, job: Job | None) -> Sequence[Arrival]:
        """Take a picture and judge it."""
        assert job is not None  # noqa: S101 - cameras do not speak by themselves
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
        return [Arrival(device.name, tuple(_readings(device, code, mono_ms() - seen.fresh_at)), still=still, verdict=_WORDS[code])]

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()

    # ----------------------------------------------------------------------------------------------------------------------------- pictures

    async def _picture(self, seen: _Seen, device: Device, camera: Camera) -> bytes:
        """The JPEG of the address that worked last, or of the first that works. Raises NoPictureError."""
        if mono_ms() < seen.retry_at:
            raise NoPictureError(seen.trouble)
        urls = [seen.url] if seen.url else list(_urls(device, camera))
        trouble = ""
        for url in urls:
            try:
                async with asyncio.timeout(self._bus.timeout_ms / 1000):  # for all of it: a camera may also answer a byte at a time
                    picture = await self._get(url)
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
    """The address of devices.yaml when it has a path, else the profile's paths on that host."""
    given = device.settings.url or ""
    if urlsplit(given).path not in ("", "/"):
        yield given
        return
    for path in (camera.snapshot, *camera.snapshot_fallback):
        yield given.rstrip("/") + path


def _readings(device: Device, code: int, age_ms: float) -> Iterator[Reading]:
    values = {"camera": float(code), "picture_age": round(age_ms / 1000, 1)}
    for point_id, planned in device.points.items():
        if planned.key.quantity in values:
            yield Reading(point_id, planned.key.quantity, planned.key.channel, values[planned.key.quantity], "", Quality.GOOD)
