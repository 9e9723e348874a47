"""Smoke that comes while others are judged: it is committed with them, and nothing of theirs is told before it that could wait."""

import pytest
from sqlalchemy import event

from contract.batch import Outbox
from contract.sample import PointKey, Sample
from server.live.facts import AlarmFact, ReadingFact
from server.store.tables import Alarm, Gateway, Transition
from server.watch import inbox
from server.watch.inputs import GatewayData
from server.watch.judge import Judge

OTHER = "GW-350102-02"


@pytest.fixture
def two(slice_):
    """Two gateways of the county; the second has the smoke detector."""
    with slice_.db.write() as session:
        session.add(Gateway(code=OTHER, group_id="350100", unit="350102000000", changed_at=0, online=False))
    slice_.watch.open(slice_.now)
    slice_.birth()
    slice_.birth([("smoke2/smoke", slice_.OTHER)], gateway=OTHER, outbox=Outbox(5, 1, 0))
    slice_.send(("th1/humidity", 50.0))
    slice_.facts.clear()
    slice_.now += 1_000
    return slice_


def smoke(made):
    sample = Sample(PointKey.of(OTHER, "smoke2/smoke"), made.now, 1.0)
    return made.watch.offer(GatewayData(gateway=OTHER, received_at=made.now, samples=(sample,), outbox=Outbox(5, 1, 1), urgent=True))


def test_it_is_let_into_their_group_and_what_is_left_of_it_waits_in_order(two, monkeypatch):
    monkeypatch.setattr(inbox, "UNCUT_SAMPLES", 1)
    futures = [two.send(("th1/humidity", 50.0 + n), wait=False)[1] for n in range(3)]
    began, judged, came = two.now, Judge.data, []

    def data(self, item):
        if not came:
            two.now += 40
            came.append(smoke(two))
        return judged(self, item)

    monkeypatch.setattr(Judge, "data", data)
    two.watch.run_once(lambda: two.now)
    assert [one.done() for one in (*futures, *came)] == [True, False, False, True]
    (alarm,) = two.rows(Alarm)
    (raised,) = two.rows(Transition, alarm=alarm.id)
    assert (alarm.rule, alarm.raised_at, raised.at) == ("smoke", began + 40, began + 40)
    two.watch.run_once(lambda: two.now)
    assert [one.result(0).upto for one in futures] == [2, 3, 4]


def test_nothing_is_let_in_before_a_good_part_of_the_group_is_judged(two, monkeypatch):
    futures = [two.send(("th1/humidity", 50.0 + n), wait=False)[1] for n in range(3)]
    judged, came = Judge.data, []

    def data(self, item):
        came.append(smoke(two)) if not came else None
        return judged(self, item)

    monkeypatch.setattr(Judge, "data", data)
    two.watch.run_once(lambda: two.now)
    two.watch.run_once(lambda: two.now)
    assert all(one.done() for one in (*futures, *came))
    assert len(two.rows(Alarm)) == 1


def test_readings_and_receipts_of_the_group_before_are_told_behind_it(two):
    future, came = two.send(("th1/humidity", 51.0), wait=False)[1], []
    event.listen(two.db.engine, "commit", lambda _connection: came.append(smoke(two)), once=True)
    two.watch.run_once(lambda: two.now)
    assert not future.done()
    assert not two.facts
    two.watch.run_once(lambda: two.now)
    assert came[0].done()
    assert future.done()
    kinds = [type(fact) for fact in two.facts]
    assert kinds.index(AlarmFact) < max(place for place, kind in enumerate(kinds) if kind is ReadingFact)
    assert [fact.value for fact in two.facts if type(fact) is ReadingFact] == [1.0, 51.0]
