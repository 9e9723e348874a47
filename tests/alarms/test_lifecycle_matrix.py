"""Every pair of state and event: a named transition, a no-op, or a refusal with a sentence. The table is the specification."""

import contextlib
import itertools
import re
from dataclasses import replace

import pytest

from alarms.lifecycle import (
    INITIAL,
    Acknowledge,
    AlarmState,
    AskAgain,
    Event,
    Expire,
    NotAllowedError,
    OutOfService,
    Reset,
    ReturnToService,
    Seen,
    Shelve,
    Step,
    Suppress,
    Tick,
    Unacknowledge,
    Unshelve,
    Unsuppress,
    Withdraw,
    step,
)
from alarms.model import Level, Rule, Rung
from contract.sample import Quality

NOW = 1_790_000_000_000
RULE = Rule("damp", "threshold", "humidity", (Rung(Level.WARN, "above", 60),))
LATCHING = replace(RULE, latch=True)

_RAISED = INITIAL._replace(level=Level.WARN, announced=True, raised_at=NOW - 60_000, raised_value=61.0, occurrence=1)
_TAKEN = {"acknowledged": True, "acked_at": NOW - 1000, "acked_by": "li"}
MACHINE = {
    "normal": INITIAL,
    "active_unacked": _RAISED._replace(tripped=True, acknowledged=False),
    "active_acked": _RAISED._replace(tripped=True, **_TAKEN),
    "cleared_unacked": _RAISED._replace(acknowledged=False, cleared_at=NOW - 500),
    "latched_unacked": _RAISED._replace(latched=True, acknowledged=False, cleared_at=NOW - 500),
    "latched_acked": _RAISED._replace(latched=True, cleared_at=NOW - 500, **_TAKEN),
}
INHIBITS = {"shelved": {"shelved_until": NOW + 60_000}, "suppressed": {"suppressed": ("maintenance",)}, "out_of_service": {"out_of_service": True}}
STATES = MACHINE | {name: MACHINE["active_acked"]._replace(**facts) for name, facts in INHIBITS.items()}
EVENTS: dict[str, Event] = {
    "breach": Seen(NOW, 61),
    "clear": Seen(NOW, 50),
    "bad": Seen(NOW, None, Quality.BAD),
    "tick": Tick(True, NOW + 1000),
    "silence": Tick(False, NOW - 1000),
    "acknowledge": Acknowledge("li", "去看"),
    "unacknowledge": Unacknowledge("li"),
    "expire": Expire(),
    "ask again": AskAgain(),
    "shelve": Shelve(NOW + 3_600_000, "li", "除湿机送修"),
    "unshelve": Unshelve("li"),
    "reset": Reset("li"),
    "suppress": Suppress("maintenance"),
    "unsuppress": Unsuppress("maintenance"),
    "retire": OutOfService("li", "送检"),
    "return": ReturnToService("li"),
    "withdraw": Withdraw(),
    "shelf ends": Tick(True, NOW + 100_000),
    "re-alarm time": Tick(True, NOW + 1000),
}
INSTANTS = {"shelf ends": NOW + 60_000}
"""When an event comes that does not come at NOW: the shelf of the table's column ends a minute later."""
PATIENCE = {"re-alarm time": 1_000}
"""The rule's re-alarm time where an event wants one: the takers of the table took over a second ago."""

SENTENCE = r"^[\u4e00-\u9fff，、 \d]+。$"

