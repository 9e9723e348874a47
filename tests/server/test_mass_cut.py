"""The power of a region fails: every gateway is shown offline within its deadline, with the broker's word and without it. Real connections to a real
broker; the deadline passes in simulated time.
"""

import json
import queue
import time

import pytest

from contract.batch import Outbox, PointDeclaration, node_birth, node_data, node_death
from contract.sample import PointKey, Sample
from contract.sparkplug import encode
from server.duty.escalation import default_escalation
from server.ingest.mqtt import Connection, Transport
from server.notify.channels.outbox_file import OutboxFile
from server.notify.dispatch import Dispatcher
from server.org import gateway_access
from server.store.tables import Alarm, Gateway, Person, Room, Unit
from server.store.tables_watch import AlarmGroupMember
from server.watch.gateways import SILENCE_MS
from tests.server.brokers import SERVER_PASSWORD, Bare, Guarded, until
from tests.server.ingesting import Ingest

GROUP = "350100"
SOME, ALL = 60, 1_310


class Cut:
    """A server, a broker that knows `count` gateways, and their connections."""

    def __init__(self, made, folder, port, count):
        self.made, self.codes = made, [f"GW-CUT-{n:04d}" for n in range(count)]
        self.passwords = self._populate()
        made.start()
        self.broker = Guarded("mosquitto", made.db, folder, port)
        self.now = made.now
        (folder / "pw").write_text(SERVER_PASSWORD)
        to = Connection(host="127.0.0.1", port=port, host_id="aw", groups=("+",), username="server", password=(folder / "pw").read_text())
        self.transport = Transport(to, clock=lambda: self.now, refused=print)
        self.acceptor = Ingest(made.watch, self.transport.send, made.metrics)
        self.transport.start()
        until(lambda: self.transport.connected, 20, "the server is connected")
        self.edges = [self._edge(code) for code in self.codes]
        self.hear(lambda: len(self.online()) == count, "all gateways are online")

    def _populate(self):
        with self.made.db.write() as session:
            unit = session.get(Unit, "350102000000")
            for number, code in enumerate(self.codes):  # all in one city, each in a room of its own
                name = f"{number}号库"
                session.add(Gateway(code=code, group_id=GROUP, unit=unit.code))
                session.add(Room(code=self.room(code), unit=unit.code, name=name, short_name=name, sms_place=name, demanded=["humidity"]))
            session.flush()
            return {code: gateway_access.issue(session, session.get(Gateway, code), "test", 0).password for code in self.codes}

    @staticmethod
    def room(code):
        return f"350102{100_000 + int(code[-4:]):06d}-01"

    def _edge(self, code):
        edge = Bare(self.broker.port, code, self.passwords[code], (f"spBv1.0/{GROUP}/NDEATH/{code}", encode(node_death(0, self.now))))
        points = [PointDeclaration("th1/humidity", 1, self.room(code), "", 10), PointDeclaration("smoke1/smoke", 2, self.room(code), "", 10, "alarm")]
        edge.say(f"spBv1.0/{GROUP}/NBIRTH/{code}", encode(node_birth(points, now=self.now, bd_seq=0, outbox=Outbox(5, 1, 0))))
        return edge

    def smoke(self, number):
        """The detector of a room speaks."""
        code = self.codes[number]
        sample = Sample(PointKey.of(code, "smoke1/smoke"), self.now, 1)
        payload = node_data([sample], {"smoke1/smoke": 2}, now=self.now, seq=1, outbox=Outbox(5, 1, 1))
        self.edges[number].say(f"spBv1.0/{GROUP}/NDATA/{code}", encode(payload))

    def hear(self, true, what, seconds=60):
        """Take what comes from the broker, at the present instant."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, what
            try:
                self.acceptor.accept(self.transport.incoming.get(timeout=0.2))
                while True:
                    self.acceptor.accept(self.transport.incoming.get_nowait())
            except queue.Empty:
                self.made.watch.run_once(lambda: self.now)

    def online(self):
        with self.made.db.read() as session:
            return [row.code for row in session.query(Gateway).filter(Gateway.online, Gateway.code.like("GW-CUT-%"))]

    def changed(self):
        with self.made.db.read() as session:
            return {row.changed_at for row in session.query(Gateway).filter(Gateway.code.like("GW-CUT-%"))}

    def close(self):
        for edge in self.edges:
            edge.close()
        self.transport.stop()
        self.broker.process.kill()
        self.broker.process.wait()


@pytest.fixture
def cut(slice_, tmp_path, free_port):
    made = []

    def make(count):
        made.append(Cut(slice_, tmp_path / "broker", free_port, count))
        return made[0]

    yield make
    for one in made:
        one.close()


def with_the_brokers_word(scene):
    """Every line is cut at once: the broker speaks the wills."""
    for edge in scene.edges:
        edge.cut()
    scene.hear(lambda: not scene.online(), "every death is heard")
    assert scene.changed() == {scene.now}


def without_it(scene):
    """The broker dies with them: no will is ever spoken, and the deadline alone tells."""
    scene.broker.kill()
    start = scene.now
    for _ in range(3):
        scene.now += SILENCE_MS // 3 - 1_000
        scene.made.watch.run_once(lambda: scene.now)
    assert len(scene.online()) == len(scene.codes)  # not before its time
    scene.now = start + SILENCE_MS + 1_000
    while scene.made.watch.run_once(lambda: scene.now):
        pass
    assert scene.online() == []
    assert scene.changed() == {start + SILENCE_MS}


@pytest.mark.mosquitto
def test_rooms_that_burn_when_a_region_is_cut_stand_out_of_its_group_and_are_told_one_level_higher_at_once(cut, tmp_path):
    scene = cut(40)
    with scene.made.db.write() as session:
        for code, phone, unit in (("county", "13800000003", "350102000000"), ("city", "13800000004", "350100000000")):
            session.add(Person(code=code, name=code, phone=phone, unit=unit, duty="duty_officer"))
    burning = {scene.room(scene.codes[number]) for number in (3, 29)}
    for number in (3, 29):
        scene.smoke(number)
    scene.hear(lambda: len(scene.made.rows(Alarm, rule="smoke")) == 2, "both detectors are heard")
    with_the_brokers_word(scene)
    at_once = scene.made.rows(Alarm, rule="smoke_lost")
    assert {alarm.room for alarm in at_once} == burning, "in the very transaction that heard of their gateways' deaths"
    outbox = tmp_path / "outbox.jsonl"
    dispatcher = Dispatcher(scene.made.db, [OutboxFile(outbox)], default_escalation())
    for _ in range(12):
        scene.now += 1_000
        scene.made.watch.run_once(lambda: scene.now)
        dispatcher.run_once(scene.now)
    [group] = scene.made.rows(Alarm, rule="group_offline")
    assert (group.level, group.raised_value) == ("urgent", 40)
    lost = scene.made.rows(Alarm, rule="smoke_lost")
    assert [alarm.id for alarm in lost] == [alarm.id for alarm in at_once]
    for alarm in (*lost, *scene.made.rows(Alarm, rule="smoke")):
        assert (alarm.level, alarm.state, alarm.group_alarm) == ("critical", "active_unacked", None)
    members = {row.alarm for row in scene.made.rows(AlarmGroupMember)}
    assert members.isdisjoint(alarm.id for alarm in lost)
    messages = [json.loads(line) for line in outbox.read_text("utf-8").splitlines()]
    for alarm in lost:
        told = {message["to"] for message in messages if message["number"] == alarm.number}
        assert {"+8613800000003", "+8613800000004"} <= told, "its own county, and the city above it, at once"


@pytest.mark.mosquitto
@pytest.mark.parametrize("how", [with_the_brokers_word, without_it])
def test_a_cut_of_sixty_gateways(cut, how):
    how(cut(SOME))


@pytest.mark.soak
@pytest.mark.mosquitto
@pytest.mark.parametrize("how", [with_the_brokers_word, without_it])
def test_a_cut_of_the_whole_province(cut, how):
    how(cut(ALL))
