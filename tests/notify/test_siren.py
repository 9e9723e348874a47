"""The siren at the wire: an HTTP relay, and a Modbus relay behind a gateway. It sounds, stops with the take-over or the end, tries itself, and fails
aloud."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from contract.batch import read_command
from contract.siren import SOUND, read_sound
from contract.sparkplug import decode
from edge.guard import LocalAlarm
from edge.settings import SirenSettings
from edge.siren import Siren
from server.ingest.downlink import Downlink
from server.notify.channels import ChannelSettings, open_channel
from server.notify.dispatch import Dispatcher
from server.notify.lines import Broadcast
from server.notify.outage import outages
from server.store import gateway_events
from server.store.tables import Gateway, GatewayCommand
from server.store.tables_gateway import GatewayEvent
from simulators.http_sink import HttpSink
from tests.duty.ladders import ten_minutes
from tests.edge.relay_site import NOW, on_site
from tests.notify.conftest import Line

GATEWAY = "GW-350102-01"


def house(desk, sms, channel, siren):
    group = Broadcast(channel=siren.name, address=siren.name, name="警号", sounds_s=siren.abilities.sounds_s)
    return Line(desk, sms, Dispatcher(desk.db, [channel, siren], ten_minutes(), broadcasts=[group], count=desk.counts), channel)


@pytest.fixture
def relay():
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def loud(desk, sms, channel, relay):
    made = house(desk, sms, channel, open_channel("siren", ChannelSettings(base_url=relay.url, token="t", options={"seconds": "60"})))
    yield made
    made.dispatcher.close()


def heard(relay):
    return [posted.json["seconds"] for posted in relay.posted]


def test_it_stops_when_somebody_has_taken_over_and_again_when_that_was_taken_back(loud, relay):
    alarm = loud.desk.annunciate()
    loud.run(0.1)
    assert heard(relay) == [60]
    assert relay.posted[0].headers["authorization"] == "Bearer t"
    loud.desk.acknowledge(alarm)
    loud.run(0.5)
    assert heard(relay) == [60, 0]
    loud.desk.annunciate(alarm)  # the take-over has run out: asked anew, with the same words
    loud.run(0.1)
    loud.desk.acknowledge(alarm)
    loud.run(0.5)
    assert heard(relay)[2:] == [60, 0]


def test_it_stops_when_it_is_over(loud, relay):
    alarm = loud.desk.annunciate()
    loud.run(0.1)
    loud.desk.clear(alarm)
    loud.run(0.1)
    assert heard(relay) == [60, 0]


def test_a_take_over_does_not_silence_it_for_another_alarm(loud, relay):
    first = loud.desk.annunciate()
    second = loud.desk.annunciate(rule="leak", quantity="leak", key="second")
    loud.run(0.1)
    loud.desk.acknowledge(first)
    loud.run(0.3)
    assert heard(relay) == [60, 60]
    loud.desk.acknowledge(second)
    loud.run(0.3)
    assert heard(relay) == [60, 60, 0]


def test_a_drill_tries_it_for_a_moment_and_its_end_silences_no_real_alarm(loud, relay):
    loud.desk.annunciate()
    drill = loud.desk.annunciate(key="drill", drill=True)
    loud.run(0.1)
    loud.desk.acknowledge(drill)
    loud.run(0.5)
    assert sorted(heard(relay)) == [2, 60]


def test_a_relay_that_is_dead_is_tried_again_and_becomes_an_outage(loud, relay):
    relay.answers.extend([(503, {})] + [(429, {})] * 20)
    loud.desk.annunciate()
    loud.run(2.5)
    with loud.desk.db.read() as session:
        assert set(outages(session, ["siren"], loud.desk.now)) == {"siren"}
    assert [row.error for row in loud.desk.notes(channel="siren")] == ["警号限流（429）"]


class Post:
    """The way to the gateway and back, but for the broker: orders leave as NCMD, outcomes come back as entries of the logbook."""

    def __init__(self, desk, site):
        self.desk, self.site = desk, site
        self.down = Downlink(desk.db, lambda _topic, payload: self.arrive(payload))
        self.siren = Siren(SirenSettings(device="relay", write="relay1"), lambda order: site.loop.order(order, *site.clock()))
        self.arrived = []

    def arrive(self, payload):
        text = read_command(decode(payload)).others[SOUND]
        self.arrived.append(json.loads(text)["seconds"])
        self.siren.ask(read_sound(text))

    async def carry(self, answers=True):
        """Down, onto the relay, and its outcome up again."""
        self.down.run_once(self.desk.now)
        self.siren.run_once([], *self.site.clock())
        await self.site.run(4)
        if answers:
            with self.desk.db.write() as session:
                gateway_events.take(session, GATEWAY, self.site.logbook.waiting(20), self.desk.now)


@pytest.fixture
def behind(desk, sms, channel):
    desk.now = NOW
    with desk.db.write() as session:
        session.add(Gateway(code=GATEWAY, group_id="350102", unit=desk.STATION, online=True))
    siren = open_channel("siren", ChannelSettings(options={"gateway": GATEWAY, "seconds": "60"}, db=desk.db))
    made = house(desk, sms, channel, siren)
    yield made
    made.dispatcher.close()


def receipts(line):
    line.dispatcher.poll_receipts(line.desk.now)
    return [row.state for row in line.desk.notes(channel="siren")]


def test_a_modbus_relay_behind_a_gateway_sounds_and_stops_and_answers(behind, tmp_path, monkeypatch):
    async def story(site):
        post, desk = Post(behind.desk, site), behind.desk
        alarm = desk.annunciate()
        behind.run(0.1)
        await post.carry()
        assert site.relay.coils == {0: 1}
        assert receipts(behind) == ["delivered"], "the relay was read back"
        desk.acknowledge(alarm)
        behind.run(0.3)
        site.mono = float(desk.now - NOW)
        await post.carry()
        assert site.relay.coils == {0: 0}
        behind.run(0.1)
        assert receipts(behind) == ["delivered", "delivered"]
        assert post.arrived == [60, 0]

    on_site(tmp_path, monkeypatch, story)


def test_the_centres_stop_leaves_what_the_gateways_own_watch_has_just_heard(behind, tmp_path, monkeypatch):
    async def story(site):
        post, desk = Post(behind.desk, site), behind.desk
        first = desk.annunciate()
        behind.run(0.1)
        await post.carry()
        leak = LocalAlarm(site.clock()[0], "350102000000-01", "leak", "leak", "critical", "raised", 1.0)
        post.siren.run_once([leak], *site.clock())  # the line to the centre is broken: the gateway watches, and hears a second danger
        desk.acknowledge(first)
        behind.run(0.3)
        site.mono = float(desk.now - NOW)
        await post.carry()
        assert post.arrived == [60, 0]
        assert site.relay.coils == {0: 1}, "whoever took over the first knows nothing of the second"
        with desk.db.read() as session:
            told = session.scalars(select(GatewayEvent).order_by(GatewayEvent.id.desc())).first().detail
            assert (told["outcome"], told["value"]) == ("done", True), "and the centre is told that it goes on"
        post.siren.run_once([replace(leak, state="cleared")], *site.clock())
        await site.run(4)
        assert site.relay.coils == {0: 0}, "and with the second it ends"

    on_site(tmp_path, monkeypatch, story)


def test_an_order_that_comes_again_sounds_once_and_the_gateway_ends_it(behind, tmp_path, monkeypatch):
    async def story(site):
        post = Post(behind.desk, site)
        behind.desk.annunciate()
        behind.run(0.1)
        await post.carry(answers=False)
        behind.run(0.2)
        site.mono = float(behind.desk.now - NOW)
        await post.carry()
        assert post.arrived == [60, 60]
        assert receipts(behind) == ["delivered"]
        site.mono = 61_500.0  # sixty seconds after the first order, not after the second
        post.siren.run_once([], *site.clock())
        await site.run(4)
        assert site.relay.coils == {0: 0}, "nobody has to be there for it to end"

    on_site(tmp_path, monkeypatch, story)


def test_a_relay_that_does_not_obey_is_not_delivered(behind, tmp_path, monkeypatch):
    async def story(site):
        monkeypatch.setattr(site.relay, "_store", lambda *_: None)
        post = Post(behind.desk, site)
        behind.desk.annunciate()
        behind.run(0.1)
        await post.carry()
        behind.run(0.1)
        assert receipts(behind) == ["undelivered"]

    on_site(tmp_path, monkeypatch, story)


def test_a_gateway_that_is_away_is_an_outage_and_an_order_that_nobody_fetched_is_not_delivered(behind):
    behind.desk.annunciate()
    behind.run(0.1)
    down = Downlink(behind.desk.db, lambda *_: None)
    behind.desk.set(Gateway, GATEWAY, online=False)
    behind.run(1.5)
    down.run_once(behind.desk.now)
    assert receipts(behind) == ["undelivered"]
    behind.desk.annunciate(rule="leak", quantity="leak")
    behind.run(1.5)
    with behind.desk.db.read() as session:
        assert set(outages(session, ["siren"], behind.desk.now)) == {"siren"}
        assert session.query(GatewayCommand).count() == 1
    assert "离线，警号叫不响" in behind.desk.notes(channel="siren")[-1].error
