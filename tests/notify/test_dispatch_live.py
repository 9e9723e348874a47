"""The loop with its threads, the races with a take-over, and the way from a reading to an SMS through the real watch."""

import threading

import pytest

from alarms.rules import parse_rules
from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Quality, Sample
from server.metrics import Metrics
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.notify.situation import Knowledge, on_delays
from server.settings import WatchSettings
from server.store.tables import Gateway
from server.watch import commands
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.loop import Watch
from tests.duty.ladders import ten_minutes

RULES = """
rules:
  - name: smoke
    kind: state
    quantity: smoke
    ladder: {critical: {equals: 1, on_delay: 0s}}
    latch: true
"""


def until(condition, seconds=30):
    """Wait for another thread; False when it never comes true."""
    pause = threading.Event()
    for _ in range(seconds * 100):
        if condition():
            return True
        pause.wait(0.01)
    return False


def test_a_nudge_wakes_the_loop(desk, sms, channel):
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), settings=DispatchSettings(idle_s=3600))
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop, lambda: desk.now))
    thread.start()
    try:
        desk.annunciate()
        dispatcher.nudge()
        assert until(lambda: len(desk.notes(state="sent")) == 2)
        sms.core.run_once(desk.now + 5_000)
        desk.now += 5_000
        dispatcher.nudge()
        assert until(lambda: all(note.receipt == "sent" for note in desk.notes()))
    finally:
        stop.set()
        dispatcher.nudge()
        thread.join(30)
    assert not thread.is_alive()
    assert len(sms.messages()) == 2


def test_the_loop_works_off_a_flood_worst_first(desk, sms, channel):
    for number in range(30):
        desk.annunciate(rule="leak", quantity="leak", level="urgent", key=str(number), at=desk.now - number * desk.MINUTE)
    desk.annunciate()
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), settings=DispatchSettings(workers=1))
    dispatcher.run_once(desk.now)
    dispatcher.close()
    assert len(sms.messages()) == 62
    assert all("烟感" in message["body"] for message in sms.messages()[:2])


@pytest.mark.parametrize("round_", range(40))
def test_a_take_over_races_the_dispatcher(desk, round_):
    """Claimed messages may go, unclaimed ones are dropped, nothing is sent after that, and whoever was told is told of the take-over."""
    dispatcher = Dispatcher(desk.db, [desk.file_channel()], ten_minutes())
    alarm = desk.annunciate()
    start = threading.Barrier(2)

    def dispatch():
        start.wait()
        dispatcher.run_once(desk.now)

    racer = threading.Thread(target=dispatch)
    racer.start()
    start.wait()
    threading.Event().wait(round_ * 0.0005)
    desk.acknowledge(alarm, by="王仓")
    racer.join()
    desk.now += 10_000
    for _ in range(60):
        dispatcher.run_once(desk.now)
        desk.now += desk.MINUTE
    dispatcher.close()
    notes = desk.notes(alarm)
    calls = [note for note in notes if note.reason == "raised"]
    news = [note for note in notes if note.reason == "taken"]
    assert {note.state for note in notes} <= {"sent", "dropped"}
    assert [note for note in notes if note.reason == "escalated"] == []
    assert {step.state for step in desk.steps(alarm)} <= {"done", "cancelled"}
    li_was_told = any(note.phone == desk.phone("li") and note.state == "sent" for note in calls)
    assert [note.phone for note in news] == ([desk.phone("li")] if li_was_told else [])


class Server:
    """The real watch beside the dispatcher."""

    def __init__(self, desk, dispatcher):
        self.desk, self.dispatcher, self.sequence, self.heard = desk, dispatcher, 0, desk.now
        with desk.db.write() as session:
            session.add(Gateway(code="GW1", group_id="350100", unit=desk.STATION, changed_at=0, online=False))
        rules = parse_rules(RULES, "rules.yaml")
        self.watch = Watch(desk.db, rules, WatchSettings(), Metrics(), publish=lambda facts, now: None, nudge=dispatcher.nudge)
        self.watch.open(desk.now)
        points = (PointDeclaration("s1/smoke", 0, desk.ROOM, "", 10),)
        self._put(GatewayBirth(gateway="GW1", group="350100", received_at=desk.now, points=points, outbox=Outbox(7, 1, 0), bd_seq=0))

    def smoke(self, value):
        self.sequence, self.value, self.heard = self.sequence + 1, value, self.desk.now
        sample = Sample(PointKey.of("GW1", "s1/smoke"), self.desk.now, value, Quality.GOOD)
        outbox = Outbox(7, self.sequence, self.sequence)
        self._put(GatewayData(gateway="GW1", received_at=self.desk.now, samples=(sample,), offset_ms=0, outbox=outbox))

    def order(self, command):
        future = self.watch.submit(command)
        self.run()
        return future.result(0)

    def run(self, seconds=0):
        end = self.desk.now + seconds * 1000
        while True:
            self.watch.run_once(lambda: self.desk.now)
            self.dispatcher.run_once(self.desk.now)
            if self.desk.now >= end:
                return
            self.desk.now += 1000
            if self.desk.now - self.heard >= 60_000:  # a sensor that falls silent after smoke is an alarm of its own
                self.smoke(self.value)

    def _put(self, item):
        self.watch.offer(item)
        self.run()


def test_from_smoke_to_sms_to_take_over(line):
    knowledge = Knowledge(on_delays=on_delays(parse_rules(RULES, "rules.yaml").rules))
    dispatcher = Dispatcher(line.desk.db, [line.channel], ten_minutes(), knowledge=knowledge, count=line.desk.counts)
    server = Server(line.desk, dispatcher)
    server.smoke(1)
    (alarm,) = {note.alarm for note in line.desk.notes()}
    assert [message["body"][6:9] for message in line.sms.messages()] == ["特急：", "特急："]
    assert server.order(commands.Acknowledge(alarm=alarm, by="王仓", note="去看")).ok
    server.run(2)
    assert server.order(commands.Unacknowledge(alarm=alarm, by="王仓")).ok
    server.run(15)
    assert len(line.sms.messages()) == 2
    server.run(600)
    assert len(line.sms.messages()) == 4
    assert server.order(commands.Acknowledge(alarm=alarm, by="王仓", note="去看")).ok
    server.run(1200)
    assert [text[6:9] for text in line.texts("li")] == ["特急：", "再报：", "接手："]
    assert [text[6:9] for text in line.texts("wang")] == ["特急：", "再报："]
    assert line.texts("chen") == []
    dispatcher.close()