# "-" no-op, "!" refused, otherwise the state after. The inhibited columns lie over active_acked.
TABLE = """
event         | normal         | active_unacked  | active_acked    | cleared_unacked | latched_unacked | latched_acked   | shelved         | suppressed      | out_of_service
breach        | active_unacked | -               | -               | active_unacked  | active_unacked  | active_unacked  | -               | -               | -
clear         | -              | cleared_unacked | normal          | -               | -               | -               | shelved         | suppressed      | out_of_service
bad           | -              | -               | -               | -               | -               | -               | -               | -               | -
tick          | -              | -               | -               | -               | -               | -               | -               | -               | -
silence       | -              | -               | -               | -               | -               | -               | -               | -               | -
acknowledge   | !              | active_acked    | -               | normal          | latched_acked   | -               | -               | -               | -
unacknowledge | !              | -               | active_unacked  | -               | -               | latched_unacked | shelved         | suppressed      | out_of_service
expire        | -              | -               | active_unacked  | -               | -               | latched_unacked | -               | -               | -
ask again     | -              | active_unacked  | active_unacked  | -               | -               | -               | -               | -               | -
shelve        | shelved        | shelved         | shelved         | shelved         | shelved         | shelved         | shelved         | suppressed      | out_of_service
unshelve      | -              | -               | -               | -               | -               | -               | active_unacked  | -               | -
reset         | !              | !               | !               | !               | !               | normal          | !               | !               | !
suppress      | suppressed     | suppressed      | suppressed      | suppressed      | suppressed      | suppressed      | suppressed      | -               | out_of_service
unsuppress    | -              | -               | -               | -               | -               | -               | -               | active_unacked  | -
retire        | out_of_service | out_of_service  | out_of_service  | out_of_service  | out_of_service  | out_of_service  | out_of_service  | out_of_service  | -
return        | -              | -               | -               | -               | -               | -               | -               | -               | active_unacked
withdraw      | -              | cleared_unacked | normal          | -               | -               | -               | shelved         | suppressed      | out_of_service
shelf ends    | -              | -               | -               | -               | -               | -               | active_unacked  | -               | -
re-alarm time | -              | -               | active_unacked  | -               | -               | -               | shelved         | suppressed      | out_of_service
"""  # noqa: E501 - a table is read across
NAMES = {
    "breach": "re_raised", "clear": "cleared", "acknowledge": "acknowledged", "unacknowledge": "unacknowledged", "shelve": "shelved",
    "unshelve": "unshelved", "reset": "reset", "suppress": "suppressed", "unsuppress": "unsuppressed", "retire": "out_of_service",
    "return": "returned", "withdraw": "withdrawn", "expire": "take_over_expired",
    "ask again": "re_alarmed", "shelf ends": "shelf_expired", "re-alarm time": "re_alarmed",
}  # fmt: skip


def _cells() -> list[tuple[str, str, str]]:
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
    return [(row[0], state, outcome) for row in rows for state, outcome in zip(header[1:], row[1:], strict=True)]


def test_the_table_is_complete() -> None:
    assert {(event, state) for event, state, _ in _cells()} == set(itertools.product(EVENTS, STATES))


@pytest.mark.parametrize(("event", "state", "outcome"), _cells())
def test_cell(event: str, state: str, outcome: str) -> None:
    before = STATES[state]
    assert before.isa == state
    now = INSTANTS.get(event, NOW)
    rule = replace(LATCHING if state.startswith("latched") else RULE, re_alarm_ms=PATIENCE.get(event))
    if outcome == "!":
        with pytest.raises(NotAllowedError, match=SENTENCE):
            step(rule, before, EVENTS[event], now)
        return
    result = step(rule, before, EVENTS[event], now)
    if outcome == "-":
        assert result.state is before
        assert result.transitions == ()
        return
    (change,) = result.transitions
    assert change.name == ("raised" if (event, state) == ("breach", "normal") else NAMES[event])
    assert (change.before, change.after, result.state.isa, change.at) == (state, outcome, outcome, now)
    assert change.annunciate == (event == "expire" or (outcome == "active_unacked" and event != "unacknowledge"))


