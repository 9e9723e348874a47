"""Cameras that speak: Hikvision, Dahua and ONVIF at the wire, silence and hanging up, evidence around an alarm."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.profile import find
from contract.profile_transport import KeepAlive
from contract.sample import PointKey, Quality, Sample
from edge.cameras.events import BrokenStreamError, CameraEvent, DahuaParser, IsapiParser, Switches, parse_xml
from edge.cameras.onvif import notifications, path_of
from edge.drivers import Arrival
from edge.drivers.camera import CameraDriver
from edge.intake import Report
from edge.plan import Device, build
from edge.rows import Lane
from edge.settings import BrokerSettings, CameraBus, DevicesSettings, EdgeSettings
from edge.stills import Still, Stills
from edge.witness import Witness
from simulators.camera import Cameras, CameraSpec
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.serving import WebServer

NOW = 1_763_830_800_000
ROOM = "350128000001-01"
MAKES = ("hikvision-isapi", "dahua-cgi", "onvif-camera")


class Site:
    """One camera of a make behind a real web server, and the driver that follows it."""

    def __init__(self, port: int, cameras: Cameras, folder: Path, make: str, **options: Any) -> None:
        self.cameras, self.talk = cameras, cameras.talk
        self.bus = CameraBus(name="c", kind="camera", **options)
        settings = EdgeSettings(
            gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=folder, devices_file=folder, buses=(self.bus,)
        )
        entry = {"name": "cam1", "bus": "c", "room": ROOM, "profile": make, "url": f"http://127.0.0.1:{port}"}
        self.devices: tuple[Device, ...] = build(settings, DevicesSettings.model_validate({"devices": (entry,)}), {}).buses["c"]
        self.driver = CameraDriver(self.bus, self.devices)
        self.heard: list[Arrival] = []

    @property
    def state(self) -> dict[str, float | int | None]:
        return {one.point_id: one.value if one.quality is Quality.GOOD else None for one in self.heard[-1].readings}

    async def until(self, right: Callable[[dict[str, float | int | None]], bool]) -> None:
        async with asyncio.timeout(20):
            while not self.heard or not right(self.state):
                try:
                    async with asyncio.timeout(0.2):
                        self.heard += await self.driver.read(None)
                except TimeoutError:
                    continue


def at_site(folder: Path, make: str, story: Callable[[Site], Awaitable[None]], auth: str = "none", **options: Any) -> None:
    async def run() -> None:
        plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
        specs = [CameraSpec(name, "R1", auth=auth, password="geheim") for name in ("cam1", "cam2")]
        cameras = Cameras(specs, plant, lambda: NOW, heartbeat_s=0.2)
        server = WebServer(cameras.app)
        await server.start()
        site = Site(server.port, cameras, folder, make, **options)
        await site.driver.open()
        try:
            await story(site)
        finally:
            cameras.talk.hang_up()
            await site.driver.close()
            await server.stop()

    asyncio.run(run())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("geheim\n", encoding="utf-8")
    return tmp_path / "secret"


@pytest.mark.parametrize("make", MAKES)
def test_events_of_each_make_become_points(make: str, tmp_path: Path, secret: Path) -> None:
    async def story(site: Site) -> None:
        await site.until(lambda state: state.get("events") == 0)
        assert site.state["motion"] == 0
        site.talk.say("cam1", "motion", True)
        await site.until(lambda state: state["motion"] == 1)
        site.talk.say("cam1", "tamper", True)
        await site.until(lambda state: state["tamper"] == 1)
        site.talk.say("cam1", "motion", False)
        await site.until(lambda state: state["motion"] == 0)
        assert site.state["tamper"] == 1
        (arrival,) = await site.driver.read(site.devices[0].jobs[0])
        assert arrival.still.startswith(b"\xff\xd8")
        assert {"tamper": 1, "motion": 0, "camera": 0}.items() <= {one.point_id: one.value for one in arrival.readings}.items()

    at_site(tmp_path, make, story, "digest", username="viewer", password_file=secret)


@pytest.mark.parametrize("make", ["hikvision-isapi", "dahua-cgi"])
def test_only_the_own_channel_of_a_recorder_counts(make: str, tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.until(lambda state: state.get("events") == 0)
        site.talk.say("cam2", "motion", True)
        site.talk.say("cam1", "intrusion", True)
        await site.until(lambda state: state["intrusion"] == 1)
        assert site.state["motion"] == 0

    at_site(tmp_path, make, story)


@pytest.mark.parametrize("make", MAKES)
def test_a_stream_that_ends_is_told_and_made_again(make: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = find(make).camera.events  # type: ignore[union-attr]
    monkeypatch.setitem(events.__dict__, "reconnect_s", (0.05,))

    async def story(site: Site) -> None:
        await site.until(lambda state: state.get("events") == 0)
        site.talk.say("cam1", "motion", True)
        await site.until(lambda state: state["motion"] == 1)
        site.talk.hang_up()
        await site.until(lambda state: state["events"] == 1)
        assert site.state["motion"] is None  # nobody knows
        await site.until(lambda state: state["events"] == 0)
        assert site.state["motion"] == 0

    at_site(tmp_path, make, story)


def test_a_stream_without_a_heartbeat_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(find("dahua-cgi").camera.events.__dict__, "read_timeout_s", 0.6)  # type: ignore[union-attr]

    async def story(site: Site) -> None:
        await site.until(lambda state: state.get("events") == 0)
        site.talk.silent = True
        await site.until(lambda state: state["events"] == 1)

    at_site(tmp_path, "dahua-cgi", story)


def test_a_camera_clock_that_is_wrong_does_not_lock_us_out(tmp_path: Path, secret: Path) -> None:
    async def story(site: Site) -> None:
        site.talk.skew = timedelta(hours=-9)
        await site.until(lambda state: state.get("events") == 0)

    at_site(tmp_path, "onvif-camera", story, "digest", username="viewer", password_file=secret)


def test_a_wrong_password_is_told(tmp_path: Path, secret: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret.write_text("falsch\n", encoding="utf-8")

    async def story(site: Site) -> None:
        await site.until(lambda state: state.get("events") == 1)
        assert "拒绝登录" in caplog.text

    at_site(tmp_path, "onvif-camera", story, "digest", username="viewer", password_file=secret)


# ------------------------------------------------------------------------------------------------------------------------------------ parsers


ALERT = b"<EventNotificationAlert><eventType>VMD</eventType><eventState>active</eventState><channelID>1</channelID></EventNotificationAlert>"


def test_a_message_may_come_in_any_pieces() -> None:
    whole = b"--b\r\nContent-Type: x\r\n\r\n" + ALERT + b"\r\n--b\r\njunk" + ALERT
    for size in (1, 7, 1000):
        parser = IsapiParser(None)
        found = [event for at in range(0, len(whole), size) for event in parser.feed(whole[at : at + size])]
        assert found == [CameraEvent("VMD", True, 1)] * 2
    lines = b"Heartbeat\r\n\r\nCode=VideoMotion;action=Pulse;index=1;data={\r\n}\r\nCode=Odd;action=Maybe\r\n"
    for size in (1, 1000):
        dahua = DahuaParser(KeepAlive(type="Heartbeat"))
        found = [event for at in range(0, len(lines), size) for event in dahua.feed(lines[at : at + size])]
        assert found == [CameraEvent("VideoMotion", None, 2)]


def test_what_bites_in_xml_is_refused() -> None:
    for bad in (b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', b"<x", b"", b"\xff\xfe<x/>"):
        with pytest.raises(BrokenStreamError):
            parse_xml(bad)
    with pytest.raises(BrokenStreamError, match="没有尽头"):
        list(IsapiParser(None).feed(b"x" * 300_000))


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_broken_stream(data: bytes) -> None:
    for parser in (IsapiParser(None), DahuaParser(None)):
        try:
            list(parser.feed(data + ALERT + b"\n"))
        except BrokenStreamError:
            continue


def test_addresses_of_cameras_lend_only_their_path() -> None:
    assert path_of("http://192.0.2.7:8080/snap.jpg?a=1#x") == "/snap.jpg?a=1"
    assert path_of("http://evil.example") == "/"


def test_an_event_that_is_never_ended_ends_by_itself() -> None:
    switches = Switches({"VMD": "motion"}, 15_000)
    assert switches.take(CameraEvent("vmd", True), 0, holds=False) == "motion"
    assert switches.take(CameraEvent("VMD", True), 10_000, holds=False) == ""
    assert switches.over(24_999) == []
    assert switches.over(25_000) == ["motion"]
    assert not switches.stands("motion", 25_000)
    assert switches.take(CameraEvent("VMD", True), 30_000, holds=True) == "motion"
    assert switches.stands("motion", 10**9)
    assert switches.take(CameraEvent("other", True), 0, holds=True) == ""
    assert switches.unknown == 1


def test_onvif_topics_and_deleted_properties() -> None:
    one = b"<t:SimpleItem Name='n' Value='x'/><t:SimpleItem Name='State' Value='1'/>"
    said = b"<w:Message><t:Message PropertyOperation='Initialized'><t:Data>" + one + b"</t:Data></t:Message></w:Message>"
    gone = b"<w:Topic>a</w:Topic><w:Message><t:Message PropertyOperation='Deleted'/></w:Message>"
    text = (
        b"<e xmlns:w='urn:w' xmlns:t='urn:t'><w:NotificationMessage><w:Topic> tns1:VideoSource/tns1:MotionAlarm </w:Topic>"
        + said + b"</w:NotificationMessage><w:NotificationMessage>" + gone + b"</w:NotificationMessage></e>"
    )  # fmt: skip
    assert list(notifications(parse_xml(text))) == [CameraEvent("VideoSource/MotionAlarm", True)]


# ------------------------------------------------------------------------------------------------------------------- stills around an alarm


class Lens:
    """A driver that takes a numbered picture at each call."""

    def __init__(self) -> None:
        self.taken = 0

    async def open(self) -> None: ...

    async def read(self, job: Any) -> list[Arrival]:
        self.taken += 1
        return [Arrival(job.device.name, still=b"\xff\xd8%d" % self.taken)]

    async def close(self) -> None: ...


def news(quantity: str, value: float | None, room: str = ROOM, lane: Lane = Lane.URGENT) -> Report:
    return Report(Sample(PointKey("gw-1", "s", quantity), NOW, value, Quality.GOOD), lane, room)


def test_an_alarm_makes_evidence_of_what_was_seen_before_and_after(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        stills = Stills("http://x", "gw-1", "t", 60, keep_before=2)
        for number in range(4):
            stills.offer(Still("cam1", ROOM, NOW + number, b"\xff\xd8before%d" % number, "ok"), number)
        stills._waiting.clear()
        witness = Witness(stills, [(site.devices[0], Lens(), site.bus)])
        witness.take([news("smoke", 0), news("smoke", 1, room="elsewhere"), news("humidity", 70, lane=Lane.NORMAL)])
        assert not stills._evidence
        witness.take([news("smoke", 1), news("door", 1)])  # the second is the same story
        async with asyncio.timeout(10):
            await asyncio.gather(*witness._watching.values())
        assert [(still.picture[2:], still.verdict) for still in stills._evidence] == [
            (b"before2", "before:smoke"),
            (b"before3", "before:smoke"),
            (b"1", "after:smoke"),
            (b"2", "after:smoke"),
        ]
        await witness.finish()

    at_site(tmp_path, "dahua-cgi", story, after_s=(0, 0.05))


def test_evidence_is_bounded_and_the_oldest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr("edge.stills._MOST_EVIDENCE", 3)
        stills = Stills("http://x", "gw-1", "t")
        for number in range(5):
            stills.evidence(Still("cam1", ROOM, NOW, b"%d" % number, "after:smoke"))
        assert [still.picture for still in stills._evidence] == [b"2", b"3", b"4"]
        assert stills.counters.evidence_lost == 2

    asyncio.run(run())
