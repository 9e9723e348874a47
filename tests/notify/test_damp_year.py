"""A damp year in rooms that nobody dries wakes nobody, and holds back nothing that must not wait.

The whole way in simulated time: weather and rooms of the simulators, the watch with the product's rules, the dispatcher with the product's table and
texts, a real database. The year of the whole province takes the pure part of it: the screen and the core that judge, the routing that decides.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from alarms.rules import default_rules
from alarms.screen import ScreenedCore
from server.duty.escalation import default_escalation
from server.duty.routing import Member, Org, OrgUnit, StepContext, plan
from simulators.climate import CITIES
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.weather import DAY, HOUR
from tests.notify.conftest import beijing
from tests.notify.damp_province import DampProvince, night

QUANTITIES = ("temperature", "humidity")


def judged(folder, rooms, start, days, happenings):
    province = DampProvince(folder, rooms, beijing(start), days, happenings)
    try:
        province.run()
        return province.verdict()
    finally:
        province.close()


def test_damp_days_wake_nobody_and_hold_back_no_danger(tmp_path):
    found = judged(tmp_path, 8, "2026-03-15 00:00", 2, 5)
    assert (found["at_night"], found["second_digests"], found["untold"], found["late"]) == (0, 0, 0, [])
    assert found["happenings"] == 5
    assert found["asked_at_night"] >= 10
    assert found["digests"] >= 5


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_damp_days_of_two_hundred_rooms(tmp_path):
    found = judged(tmp_path, 200, "2026-03-14 00:00", 4, 10)
    print(found)
    assert (found["at_night"], found["second_digests"], found["untold"], found["late"]) == (0, 0, 0, [])
    assert found["asked_at_night"] > 200


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_damp_year_of_1300_rooms_is_told_by_day():
    """Every annunciation of a year of hourly readings, and when the table lets it be said."""
    start, table, rules = beijing("2026-01-01 00:00"), default_escalation(), default_rules()
    cities = list(CITIES.values())
    plant = Plant([RoomSpec.bare(f"R{n}", cities[n % len(cities)].name) for n in range(1300)], seed=20, start_ms=start)
    desk = Org((OrgUnit("s", 4, (Member(1, "值班", "13800000001", "duty_officer"),)),))
    count = Counter()

    def tell(_point, rule, change):
        if not change.annunciate:
            return
        step = StepContext(
            reason="raised", step=0, due=change.at, annunciated_at=change.at, level=change.level.word, rule=rule.name, kind=rule.kind,
            quantity=rule.quantity, channel="sms",
        )  # fmt: skip
        now, held = change.at, False
        for _ in range(3):  # the table's own delay, then the morning
            outcome = plan(step, desk, table, now)
            if outcome.deferred_until is None:
                break
            now, held = outcome.deferred_until, held or outcome.held
            step = replace(step, held=held)
        count[change.level.word] += 1
        count["asked_at_night"] += bool(outcome.recipients) and night(change.at)
        count["told_at_night"] += bool(outcome.recipients) and night(now)
        count["told"] += bool(outcome.recipients)

    # What can only be a 提示 tells nobody at any hour.
    points = [[rule for rule in rules.for_point(quantity, "paper", (), "") if rule.ladder[-1].level.word != "warn"] for quantity in QUANTITIES]
    core = ScreenedCore([points[n % 2] for n in range(2600)], [3 * HOUR] * 2600, tell, start)
    ids, usable = np.arange(2600), np.ones(2600, bool)
    for at in range(start, start + 365 * DAY, HOUR):
        plant.advance(at)
        values = np.column_stack([plant.values("temperature"), plant.values("humidity")]).round(1).ravel()
        core.feed(ids, np.full(2600, at), values, usable)
    print(dict(count), core.steps)
    assert count["told_at_night"] == 0
    assert count["asked_at_night"] > 5_000
