"""Frames out of RTSP at the wire: the simulated cameras stream RTP/JPEG, PyAV reads it, the driver judges. Without PyAV the tests say so and skip."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge.cameras import rtsp
from edge.drivers.camera import CameraDriver
from edge.pictures import NoPictureError
from edge.plan import Device, build
from edge.settings import BrokerSettings, CameraBus, DevicesSettings, EdgeSettings
from simulators.camera import Cameras, CameraSpec
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.rtsp import RtspServer

NOW = 1_763_830_800_000
ROOM = "350128000001-01"


class Site:
    """One camera that streams, and the driver that looks at it."""

    def __init__(self, server: RtspServer, cameras: Cameras, folder: Path, **options: Any) -> None:
        self.server, self.cameras = server, cameras
        bus = CameraBus(name="c", kind="camera", **options)
        settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=folder, devices_file=folder, buses=(bus,))
        entry = {"name": "cam1", "bus": "c", "room": ROOM, "profile": "generic-http-camera", "url": f"rtsp://127.0.0.1:{server.port}/cam1"}
        self.devices: tuple[Device, ...] = build(settings, DevicesSettings.model_validate({"devices": (entry,)}), {}).buses["c"]
        self.driver = CameraDriver(bus, self.devices)

    async def look(self) -> tuple[float | None, bytes]:
        (arrival,) = await self.driver.read(self.devices[0].jobs[0])
        return next(one.value for one in arrival.readings if one.quantity == "camera"), arrival.still


def at_site(folder: Path, story: Callable[[Site], Awaitable[None]], auth: str = "none", **options: Any) -> None:
    pytest.importorskip("av", reason="PyAV, the extra [camera], is not installed")

    async def run() -> None:
        cameras = Cameras([CameraSpec("cam1", "R1", auth=auth, password="geheim")], Plant([RoomSpec("R1")], seed=1, start_ms=NOW), lambda: NOW)
        server = RtspServer(cameras, fps=20)
        await server.start()
        site = Site(server, cameras, folder, **options)
        await site.driver.open()
        try:
            await story(site)
        finally:
            await site.driver.close()
            await server.stop()

    asyncio.run(run())


@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
def test_a_frame_of_the_stream_is_judged_like_any_still(auth: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n", encoding="utf-8")

    async def story(site: Site) -> None:
        code, still = await site.look()
        assert code == 0
        picture = Image.open(io.BytesIO(still))
        assert (picture.format, picture.size) == ("JPEG", (640, 360))
        site.cameras.set_fault("cam1", "black")
        assert [(await site.look())[0] for _ in range(3)] == [0, 0, 2]

    at_site(tmp_path, story, auth, username="viewer", password_file=secret)


def test_a_wrong_password_is_no_picture_and_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = tmp_path / "secret"
    secret.write_text("falsch\n", encoding="utf-8")

    async def story(site: Site) -> None:
        assert await site.look() == (1, b"")
        assert "falsch" not in caplog.text

    at_site(tmp_path, story, "digest", username="viewer", password_file=secret)


@pytest.mark.parametrize("fault", ["error", "truncated", "slow"])
def test_a_stream_that_fails_is_a_reading_in_bounded_time(fault: str, tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.cameras.set_fault("cam1", fault)
        assert await site.look() == (1, b"")
        site.cameras.set_fault("cam1", None)
        site.driver._seen["cam1"].retry_at = 0  # a camera that let us wait is left alone for a while
        assert (await site.look())[0] == 0

    at_site(tmp_path, story, timeout_ms=1_500)


def test_nobody_at_the_port(free_port: int, tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        nobody = site.devices[0].settings.model_copy(update={"url": f"rtsp://127.0.0.1:{free_port}/x"})
        (arrival,) = await site.driver.read(Device(nobody, site.devices[0].profile, site.devices[0].points).jobs[0])
        assert (arrival.verdict, arrival.still) == ("no_picture", b"")

    at_site(tmp_path, story)


def test_without_the_extra_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "available", lambda: False)
    with pytest.raises(NoPictureError, match=r"pip install archivewatch\[camera\]"):
        rtsp.frame("rtsp://127.0.0.1/x", 1)
