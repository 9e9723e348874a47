"""Camera verdicts on rendered pictures, the HTTP driver against simulated cameras, and the delivery of stills."""

import asyncio
import hashlib
import math
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, File, Form, Header, Response, UploadFile

from contract.profile import find
from contract.profile_transport import Tamper
from contract.sample import Quality
from edge import pictures
from edge.drivers import camera as driver
from edge.drivers.camera import CameraDriver
from edge.pictures import NoPictureError, Watch, features
from edge.plan import Device, build
from edge.settings import BrokerSettings, CameraBus, DevicesSettings, EdgeSettings
from edge.stills import Still, Stills
from simulators.camera import Cameras, CameraSpec
from simulators.picture import View, jpeg
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.serving import WebServer

NOW = 1_763_830_800_000
ROOM = "350128000001-01"
RULE = Tamper()


def view(**changes: Any) -> View:
    return View("R1", "2026-11-22 18:30:00", **changes)


def verdicts(*views: View, watch: Watch | None = None, rule: Tamper = RULE) -> list[int]:
    found = watch or Watch()
    return [found.seen(features(jpeg(one), rule.min_bytes), 12, rule) for one in views]


def shots(count: int, **changes: Any) -> list[View]:
    return [view(frame=random.Random(f"{changes}{at}").randrange(10**6), **changes) for at in range(count)]


# ----------------------------------------------------------------------------------------------------------------------------------- verdicts


def test_a_normal_room_is_ok_by_day_and_by_night_with_people_and_open_doors() -> None:
    for changes in ({}, {"light": False}, {"person": True}, {"door_open": True}, {"leak": True}):
        assert set(verdicts(*shots(4, **changes))) == {pictures.OK}, changes


@pytest.mark.parametrize(("fault", "code"), [("black", pictures.BLACK), ("white", pictures.WHITE), ("covered", pictures.COVERED)])
def test_a_blind_camera_is_found_after_three_pictures_and_cleared_after_five(fault: str, code: int) -> None:
    rule = RULE.model_copy(update={"min_bytes": 1000})
    watch = Watch()
    assert verdicts(*shots(3, **{fault: True}), watch=watch, rule=rule) == [0, 0, code]
    assert verdicts(*shots(5), watch=watch, rule=rule) == [code, code, code, code, 0]


def test_blur_and_a_moved_camera_show_against_what_is_usual() -> None:
    rule = RULE.model_copy(update={"min_bytes": 1000})
    watch = Watch()
    assert set(verdicts(*shots(12), watch=watch, rule=rule)) == {0}
    assert verdicts(*shots(3, blurred=True), watch=watch, rule=rule)[-1] in (pictures.BLURRED, pictures.COVERED)
    verdicts(*shots(5), watch=watch, rule=rule)
    assert verdicts(*shots(3, moved=True), watch=watch, rule=rule)[-1] == pictures.MOVED


def test_the_same_bytes_again_and_again_are_a_frozen_picture() -> None:
    same = view(frame=1)
    assert verdicts(view(frame=9), same, same, same, same) == [0, 0, 0, pictures.FROZEN, pictures.FROZEN]


def test_a_picture_after_none_is_a_recovery_at_once() -> None:
    watch = Watch()
    assert watch.failed() == pictures.NO_PICTURE
    assert verdicts(view(), watch=watch) == [0]


@pytest.mark.parametrize(
    ("spoilt", "phrase"),
    [
        (b"", "字节"),
        (b"\xff\xd8" + bytes(5000), "不完整"),
        (bytes(5000) + b"\xff\xd9", "不是图片"),
        (b"GIF89a" + bytes(5000) + b"\xff\xd9", "不是图片"),
    ],
)
def test_what_is_no_picture_is_refused(spoilt: bytes, phrase: str) -> None:
    with pytest.raises(NoPictureError, match=phrase):
        features(spoilt, 3000)


