"""Every alarm of a day of trouble is reproduced from its own bundle: silence, lost lines, blind rooms, groups, silence after smoke."""

import copy
import json

import pytest
from sqlalchemy import update

from alarms.case import read, replay
from server.cases import NoCaseError, bundle
from server.history import History
from server.series.embedded import EmbeddedStore
from server.store.tables import Alarm, Gateway, Point
from server.watch import commands
from server.watch.inputs import GatewayDeath

ROOMS = [f"350102000000-{n:02}" for n in range(3, 9)]


@pytest.fixture
def case_of(county, tmp_path):
    """What the bundle of an alarm is, as it would arrive elsewhere."""
    store = EmbeddedStore(tmp_path / "series")
    history = History(county.db, store)

    def make(alarm):
        while history.run_once(county.now):
            pass
        with county.db.read() as session:
            return json.loads(json.dumps(bundle(session, store, county.settings, alarm.id, county.now)))

    yield make
    store.close()


def alive(made, seconds, smoke=None):
    """The gateway at hand reports each twelve seconds."""
    for _ in range(seconds // 12):
        made.send(("th1/humidity", 50.0), *([] if smoke is None else [("smoke1/smoke", smoke)]))
        made.run(12)


def lines(made, *numbers, up):
    for n in numbers:
        if up:
            made.birth([("th/humidity", ROOMS[2 * n - 4]), ("th2/humidity", ROOMS[2 * n - 3])], gateway=f"GW-{n}")
            made.run(1)
        else:
            made.watch.offer(GatewayDeath(gateway=f"GW-{n}", at=made.now))
            made.run()


def here(made, *, up=True):
    if up:
        made.birth([("th1/humidity", made.ROOM), ("th1/temperature", made.ROOM), ("smoke1/smoke", made.OTHER)])
    else:
        made.watch.offer(GatewayDeath(gateway=made.GATEWAY, at=made.now))
        made.run()


def trouble(made):
    """A day of it: sensors that fall silent over a short death of their gateway and over a restart, three gateways cut off at once until their rooms
    are blind, smoke and then silence; people take over, and everything comes back."""
    made.settings = made.settings.model_copy(update={"room_blind_s": 60.0})
    made.start()
    here(made)
    lines(made, 2, 3, 4, up=True)
    made.send(("th1/temperature", 20.0))
    alive(made, 24)
    here(made, up=False)  # the thermometer's deadline falls into this
    made.run(22)
    here(made)
    lines(made, 2, 3, 4, up=False)
    alive(made, 12)
    [group] = made.rows(Alarm, rule="group_offline")
    assert made.order(commands.Acknowledge(alarm=group.id, by="林一")).ok
    alive(made, 120)  # long enough for rooms to be blind
    lines(made, 2, 3, 4, up=True)
    alive(made, 12)
    alive(made, 24, smoke=1)
    here(made, up=False)
    made.run(10)
    [lost] = made.rows(Alarm, rule="smoke_lost")
    made.order(commands.Acknowledge(alarm=lost.id, by="林一"))
    made.run(1)
    here(made)
    alive(made, 72, smoke=0)  # a minute of being heard, and it is over
    assert made.order(commands.Reset(alarm=lost.id, by="林一")).ok
    made.send(("th1/temperature", 20.0))
    alive(made, 24)
    made.now += 90_000
    made.start()
    alive(made, 48)


def later(body):
    """The same case, its causes a minute later than they were."""
    other = copy.deepcopy(body)
    for point in other["points"]:
        point["absences"] = [[since + 60_000, until] for since, until in point.get("absences", [])] or None
    other["samples"] = [[number, at + 60_000, value, quality] for number, at, value, quality in other["samples"]]
    return other


def test_what_silence_a_lost_line_a_group_and_lost_smoke_did_comes_out_again_elsewhere(county, case_of):
    trouble(county)
    found = county.rows(Alarm)
    assert {"sensor_stale", "gateway_offline", "group_offline", "room_blind", "smoke_lost", "smoke"} <= {alarm.rule for alarm in found}
    for alarm in found:
        body = case_of(alarm)
        verdict = replay(read(body))
        assert verdict.lines, alarm.rule
        assert [line[:2] for line in verdict.lines if not line[2]] == [], alarm.rule
        assert not replay(read(later(body))).same, alarm.rule


def test_a_sensor_of_the_books_that_never_spoke_is_missed_after_its_gateway_came_and_so_its_case_says(county, case_of):
    """Books are loaded before the first start, gateways come later still: none of that is a sensor's silence."""
    with county.db.write() as session:
        session.execute(update(Gateway).where(Gateway.code == county.GATEWAY).values(online=False))
        books = {"gateway": county.GATEWAY, "quantity": "humidity", "room": county.ROOM, "interval_ms": 10_000, "created_at": county.T0 - 600_000}
        session.add_all([Point(device="th1", **books), Point(device="th2", **books)])
    county.start()
    county.run(5)
    county.birth([("th1/humidity", county.ROOM), ("th2/humidity", county.ROOM)])
    came = county.now
    for _ in range(3):
        county.run(12)
        county.send(("th2/humidity", 50.0))
    [alarm] = county.rows(Alarm, rule="sensor_stale")
    assert alarm.raised_at - came == 30_000, "its own deadline after its gateway came, not the server's hold-off"
    county.send(("th1/humidity", 50.0))
    county.run(1)
    verdict = replay(read(case_of(county.rows(Alarm, rule="sensor_stale")[0])))
    assert verdict.lines
    assert [line[:2] for line in verdict.lines if not line[2]] == []


def test_a_drill_and_what_the_system_found_out_have_no_case(county, case_of):
    for rule, room in (("calibration_due", county.ROOM), ("duty_vacancy", None)):
        assert county.order(
            commands.Condition(subject=f"unit:{rule}", rule=rule, unit="350102000000", room=room, level="warn", active=True, by="", note="")
        ).ok
        with pytest.raises(NoCaseError):
            case_of(county.rows(Alarm, rule=rule)[0])
