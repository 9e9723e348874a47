"""The gateway's own points all the way: a spool that really fills, a clock that is really wrong, a real broker, an alarm and its words."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.declarations import PointDeclaration
from contract.sample import PointKey, Sample
from edge.condition import Condition, declarations
from edge.intake import Report
from edge.link import PahoLink
from edge.outlet import Outlet
from edge.rows import Lane
from edge.settings import BrokerSettings, SpoolSettings, UplinkSettings
from edge.uplink import Identity, Uplink
from server.duty.events import event_of
from server.duty.words import EVENTS
from server.ingest.mqtt import Connection, Transport
from server.notify.texts import AlarmFacts, default_texts
from server.store.tables import Alarm, Point
from simulators.broker import Broker
from tests.server.conftest import GATEWAY, ROOM, Slice, populated
from tests.server.ingesting import Ingest

RULES = Path(__file__).parents[2] / "alarms" / "default-rules.yaml"


class Site:
    """A gateway's storage and uplink, a broker, and the server's ingest and watch; one thread, and one clock that the test moves."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.slice: Slice = populated(folder, rules=RULES.read_text("utf-8"))
        self.mono, self.ahead_ms = 0.0, 0
        wake = threading.Event()
        identity, settings = Identity("350100", GATEWAY, "aw"), UplinkSettings()
        points = [PointDeclaration("th1/temperature", None, ROOM, "°C", 10, "measure"), *declarations(ROOM)]
        link = PahoLink(BrokerSettings(host=broker.host, port=broker.port), GATEWAY, identity.subscriptions, wake.set)
        uplink = Uplink(identity, settings, link, points, lambda: 0)
        condition = Condition(GATEWAY, ROOM, lambda *_args, **_detail: None)
        self.outlet = Outlet(folder / "edge", GATEWAY, points, SpoolSettings(quota_mb=0.25), settings, uplink, wake, {}, condition=condition)
        to = Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))
        self.transport = Transport(to, clock=lambda: self.slice.now, refused=print)
        self.acceptor = Ingest(self.slice.watch, self.transport.send, self.slice.metrics)
        self.ended = threading.Event()
        work = (self.transport.incoming, self.ended, lambda: self.slice.now, self.transport.tick)
        self.thread = threading.Thread(target=self.acceptor.run, args=work)
        self.thread.start()

    def turn(self, ms: int = 20) -> None:
        """Both sides do what is due."""
        self.slice.now += ms
        self.mono += ms
        self.outlet.run_once(self.slice.now + self.ahead_ms, self.mono)
        self.slice.watch.run_once(lambda: self.slice.now)

    def until(self, true: Callable[[], bool]) -> None:
        """Turn until something holds that broker and threads bring about."""
        deadline = time.monotonic() + 40
        while not true():
            assert time.monotonic() < deadline, self.outlet.snapshot
            self.turn(100)
            self.ended.wait(0.005)

    def alarms(self, rule: str) -> list[Alarm]:
        return self.slice.rows(Alarm, rule=rule)

    def words(self, alarm: Alarm) -> tuple[str, str, str]:
        """The quantity behind an alarm, what the event is called on screens and papers, and what the message says."""
        facts = AlarmFacts(
            level=alarm.level,
            rule=alarm.rule,
            kind=alarm.kind,
            quantity=alarm.quantity,
            place="鼓楼01库",
            number="1",
            at=self.slice.now,
            since=alarm.raised_at,
        )
        return alarm.quantity, EVENTS[event_of(alarm.rule, alarm.kind, alarm.quantity)], default_texts().first(facts)

    def end(self) -> None:
        self.outlet.close(self.slice.now)
        self.transport.stop()
        self.ended.set()
        self.thread.join(20)
        self.slice.db.close()


@pytest.fixture
def site(tmp_path: Path, broker: Broker) -> Iterator[Site]:
    made = Site(tmp_path, broker)
    yield made
    made.end()


def test_a_spool_that_fills_becomes_an_alarm_with_words_of_its_own(site: Site) -> None:
    noise, point = random.Random(1), PointKey(GATEWAY, "th1", "temperature")
    site.turn()
    assert site.outlet.spool is not None
    while site.outlet.spool.fill < 0.72:  # the centre is away, and readings pile up
        reports = [Report(Sample(point, site.slice.now + at, noise.uniform(10, 30)), Lane.NORMAL, ROOM) for at in range(500)]
        site.outlet.offer(reports)
        site.turn(500)
    site.transport.start()
    site.until(lambda: bool(site.alarms("spool_filling")))
    (alarm,) = site.alarms("spool_filling")
    assert alarm.level == "warn"
    quantity, event, text = site.words(alarm)
    assert (quantity, event) == ("spool_fill", "缓存快满")
    assert "缓存快满" in text


def test_a_clock_that_is_wrong_becomes_an_alarm_with_words_of_its_own(site: Site) -> None:
    site.ahead_ms = 300_000
    site.transport.start()
    offset = PointKey(GATEWAY, "gateway", "clock_offset")
    site.until(lambda: any(point.quantity == "clock_offset" and point.device == offset.device for point in site.slice.rows(Point)))
    site.until(lambda: site.outlet.snapshot.get("uplink", {}).get("clock_offset_s") is not None or site.mono > 5_000)
    assert site.alarms("clock_ahead") == [], "five minutes must pass: a clock is often set right by itself"
    for _ in range(40):
        site.turn(10_000)
        site.ended.wait(0.01)
    site.until(lambda: bool(site.alarms("clock_ahead")))
    quantity, event, text = site.words(site.alarms("clock_ahead")[0])
    assert (quantity, event) == ("clock_offset", "网关时钟不准")
    assert "网关时钟不准" in text