def test_a_cut_picture_is_refused() -> None:
    whole = jpeg(view())
    with pytest.raises(NoPictureError, match="不完整"):
        features(whole[: len(whole) // 2], 3000)


# ------------------------------------------------------------------------------------------------------------------------------------ driver


class Site:
    """Two cameras behind a web server, and a driver for them."""

    def __init__(self, port: int, cameras: Cameras, folder: Path, **options: Any) -> None:
        self.cameras = cameras
        bus = CameraBus(name="c", kind="camera", **options)
        settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=folder, devices_file=folder, buses=(bus,))
        base = f"http://127.0.0.1:{port}"
        entries = (
            {"name": "cam1", "profile": "generic-http-camera", "url": f"{base}/cam1/snapshot.jpg"},
            {"name": "cam2", "profile": "hikvision-isapi", "url": base, "params": {"channel": 2}},
        )
        wanted = DevicesSettings.model_validate({"devices": tuple({"bus": "c", "room": ROOM, **entry} for entry in entries)})
        self.devices: tuple[Device, ...] = build(settings, wanted, {}).buses["c"]
        self.driver = CameraDriver(bus, self.devices)

    async def look(self, at: int = 0) -> tuple[dict[str, float | int | None], bytes, str]:
        (arrival,) = await self.driver.read(self.devices[at].jobs[0])
        seen = [reading for reading in arrival.readings if reading.quantity in ("camera", "picture_age")]
        assert {reading.quality for reading in seen} == {Quality.GOOD}
        return {reading.quantity: reading.value for reading in seen}, arrival.still, arrival.verdict


def at_site(folder: Path, story: Callable[[Site], Awaitable[None]], login: str = "none", **options: Any) -> None:
    async def run() -> None:
        plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
        specs = [CameraSpec(name, "R1", auth=login, password="geheim") for name in ("cam1", "cam2")]
        cameras = Cameras(specs, plant, lambda: NOW)
        server = WebServer(cameras.app)
        await server.start()
        site = Site(server.port, cameras, folder, **options)
        await site.driver.open()
        try:
            await story(site)
        finally:
            await site.driver.close()
            await server.stop()

    asyncio.run(run())


def test_pictures_come_by_their_own_address_and_by_the_profiles_path(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for at in (0, 1):
            values, still, verdict = await site.look(at)
            assert values["camera"] == 0
            assert 0 <= (values["picture_age"] or 0) < 60
            assert still.startswith(b"\xff\xd8")
            assert verdict == "ok"

    at_site(tmp_path, story)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_both_logins_work_and_a_wrong_one_is_no_picture(tmp_path: Path, auth: str, caplog: pytest.LogCaptureFixture) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n", encoding="utf-8")

    async def right(site: Site) -> None:
        assert (await site.look())[0]["camera"] == 0

    async def wrong(site: Site) -> None:
        for _ in range(3):
            values, still, verdict = await site.look()
            assert (values["camera"], still, verdict) == (1, b"", "no_picture")
        assert [record.message for record in caplog.records if "cam1" in record.message] == ["摄像机 cam1 拒绝登录，请检查用户名和密码"]

    at_site(tmp_path, right, auth, username="viewer", password_file=secret, auth=auth)
    secret.write_text("falsch\n", encoding="utf-8")
    at_site(tmp_path, wrong, auth, username="viewer", password_file=secret, auth=auth)


@pytest.mark.parametrize("fault", ["error", "truncated", "slow", "wrong_type"])
def test_a_camera_that_fails_is_a_reading_in_bounded_time(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_COSTLY_MS", math.inf)  # a busy machine is no camera that makes us wait: it is asked again at once

    async def story(site: Site) -> None:
        await site.look()
        site.cameras.set_fault("cam1", fault)
        values, still, _ = await site.look()
        assert (values["camera"], still) == (1, b"")
        site.cameras.set_fault("cam1", None)
        assert (await site.look())[0]["camera"] == 0

    at_site(tmp_path, story, timeout_ms=2_000 if fault == "slow" else 10_000)


def test_a_frozen_camera_gets_an_old_picture(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.cameras.set_fault("cam1", "frozen")
        codes = [(await site.look())[0]["camera"] for _ in range(4)]
        assert codes == [0, 0, 7, 7]

    at_site(tmp_path, story)


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("black", {pictures.BLACK}),
        ("white", {pictures.WHITE}),
        ("covered", {pictures.COVERED}),
        ("blurred", {pictures.BLURRED, pictures.COVERED}),
        ("moved", {pictures.MOVED}),
    ],
)
def test_each_way_of_blinding_a_camera_at_the_wire(tmp_path: Path, fault: str, codes: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated cameras are small: their dark pictures have fewer bytes than a real camera's, so the least size is lowered."""
    monkeypatch.setitem(find("generic-http-camera").camera.tamper.__dict__, "min_bytes", 1000)  # type: ignore[union-attr]

    async def story(site: Site) -> None:
        assert {(await site.look())[0]["camera"] for _ in range(12)} == {pictures.OK}
        site.cameras.set_fault("cam1", fault)
        found = [(await site.look())[0]["camera"] for _ in range(3)]
        assert found[:2] == [pictures.OK, pictures.OK]
        assert found[2] in codes
        site.cameras.set_fault("cam1", None)
        assert [(await site.look())[0]["camera"] for _ in range(5)][-1] == pictures.OK

    at_site(tmp_path, story)


def test_nobody_at_the_address(tmp_path: Path, free_port: int) -> None:
    async def story(site: Site) -> None:
        nobody = site.devices[0].settings.model_copy(update={"url": f"http://127.0.0.1:{free_port}/x.jpg"})
        device = Device(nobody, site.devices[0].profile, site.devices[0].points)
        (arrival,) = await site.driver.read(device.jobs[0])
        assert arrival.verdict == "no_picture"

    at_site(tmp_path, story)


# ------------------------------------------------------------------------------------------------------------------------------------ stills


class Centre:
    """The server's door for stills."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuse = 0
        self.app = FastAPI(telemetry={"auto_configure": False}, openapi_url=None)
        self.app.add_api_route("/api/v1/snapshots", self.take, methods=["POST"])

    async def take(
        self,
        response: Response,
        file: Annotated[UploadFile, File()],
        sha256: Annotated[str, Form()],
        device: Annotated[str, Form()],
        gateway: Annotated[str, Form()],
        room: Annotated[str, Form()],
        taken_at: Annotated[str, Form()],
        reason: Annotated[str, Form()],
        authorization: Annotated[str, Header()],
    ) -> None:
        if self.refuse:
            self.refuse -= 1
            response.status_code = 503
            return
        content = await file.read()
        assert hashlib.sha256(content).hexdigest() == sha256
        said = {"device": device, "gateway": gateway, "room": room, "taken_at": taken_at, "reason": reason, "key": authorization, "bytes": content}
        self.taken.append(said)


def still(device: str = "cam1", verdict: str = "ok", at: int = NOW, body: bytes = b"\xff\xd8x") -> Still:
    return Still(device, ROOM, at, body, verdict)


def with_centre(story: Callable[[Centre, Stills, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        centre = Centre()
        server = WebServer(centre.app)
        await server.start()
        stills = Stills(f"http://127.0.0.1:{server.port}/", "gw-1", "token-1", every_s=60)
        async with httpx.AsyncClient(trust_env=False, headers={"Authorization": "Bearer token-1"}) as client:
            await story(centre, stills, client)
        await server.stop()

    asyncio.run(run())


def test_a_still_arrives_with_everything_that_proves_it() -> None:
    async def story(centre: Centre, stills: Stills, client: httpx.AsyncClient) -> None:
        stills.offer(still(verdict="covered"), 0)
        assert await stills.run_once(client)
        assert centre.taken == [
            {
                "device": "cam1",
                "gateway": "gw-1",
                "room": ROOM,
                "taken_at": "2025-11-22T17:00:00.000+00:00",
                "reason": "covered",
                "key": "Bearer token-1",
                "bytes": b"\xff\xd8x",
            }
        ]

    with_centre(story)


def test_stills_come_at_the_agreed_pace_but_a_change_at_once() -> None:
    async def story(centre: Centre, stills: Stills, client: httpx.AsyncClient) -> None:
        for second, verdict in ((0, "ok"), (30, "ok"), (31, "black"), (61, "black"), (92, "black")):
            stills.offer(still(verdict=verdict, at=NOW + second * 1000), second * 1000)
            if stills._waiting:
                await stills.run_once(client)
        assert [entry["taken_at"][17:19] for entry in centre.taken] == ["00", "31", "32"]

    with_centre(story)


def test_a_refusal_blocks_nobody_and_newer_pictures_win() -> None:
    async def story(centre: Centre, stills: Stills, client: httpx.AsyncClient) -> None:
        centre.refuse = 1
        stills.offer(still("cam1"), 0)
        stills.offer(still("cam2"), 0)
        assert not await stills.run_once(client)
        assert await stills.run_once(client)
        stills.offer(still("cam1", "white", body=b"\xff\xd8newer"), 1)
        assert await stills.run_once(client)
        assert [(entry["device"], entry["bytes"]) for entry in centre.taken] == [("cam2", b"\xff\xd8x"), ("cam1", b"\xff\xd8newer")]
        assert (stills.counters.delivered, stills.counters.failed, stills.counters.replaced) == (2, 1, 1)

    with_centre(story)
