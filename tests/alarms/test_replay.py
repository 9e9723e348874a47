"""The walker: with its short cuts it does exactly what the core does sample by sample; explanations name the layer that wins."""

from hypothesis import given, settings
from hypothesis import strategies as st

from alarms.explain import explain
from alarms.lifecycle import INITIAL, Acknowledge, Change, Reset, Seen, Tick, advance, step
from alarms.model import Rule
from alarms.replay import Order, Reading, Track, Walk, walk
from alarms.rules import default_rules, parse_rules
from contract.sample import Quality

S = 1000
START = 1_790_000_000_000
ALLOWED = 60 * S
RULES = parse_rules(
    "rules:\n"
    "  - {name: damp, kind: threshold, quantity: humidity, ladder: {warn: {above: 60, on_delay: 20s}, alarm: {above: 65}}, off_delay: 10s}\n"
    "  - {name: stale, kind: stale, quantity: humidity, ladder: {warn: {on_delay: 5s}}, latch: true}\n"
    "  - {name: dew, kind: dew_point, every: 20s, within: 60s, ladder: {alarm: {below: 3, on_delay: 20s}}}\n"
    "  - {name: apart, kind: deviation, quantity: humidity, every: 10s, within: 60s, ladder: {warn: {above: 5}}}\n"
    "  - {name: votes, kind: voting, quantity: humidity, least: 60, ladder: {warn: {above: 0}, alarm: {above: 1}}}\n"
    "  - {name: dry, kind: expression, expression: humidity < 40 && temperature > 20, every: 10s, within: 60s, ladder: {warn: {equals: 1}}}\n",
    "x",
).rules


def _deadline(last: dict[int, int], tracks: list[Track]) -> int:
    """A quantity is heard while one of its sensors is; the rule needs all of its quantities."""
    return min(max(last[t.number] + t.allowed_ms for t in tracks if t.quantity == quantity) for quantity in {t.quantity for t in tracks})


def slowly(rule: Rule, tracks: list[Track], until: int, orders: list[Order]) -> list[Change]:
    """Every reading through the core, ticks before it, no short cut."""
    state, changes = INITIAL, []
    last = {track.number: START for track in tracks}
    events = sorted([(r.at, 0, t, r) for t in tracks for r in t.readings] + [(o.at, 1, None, o) for o in orders], key=lambda entry: entry[:2])
    for at, _, track, what in events:
        deadline = _deadline(last, tracks)
        if isinstance(what, Order):
            moves = [step(rule, state, Tick(deadline >= at, deadline), at)]
            moves.append(step(rule, moves[0].state, what.event, at))
        else:
            assert track is not None
            moves = [advance(rule, state, at, deadline)]
            seen = Seen(at, what.value, Quality.GOOD if what.value is not None else Quality.BAD, track.quantity, track.number)
            moves.append(step(rule, moves[0].state, seen, at))
            last[track.number] = at if what.value is not None else last[track.number]
        state = moves[1].state
        changes += [change for move in moves for change in move.transitions]
    deadline = _deadline(last, tracks)
    return changes + list(step(rule, state, Tick(deadline >= until, deadline), until).transitions)


READINGS = st.lists(st.tuples(st.integers(1, 9), st.one_of(st.none(), st.sampled_from([35.0, 50.0, 58.0, 61.0, 66.0, 90.0]))), max_size=25)


def readings(pairs: list[tuple[int, float | None]]) -> list[Reading]:
    found, now = [], START
    for wait, value in pairs:
        now += wait * S * (10 if wait == 9 else 1)
        found.append(Reading(now, value))
    return found


@given(st.sampled_from(RULES), READINGS.map(readings), READINGS.map(readings), READINGS.map(readings))
@settings(max_examples=200, deadline=None)
def test_short_cuts_change_nothing(rule: Rule, first: list[Reading], second: list[Reading], third: list[Reading]) -> None:
    def tracks() -> list[Track]:
        all_of_them = [
            Track(1, "humidity", ALLOWED, first, START),
            Track(2, "humidity", ALLOWED, second, START),
            Track(3, "temperature", ALLOWED, [Reading(at, value and value / 2) for at, value in third], START),
        ]
        return [track for track in all_of_them if rule.wants(track.quantity)][: None if rule.subject == "room" else 1]

    until = START + 600 * S
    assert walk(rule, tracks(), until) == slowly(rule, tracks(), until, [])


def test_orders_are_carried_out_in_their_place_and_refusals_are_kept() -> None:
    rule = next(rule for rule in default_rules().rules if rule.name == "leak")
    track = Track(1, "leak", ALLOWED, [Reading(START + n * 10 * S, float(3 <= n < 6)) for n in range(20)], START)
    orders = [Order(START + 20 * S, Reset("li")), Order(START + 45 * S, Acknowledge("li")), Order(START + 150 * S, Reset("li"))]
    way = Walk(rule, [track])
    way.run(START + 200 * S, orders)
    assert [change.name for change in way.changes] == ["raised", "acknowledged", "latched", "reset"]
    assert [at for at, _ in way.refused] == [START + 20 * S]


LAYERED = parse_rules(
    "rules:\n"
    "  - {name: h, kind: threshold, quantity: humidity, source: JGJ, ladder: {warn: {above: 60, on_delay: 30m}, alarm: {above: 65, on_delay: 20m}}}\n"
    '  - {name: h, kind: threshold, quantity: humidity, source: city, ladder: {warn: {above: 62}}, applies_to: {unit: "3501"}}\n'
    '  - {name: h, kind: threshold, quantity: humidity, ladder: {alarm: {above: 57, origin: "limit:7"}}, applies_to: {rooms: R}}\n',
    "x",
)


def test_an_explanation_shows_every_layer_and_who_wins() -> None:
    changes = {"limit:7": {"by": "li", "why": "汛期", "until": None}}
    [rule] = explain(LAYERED, "humidity", "paper", ("350000000000", "350100000000"), "R", changes)
    warn, alarm = rule["levels"]
    assert [(layer["origin"], layer["above"], layer["wins"]) for layer in alarm["layers"]] == [("everywhere", 65, False), ("limit:7", 57, True)]
    assert (alarm["layers"][1]["by"], alarm["layers"][1]["why"]) == ("li", "汛期")
    assert (warn["above"], warn["on_delay_s"], warn["origin"]) == (57, 0, "limit:7")
    assert "随之收紧" in warn["because"]
    assert [layer["wins"] for layer in warn["layers"]] == [False, False]
    [elsewhere] = explain(LAYERED, "humidity", "paper", ("350000000000",), "X")
    assert [(level["above"], level["because"]) for level in elsewhere["levels"]] == [
        (60, "只有这一层规定了本级限值"),
        (65, "只有这一层规定了本级限值"),
    ]