EVERY_STATE = [
    beneath._replace(**{key: value for name in chosen for key, value in INHIBITS[name].items()})
    for beneath in MACHINE.values()
    for size in range(4)
    for chosen in itertools.combinations(INHIBITS, size)
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("before", EVERY_STATE, ids=lambda state: f"{state.isa}/{state.machine}")
def test_every_combination_of_facts_keeps_the_promises(event: str, before: AlarmState) -> None:
    rule = replace(LATCHING if before.latched else RULE, re_alarm_ms=PATIENCE.get(event))
    with contextlib.suppress(NotAllowedError):
        _check_promises(before, step(rule, before, EVENTS[event], INSTANTS.get(event, NOW)))


def _check_promises(before: AlarmState, result: Step) -> None:
    asked_once_more = [change.name for change in result.transitions] == ["re_alarmed"] and not before.acknowledged
    assert (result.state == before) == (result.transitions == () or asked_once_more)
    assert asked_once_more or (result.state == before) == (result.state is before)
    for change in result.transitions:
        assert not (change.annunciate and result.state.inhibited)
        assert re.fullmatch("[a-z_]+", change.name)
    if result.transitions:
        assert result.transitions[0].before == before.isa
        assert result.transitions[-1].after == result.state.isa


# --- what the table cannot show ---------------------------------------------------------------------------------------------------------


def test_a_latching_rule_locks_when_it_clears() -> None:
    unacked = step(LATCHING, MACHINE["active_unacked"], Seen(NOW, 50), NOW)
    acked = step(LATCHING, MACHINE["active_acked"], Seen(NOW, 50), NOW)
    assert [(r.state.isa, r.transitions[0].name) for r in (unacked, acked)] == [("latched_unacked", "latched"), ("latched_acked", "latched")]


def test_raising_records_when_by_what_and_how_often() -> None:
    first = step(RULE, INITIAL, Seen(NOW, 61.5), NOW).state
    assert (first.raised_at, first.raised_value, first.occurrence) == (NOW, 61.5, 1)
    cleared = step(RULE, first, Seen(NOW + 10, 50), NOW + 10).state
    assert cleared.cleared_at == NOW + 10
    again = step(RULE, cleared, Seen(NOW + 20, 62), NOW + 20).state
    assert (again.raised_at, again.raised_value, again.occurrence, again.cleared_at) == (NOW + 20, 62, 2, None)
    closed = step(RULE, step(RULE, again, Acknowledge("li"), NOW + 30).state, Seen(NOW + 40, 50), NOW + 40).state
    assert (closed.open, closed.acked_by, closed.acked_at) == (False, "li", NOW + 30)
    fresh = step(RULE, closed, Seen(NOW + 50, 61), NOW + 50).state
    assert (fresh.occurrence, fresh.acked_by, fresh.acked_at) == (1, "", None)


def test_a_timer_raises_with_the_value_that_began_the_breach() -> None:
    slow = replace(RULE, ladder=(Rung(Level.WARN, "above", 60, 1000),))
    pending = step(slow, INITIAL, Seen(NOW, 61.5), NOW)
    assert pending.due == NOW + 1000
    (change,) = step(slow, pending.state, Tick(True), NOW + 5000).transitions
    assert (change.at, change.value) == (NOW + 1000, 61.5)


def test_uncertain_readings_count_bad_and_stale_ones_do_not() -> None:
    assert step(RULE, INITIAL, Seen(NOW, 61, Quality.UNCERTAIN), NOW).state.tripped
    assert step(RULE, INITIAL, Seen(NOW, 61, Quality.STALE), NOW).state is INITIAL
    assert step(RULE, INITIAL, Seen(NOW, 61, Quality.BAD), NOW).state is INITIAL


def test_an_alarm_that_nobody_was_told_about_closes_when_it_clears() -> None:
    shelved = step(RULE, INITIAL, Shelve(NOW + 1000, "li", "已知"), NOW).state
    raised = step(RULE, shelved, Seen(NOW + 1, 61), NOW + 1)
    assert [c.annunciate for c in raised.transitions] == [False]
    over = step(RULE, raised.state, Seen(NOW + 2, 50), NOW + 2).state
    assert (over.isa, over.machine, over.open) == ("shelved", "normal", False)


def test_the_end_of_a_suppression_leaves_a_cleared_alarm_to_be_looked_at_the_end_of_a_shelf_closes_it() -> None:
    cleared = MACHINE["cleared_unacked"]
    suppressed = step(RULE, cleared._replace(suppressed=("gateway",)), Unsuppress("gateway"), NOW)
    assert (suppressed.state.isa, [c.name for c in suppressed.transitions]) == ("cleared_unacked", ["unsuppressed"])
    shelved = step(RULE, cleared._replace(shelved_until=NOW + 9), Unshelve("li"), NOW)
    assert (shelved.state.isa, [c.name for c in shelved.transitions]) == ("normal", ["unshelved", "closed"])


def test_a_latched_alarm_that_was_not_told_is_told_when_the_inhibit_ends() -> None:
    state = MACHINE["latched_unacked"]._replace(suppressed=("maintenance",), announced=False)
    (change,) = step(LATCHING, state, Unsuppress("maintenance"), NOW).transitions
    assert (change.after, change.annunciate) == ("latched_unacked", True)


def test_a_shelf_ends_by_itself_at_its_instant_however_late_the_tick() -> None:
    shelved = MACHINE["active_acked"]._replace(shelved_until=NOW + 1000)
    assert step(RULE, shelved, Tick(False), NOW + 999).due == NOW + 1000
    (change,) = step(RULE, shelved, Tick(False), NOW + 7000).transitions
    assert (change.name, change.at, change.after, change.annunciate) == ("shelf_expired", NOW + 1000, "active_unacked", True)


def test_escalation_while_shelved_is_silent_and_told_at_the_end() -> None:
    rule = replace(RULE, ladder=(Rung(Level.WARN, "above", 60), Rung(Level.URGENT, "above", 75)))
    worse = step(rule, STATES["shelved"], Seen(NOW, 80), NOW)
    assert [(c.name, c.annunciate, c.level) for c in worse.transitions] == [("escalated", False, Level.URGENT)]
    back = step(rule, worse.state, Unshelve("li"), NOW + 1)
    assert [(c.annunciate, c.level) for c in back.transitions] == [(True, Level.URGENT)]


def test_falling_a_level_is_silent_and_keeps_the_acknowledgement() -> None:
    rule = replace(RULE, ladder=(Rung(Level.WARN, "above", 60), Rung(Level.URGENT, "above", 75)))
    state = MACHINE["active_acked"]._replace(level=Level.URGENT)
    (change,) = step(rule, state, Seen(NOW, 70), NOW).transitions
    assert (change.name, change.after, change.level, change.annunciate) == ("deescalated", "active_acked", Level.WARN, False)


def test_a_ladder_edited_under_an_active_alarm_settles_at_the_next_sample() -> None:
    state = MACHINE["active_acked"]._replace(level=Level.CRITICAL)
    (change,) = step(RULE, state, Seen(NOW, 61), NOW).transitions
    assert (change.name, change.level) == ("deescalated", Level.WARN)


def test_reset_is_refused_while_a_new_breach_is_on_its_way() -> None:
    rule = replace(LATCHING, ladder=(Rung(Level.WARN, "above", 60, 5000),))
    pending = step(rule, MACHINE["latched_acked"], Seen(NOW, 61), NOW).state
    with pytest.raises(NotAllowedError, match="又在越限"):
        step(rule, pending, Reset("li"), NOW + 1)


@pytest.mark.parametrize(
    ("rule", "event", "sentence"),
    [
        (RULE, Shelve(NOW + 9 * 3_600_000, "li", "久"), "暂停提醒最长 8 小时。"),
        (RULE, Shelve(NOW, "li", "已过"), "暂停提醒的结束时间须晚于现在。"),
        (RULE, Shelve(NOW + 1, "li", "  "), "暂停提醒需要填写原因。"),
        (replace(RULE, shelve_max_ms=0), Shelve(NOW + 1, "li", "烟"), "该告警不允许暂停提醒。"),
        (replace(RULE, two_persons=True), Shelve(NOW + 1, "li", "烟"), "该告警不允许由一人暂停提醒，须两人共同停用。"),
        (replace(RULE, shelve_max_ms=5_400_000), Shelve(NOW + 10**9, "li", "久"), "暂停提醒最长 90 分钟。"),
        (RULE, OutOfService("li", ""), "停用需要填写原因。"),
        (RULE, Unacknowledge("wang"), "只有接手人本人可以撤回接手。"),
    ],
)
def test_refusals_say_why(rule: Rule, event: Event, sentence: str) -> None:
    with pytest.raises(NotAllowedError) as caught:
        step(rule, MACHINE["active_acked"], event, NOW)
    assert str(caught.value) == sentence


def test_taking_back_is_refused_after_ten_seconds() -> None:
    state = MACHINE["active_acked"]._replace(acked_at=NOW - 10_001)
    with pytest.raises(NotAllowedError, match="超过 10 秒"):
        step(RULE, state, Unacknowledge("li"), NOW)


def test_something_else_than_an_event_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        step(RULE, INITIAL, "acknowledge", NOW)  # type: ignore[arg-type]


def test_a_late_tick_of_a_silence_rule_does_first_what_came_before_the_silence() -> None:
    """Heard again at 0, cleared by its off-delay at 30 s, silent anew from 60 s: two alarms, however late anybody looks."""
    silence = replace(RULE, kind="stale", ladder=(Rung(Level.ALARM, "equals", 1, 0, (1.0,)),), off_delay_ms=30_000)
    gone = step(silence, INITIAL, Tick(False, NOW), NOW).state
    taken = step(silence, gone, Acknowledge("li"), NOW + 1).state
    heard = step(silence, taken, Seen(NOW + 10_000, 1), NOW + 10_000)
    assert heard.due == NOW + 40_000
    late = step(silence, heard.state, Tick(False, NOW + 70_000), NOW + 500_000)
    assert [(c.name, c.at - NOW) for c in late.transitions] == [("cleared", 40_000), ("raised", 70_000)]


def test_a_tick_on_a_stale_rule_counts_from_itself_when_nobody_knows_the_deadline() -> None:
    silence = replace(RULE, kind="stale", ladder=(Rung(Level.ALARM, "equals", 1, 5000, (1.0,)),))
    pending = step(silence, INITIAL, Tick(False), NOW)
    assert (pending.transitions, pending.due) == ((), NOW + 5000)
    (change,) = step(silence, pending.state, Tick(False), NOW + 9000).transitions
    assert (change.name, change.at) == ("raised", NOW + 5000)


def test_delays_come_before_clocks_of_the_same_instant() -> None:
    rule = replace(RULE, ladder=(Rung(Level.WARN, "above", 60, 5000),))
    shelved = step(rule, INITIAL, Shelve(NOW + 5000, "li", "已知"), NOW).state
    pending = step(rule, shelved, Seen(NOW, 61), NOW).state
    assert [(c.name, c.annunciate) for c in step(rule, pending, Tick(True), NOW + 5000).transitions] == [("raised", False), ("shelf_expired", True)]
