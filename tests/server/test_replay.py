"""What was recorded on the line and is sent again changes nothing; a name under another group is somebody else. A real broker and a real database."""

import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import func, select

from contract.batch import Outbox, PointDeclaration, node_birth, node_data, node_death
from contract.sample import PointKey, Sample
from contract.sparkplug import encode
from contract.topics import parse
from server.ingest.mqtt import Connection, Incoming, Transport, wall_clock
from server.ingest.session import REORDER_MS, SOLICITED_MS, NodeSession
from server.store import gateways
from server.store.tables import Alarm, Gateway, Journal, Transition, Watermark
from tests.server.ingesting import Ingest

WAIT = 20
T0 = 1_790_000_000_000
ROOM, GATEWAY, GROUP = "350102000000-01", "GW-350102-01", "350100"
ALIASES = {"smoke1/smoke": 1, "th1/humidity": 2}


class Line:
    """Everything that goes over the broker, recorded; and a voice to say it again."""

    def __init__(self, broker):
        self.heard = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="recorder")
        self.client.on_message = lambda _client, _data, message: self.heard.append((message.topic, bytes(message.payload)))
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe("spBv1.0/#", 1)
        assert ready.wait(WAIT)

    def say(self, kind, payload, group=GROUP):
        self.client.publish(f"spBv1.0/{group}/{kind}/{GATEWAY}", payload, 0).wait_for_publish(WAIT)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def scene(slice_, broker):
    stop = threading.Event()
    transport = Transport(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), clock=wall_clock, refused=print)
    acceptor = Ingest(slice_.watch, transport.send, slice_.metrics)
    slice_.watch.open(wall_clock())
    threads = [
        threading.Thread(target=acceptor.run, args=(transport.incoming, stop, wall_clock)),
        threading.Thread(target=slice_.watch.run, args=(stop, wall_clock)),
    ]
    for thread in threads:
        thread.start()
    line = Line(broker)
    transport.start()
    until(lambda: transport.connected, "the server is connected")
    yield slice_, line
    line.close()
    transport.stop()
    stop.set()
    for thread in threads:
        thread.join(WAIT)


def until(true, what):
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def count(slice_, name, **labels):
    return slice_.metrics.registry.get_sample_value(f"archivewatch_{name}_total", labels or None) or 0


def birth(bd_seq, now, first=1, last=0):
    points = [PointDeclaration(metric, alias, ROOM, "", 10) for metric, alias in ALIASES.items()]
    return encode(node_birth(points, now=now, bd_seq=bd_seq, outbox=Outbox(9, first, last)))


def data(now, seq, first, humidity, smoke=0):
    samples = [Sample(PointKey.of(GATEWAY, "th1/humidity"), now, humidity), Sample(PointKey.of(GATEWAY, "smoke1/smoke"), now, smoke)]
    return encode(node_data(samples, ALIASES, now=now, seq=seq, outbox=Outbox(9, first, first + 1)))


def facts(slice_):
    with slice_.db.read() as session:
        gateway = session.get(Gateway, GATEWAY)
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Alarm, Transition)]
        samples = session.scalar(select(func.sum(Journal.count)))
        marks = [(row.epoch, row.upto, row.lost) for row in session.scalars(select(Watermark))]
        return gateway.online, gateway.bd_seq, gateway.born_stamp, counts, samples, marks


def test_a_recorded_session_sent_again_changes_nothing_and_is_counted(scene):
    slice_, line = scene
    start = wall_clock() - 3_600_000
    line.say("NBIRTH", birth(3, start))
    for n in range(5):
        line.say("NDATA", data(start + 10_000 * (n + 1), n + 1, 2 * n + 1, 50 + n, smoke=int(n == 2)))
    until(lambda: count(slice_, "samples_accepted") == 10, "the first session is stored")
    line.say("NDEATH", encode(node_death(3, start)))
    until(lambda: not facts(slice_)[0], "the gateway is gone")
    old = [(parse(topic).kind.value, payload) for topic, payload in line.heard if parse(topic).kind.value in ("NBIRTH", "NDATA", "NDEATH")]
    assert len(old) == 7

    # The gateway is dead. Its recorded life does not raise it.
    before, replayed = facts(slice_), count(slice_, "refused", reason="replayed")
    for kind, payload in old * 2:
        line.say(kind, payload)
    until(lambda: count(slice_, "refused", reason="replayed") >= replayed + 12, "the replay is counted")  # 2 × (birth + 5 × data)
    assert facts(slice_) == before

    # It lives again, in its next session. Its recorded life neither kills it nor feeds it.
    now = wall_clock()
    line.say("NBIRTH", birth(4, now, 11, 10))
    line.say("NDATA", data(now + 1, 1, 11, 44))
    until(lambda: count(slice_, "samples_accepted") == 12, "the second session is heard")
    before, replayed = facts(slice_), count(slice_, "refused", reason="replayed")
    assert before[0] is True
    for kind, payload in [*old, *old, ("NDATA", data(now + 1, 1, 11, 44))]:
        line.say(kind, payload)
    until(lambda: count(slice_, "refused", reason="replayed") >= replayed + 15, "the replay is counted again")
    line.say("NDATA", data(now + 2, 2, 13, 45))
    until(lambda: count(slice_, "samples_accepted") == 14, "the living gateway goes on undisturbed")
    after = facts(slice_)
    assert (after[0], after[1], after[3]) == (True, 4, before[3])


def test_a_claimed_gateway_is_believed_under_its_own_group_alone(scene):
    slice_, line = scene
    now = wall_clock()
    line.say("NBIRTH", birth(1, now))
    line.say("NDATA", data(now + 1, 1, 1, 50))
    until(lambda: count(slice_, "samples_accepted") == 2, "the gateway is heard")
    before = facts(slice_)
    line.say("NBIRTH", birth(2, now + 5), group="350200")
    line.say("NDATA", data(now + 6, 1, 3, 99, smoke=1), group="350200")
    line.say("NDEATH", encode(node_death(2, now)), group="350200")
    until(lambda: count(slice_, "refused", reason="wrong_group") == 3, "each is refused and counted")
    assert facts(slice_) == before
    assert not [topic for topic, _ in line.heard if topic == f"spBv1.0/350200/NCMD/{GATEWAY}"]  # no acknowledgement, no question


# -- the rules, by number ---------------------------------------------------------------------------------------------------------------------


def node(stamp=T0, bd_seq=10, seq=0):
    made = NodeSession(GROUP, GATEWAY)
    made.birth(bd_seq=bd_seq, seq=seq, names={}, acknowledges=True, stamp=stamp)
    return made


@pytest.mark.parametrize(
    ("bd_seq", "stamp", "replayed"),
    [
        (11, T0 + 1, False),  # the next session
        (10, T0 + 1, False),  # a rebirth in this one
        (3, T0 + 1, False),  # another make that counts from 0 at each start, its clock right
        (10, T0, True),  # the very same
        (9, T0 - 1, True),
        (10, T0 - 1, True),
        (11, T0 - 1, False),  # the clock went back over a restart
        (10 + 200, T0 - 1, True),  # 56 sessions ago
        (None, T0 - 1, True),
        (10, None, False),  # says no time: nothing can be said
    ],
)
def test_births_of_the_past(bd_seq, stamp, replayed):
    assert node().replayed_birth(bd_seq, stamp, T0) is replayed


def test_a_birth_that_we_asked_for_is_believed_although_the_clock_went_back():
    made = node()
    assert made.wants_rebirth(T0, at_once=True)
    assert made.replayed_birth(10, T0 - 60_000, T0 + 1_000) is False
    assert made.replayed_birth(9, T0 - 60_000, T0 + 1_000) is True  # but no other session's
    assert made.replayed_birth(10, T0 - 60_000, T0 + SOLICITED_MS + 1) is True


def test_a_clock_that_goes_back_within_a_session_costs_nothing_while_nothing_is_lost():
    made = node()
    for seq in range(1, 300):
        assert made.replayed(seq % 256, T0 - 3_600_000 + seq, T0) is False
        made.follow(seq % 256, T0)


def test_a_clock_that_goes_back_with_a_lost_message_ends_in_a_rebirth():
    made = node()
    assert made.replayed(2, T0 - 3_600_000, T0) is True
    assert made.wants_rebirth(T0 + REORDER_MS)
    assert made.replayed_birth(10, T0 - 3_599_000, T0 + REORDER_MS + 500) is False


def test_after_a_start_of_the_server_an_old_birth_is_known_for_one(slice_):
    slice_.birth(bd_seq=7, stamp=T0)
    with slice_.db.read() as session:
        births = gateways.last_births(session)
    assert (GROUP, GATEWAY, 7, T0) in births
    acceptor = Ingest(slice_.watch, lambda *_: None, slice_.metrics, births=births)
    acceptor.accept(Incoming(f"spBv1.0/{GROUP}/NBIRTH/{GATEWAY}", birth(6, T0 - 1), slice_.now))
    slice_.run()
    assert count(slice_, "refused", reason="replayed") == 1
    assert slice_.rows_of_gateway().bd_seq == 7
