"""Rule files: what is read, what is refused and on which line, the shipped defaults, layers and media."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.document import duration_ms
from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, Seen, step
from alarms.model import AppliesTo, Level, Rule, RuleError, RuleSet, Rung, duration_text, tighten
from alarms.rules import default_rules, load_rules, parse_rules

HEAD = "rules:\n  - name: damp\n    kind: threshold\n    quantity: humidity\n"
GOOD = HEAD + "    ladder:\n      warn: {above: 60, on_delay: 30m}\n      alarm: {above: 65}\n"


def one(text: str) -> Rule:
    (rule,) = parse_rules(text, "rules.yaml").rules
    return rule


def test_everything_is_read() -> None:
    rule = one(
        GOOD + "    deadband: 2\n    off_delay: 20m\n    latch: true\n    re_alarm: 1h30m\n    shelve_max: 2h\n    source: ours\n"
        "    applies_to: {unit: 350102000000, medium: paper, rooms: [350102000000-01]}\n"
    )
    assert rule.ladder == (Rung(Level.WARN, "above", 60, 1_800_000), Rung(Level.ALARM, "above", 65, 0))
    assert (rule.deadband, rule.off_delay_ms, rule.latch, rule.re_alarm_ms, rule.shelve_max_ms) == (2, 1_200_000, True, 5_400_000, 7_200_000)
    assert rule.applies_to == AppliesTo("350102000000", ("paper",), ("350102000000-01",))
    assert rule.rung(Level.ALARM) == Rung(Level.ALARM, "above", 65, 0)
    assert rule.rung(Level.CRITICAL) is None


def test_defaults() -> None:
    rule = one(GOOD)
    assert (rule.deadband, rule.off_delay_ms, rule.latch, rule.re_alarm_ms, rule.shelve_max_ms) == (0, 0, False, None, 8 * 3_600_000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30m", 1_800_000),
        ("10s", 10_000),
        ("1h", 3_600_000),
        ("500ms", 500),
        ("0s", 0),
        (0, 0),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1.5s", 1500),
    ],
)
def test_durations(text: object, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["30", "m", "1 h", "-5m", "5 minutes", "", 30, True, None, 1.5, "1h30"])
def test_durations_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_ms(text)


@given(st.integers(0, 10**10))
def test_durations_come_back(ms: int) -> None:
    assert duration_ms(duration_text(ms)) == ms


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("rules: [", 1, "expected"),
        ("- a\n", 1, "must be a mapping"),
        ("rules: 5\n", 1, "rules must be a list"),
        ("rules:\n  - 5\n", 2, "each entry must be a mapping"),
        ("rulez: []\n", 1, "unknown key 'rulez'"),
        (GOOD + "    dedband: 2\n", 8, "unknown key 'dedband'"),
        (GOOD + "    deadband: -2\n", 8, "must not be negative"),
        (GOOD + "    deadband: .nan\n", 8, "not a number"),
        (GOOD + "    deadband: yes\n", 8, "not a number"),
        (GOOD + "    latch: yes\n", 8, "not true or false"),
        (GOOD + "    off_delay: 20\n", 8, "not a duration"),
        (GOOD + "    name: other\n", 8, "duplicate"),
        (GOOD + "    ladder: 5\n", 8, "duplicate"),
        (GOOD.replace("humidity", "moisture"), 4, "unknown quantity 'moisture'"),
        (GOOD.replace("humidity", "any"), 4, "unknown quantity 'any'"),
        (GOOD.replace("threshold", "magic"), 3, "'magic' is not a rule kind"),
        (GOOD.replace("damp", "so damp"), 2, "letters, digits and _"),
        (GOOD.replace("damp", "true"), 2, "is not text"),
        (GOOD.replace("    kind: threshold\n", ""), 2, "kind is missing"),
        (HEAD, 2, "ladder is missing"),
        (HEAD + "    ladder: {}\n", 5, "ladder is missing"),
        (HEAD + "    ladder: 5\n", 5, "ladder must be a mapping"),
        (HEAD + "    ladder:\n      severe: {above: 60}\n", 6, "'severe' is not a level"),
        (HEAD + "    ladder:\n      warn: {}\n", 6, "exactly one of above, below"),
        (HEAD + "    ladder:\n      warn: {above: 60, below: 40}\n", 6, "exactly one of above, below"),
        (HEAD + "    ladder:\n      warn: {equals: 60}\n", 6, "unknown key 'equals'"),
        (HEAD + "    ladder:\n      warn: {above: wet}\n", 6, "not a number"),
        (HEAD + "    ladder:\n      warn: {above: 102}\n", 6, "can never happen"),
        (HEAD + "    ladder:\n      warn: {below: 0}\n", 6, "can never happen"),
        (HEAD + "    ladder:\n      alarm: {above: 65}\n      warn: {above: 60}\n", 7, "from the least severe level"),
        (HEAD + "    ladder:\n      warn: {above: 65}\n      alarm: {above: 60}\n", 7, "lies inside"),
        (HEAD + "    ladder:\n      warn: {below: 35}\n      alarm: {below: 45}\n", 7, "lies inside"),
        (HEAD + "    ladder:\n      warn: {above: 60}\n      alarm: {below: 40}\n", 7, "one side per ladder"),
        (HEAD + "    ladder:\n      warn: {above: 60, on_delay: 5m}\n      alarm: {above: 60, on_delay: 5m}\n", 7, "needs a longer on_delay"),
        (GOOD + "    applies_to: {units: 35}\n", 8, "unknown key 'units'"),
        (GOOD + "    by_medium:\n      film: {latch: true}\n", 9, "unknown key 'latch'"),
        (GOOD + "    by_medium:\n      film: {ladder: {warn: {below: 30}}}\n", 9, "stay on the side"),
        (GOOD + "    by_medium:\n      film: on\n", 9, "film must be a mapping"),
        (GOOD + "    subject: gateway\n", 8, "belongs to a point"),
        (GOOD + GOOD.removeprefix("rules:\n"), 8, "stands twice with the same applies_to"),
        (GOOD + GOOD.removeprefix("rules:\n").replace("humidity", "co2") + "    applies_to: {unit: '35'}\n", 8, "different kind, quantity"),
        ("rules:\n  - {name: s, kind: state, quantity: smoke, ladder: {alarm: {equals: 2}}}\n", 2, "can never happen"),
        ("rules:\n  - {name: s, kind: state, quantity: smoke, ladder: {alarm: {equals: 0.5}}}\n", 2, "is a state"),
        ("rules:\n  - {name: s, kind: state, quantity: smoke, ladder: {alarm: {equals: []}}}\n", 2, "names no value"),
        ("rules:\n  - {name: s, kind: stale, quantity: any, ladder: {alarm: {above: 5}}}\n", 2, "unknown key 'above'"),
        ("rules:\n  - {name: s, kind: stale, subject: gateway, quantity: smoke, ladder: {alarm: {}}}\n", 2, "takes no quantity"),
    ],
)
def test_refused_with_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(RuleError, match=reason) as caught:
        parse_rules(text, "rules.yaml")
    assert caught.value.line == line
    assert str(caught.value).startswith(f"rules.yaml:{line}: ")


def test_a_rule_file_may_carry_one_scope_for_all() -> None:
    rules = parse_rules("applies_to: {unit: '350102'}\n" + GOOD, "x")
    assert rules.for_point("humidity", "paper", ["350000000000", "350102000000"], "R") != ()
    assert rules.for_point("humidity", "paper", ["350000000000", "350103000000"], "R") == ()


def test_load_reads_a_file_and_names_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_rules(path) == parse_rules(GOOD, "anything")
    path.write_text("rules: 5", encoding="utf-8")
    with pytest.raises(RuleError, match=r"mine\.yaml:1: "):
        load_rules(path)


# --- the shipped rules -----------------------------------------------------------------------------------------------------------------

# domain notes 1.1: medium -> temperature low/high, humidity low/high (None = the standard has no such limit).
BANDS = {
    "paper": (14, 24, 45, 60),
    "special": (14, 20, 45, 55),
    "magnetic": (14, 24, 40, 60),
    "film_copy": (14, 24, 40, 60),
    "film_master": (13, 15, 35, 45),
    "optical": (15, 20, 25, 45),
    "photo": (None, 25, 20, 50),
    "negative_bw": (None, 21, 20, 30),
    "negative_colour": (None, 2, 20, 30),
    "print_bw": (None, 18, 30, 50),
    "print_colour": (None, 2, 30, 40),
    "reading": (18, 28, 30, 65),
    "restoration": (18, 28, 50, 70),
    "copying": (18, 28, 50, 65),
    "work": (18, 28, 40, 60),
    "exhibition": (14, 28, 45, 60),
    "service": (18, 27, 30, 65),
}
NAMES = [
    "humidity_high", "humidity_low", "temperature_high", "temperature_low", "temperature_swing", "humidity_swing", "condensation", "mould",
    "temperature_rise", "heat", "smoke", "smoke_confirmed", "smoke_density", "smoke_density_rise", "leak", "door_held", "door_forced",
    "door_off_hours", "power_lost", "camera_fault", "temperature_stuck", "humidity_stuck", "temperature_implausible", "humidity_implausible",
    "sensors_apart", "temperature_step", "humidity_step", "pm25_high", "tvoc_high", "co2_high", "lights_left_on", "spool_filling",
    "clock_ahead", "clock_behind", "sensor_stale",
    "gateway_offline",
]  # fmt: skip


@pytest.mark.parametrize("medium", BANDS)
def test_the_first_rung_is_the_band_of_the_medium(medium: str) -> None:
    rules = {rule.name: rule for quantity in ("temperature", "humidity") for rule in default_rules().for_point(quantity, medium, "350102000000", "R")}
    limits = tuple(
        rules[name].ladder[0].limit if name in rules else None for name in ("temperature_low", "temperature_high", "humidity_low", "humidity_high")
    )
    assert limits == BANDS[medium]
    assert all(rule.ladder[0].level is Level.WARN for name, rule in rules.items() if name.endswith(("_high", "_low")))


def test_every_medium_of_the_file_is_known() -> None:
    assert {medium for rule in default_rules().rules for medium, _ in rule.by_medium} <= set(BANDS)


def test_the_shipped_rules_have_their_names_and_sources() -> None:
    assert [rule.name for rule in default_rules().rules] == NAMES  # a renamed rule would orphan open alarms and people's settings
    for rule in default_rules().rules:
        assert rule.source
        assert all(variant is None or variant.source != rule.source for _, variant in rule.by_medium), rule.name


def test_smoke_is_immediate_critical_latched_and_never_shelved() -> None:
    (smoke,) = (rule for rule in default_rules().for_point("smoke", "paper", "", "R") if rule.kind == "state")
    result = step(smoke, INITIAL, Seen(0, 1), 0)
    assert (result.state.level, result.transitions[0].annunciate) == (Level.CRITICAL, True)
    assert (smoke.latch, smoke.shelve_max_ms) == (True, 0)


def test_every_quantity_is_watched_for_silence_and_gateways_apart() -> None:
    for quantity in ("humidity", "smoke", "co2", "camera"):
        assert "sensor_stale" in {rule.name for rule in default_rules().for_point(quantity, "paper", "", "R")}
        assert "gateway_offline" not in {rule.name for rule in default_rules().for_point(quantity, "paper", "", "R")}
    assert [rule.name for rule in default_rules().for_gateway("350102000000")] == ["gateway_offline"]


def test_worse_levels_of_the_camera_include_nothing_milder_but_milder_ones_include_them() -> None:
    (camera,) = (rule for rule in default_rules().rules if rule.name == "camera_fault")
    assert [set(rung.values) for rung in camera.ladder] == [{1, 2, 3, 4, 5, 6, 7}, {1, 2, 3, 4, 6, 7}, {4, 6}]


def test_the_canonical_form_is_a_rule_file_and_the_version_its_hash() -> None:
    rules = default_rules()
    again = parse_rules(rules.canonical(), "downlink")
    assert again == rules
    assert again.version == rules.version
    assert len(rules.canonical().encode()) <= 64 * 1024
    assert RuleSet(rules.rules[1:]).version != rules.version
    assert len(rules.version) == 64


def test_the_guards_part_of_the_rules() -> None:
    kinds = {rule.kind for rule in default_rules().only(["threshold", "state", "rate", "stale"]).rules}
    assert kinds == {"threshold", "state", "rate", "stale"}


def test_the_file_is_packaged_and_every_kind_it_uses_exists() -> None:
    assert files("alarms").joinpath("default-rules.yaml").is_file()
    assert {rule.kind for rule in default_rules().rules} <= set(KINDS)


# --- scope, layers, media --------------------------------------------------------------------------------------------------------------

PATH = ["350000000000", "350100000000", "350102000000", "350102001000"]


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (AppliesTo(), True),
        (AppliesTo(unit="350100000000"), True),
        (AppliesTo(unit="350102001000"), True),
        (AppliesTo(unit="3501"), True),
        (AppliesTo(unit="3502"), False),
        (AppliesTo(unit="350102002000"), False),
        (AppliesTo(medium=("paper", "photo")), True),
        (AppliesTo(medium=("photo",)), False),
        (AppliesTo(rooms=("R1",)), True),
        (AppliesTo(rooms=("R2",)), False),
        (AppliesTo(unit="3502", rooms=("R1",)), False),
    ],
)
def test_scopes(scope: AppliesTo, covered: bool) -> None:
    assert scope.covers("paper", PATH, "R1") is covered


def above(*limits: tuple[Level, float, int], name: str = "r", unit: str = "", rooms: tuple[str, ...] = ()) -> Rule:
    return Rule(
        name,
        "threshold",
        "humidity",
        tuple(Rung(level, "above", limit, delay) for level, limit, delay in limits),
        applies_to=AppliesTo(unit, (), rooms),
    )


def test_layers_come_widest_first_whatever_their_order_in_the_file() -> None:
    room = above((Level.WARN, 55, 0), rooms=("R1",))
    county = above((Level.WARN, 58, 0), unit="350102000000")
    city = above((Level.WARN, 57, 0), unit="350100000000")
    province = above((Level.WARN, 60, 0))
    rules = RuleSet((room, county, province, city))
    assert rules.layers("paper", PATH, "R1")["r"] == (province, city, county, room)
    assert rules.plus(RuleSet((above((Level.WARN, 50, 0), unit="350102001000"),))).for_point("humidity", "paper", PATH, "R9")[0].ladder[0].limit == 50


LADDERS = st.lists(
    st.tuples(st.sampled_from(list(Level)), st.integers(40, 90), st.integers(0, 5)), min_size=1, max_size=4, unique_by=lambda rung: rung[0]
).map(
    lambda rungs: above(*[(level, limit, delay * 1000) for (level, _, delay), limit in zip(sorted(rungs), sorted(r[1] for r in rungs), strict=True)])
)


@given(LADDERS, LADDERS, st.integers(30, 100))
def test_a_lower_layer_can_only_tighten(wide: Rule, narrow: Rule, value: int) -> None:
    both = tighten(wide, narrow)
    for layer in (wide, narrow):
        worst = max((rung.level for rung in layer.ladder if rung.breached(value)), default=0)
        assert max((rung.level for rung in both.ladder if rung.breached(value)), default=0) >= worst
        for rung in layer.ladder:
            strict = both.rung(rung.level)
            assert strict is not None
            assert strict.on_delay_ms <= rung.on_delay_ms
    limits = [rung.limit for rung in both.ladder]
    assert limits == sorted(limits)


def test_a_medium_can_switch_a_rule_off_and_others_keep_it() -> None:
    rules = parse_rules(GOOD + "    by_medium:\n      film: off\n      photo: {ladder: {warn: {above: 50}}, deadband: 3}\n", "x")
    assert rules.for_point("humidity", "film", "", "R") == ()
    (photo,) = rules.for_point("humidity", "photo", "", "R")
    assert (photo.name, [rung.limit for rung in photo.ladder], photo.deadband) == ("damp", [50], 3)
    (paper,) = rules.for_point("humidity", "paper", "", "R")
    assert [rung.limit for rung in paper.ladder] == [60, 65]
    assert rules.for_point("temperature", "paper", "", "R") == ()


def test_a_reading_that_is_the_limit_but_for_rounding_is_not_beyond_it() -> None:
    rung = Rung(Level.WARN, "above", 60)
    assert not rung.breached(600 * 0.1 + 1e-13)
    assert rung.cleared(58.00000000001, 2)
    below = Rung(Level.WARN, "below", 14)
    assert not below.breached(13.9999999999)
    assert below.cleared(14.4999999999, 0.5)


def test_a_camera_rule_looks_at_cameras_and_may_compare() -> None:
    rule = one("rules: [{name: c, kind: camera, ladder: {alarm: {above: 0, on_delay: 60s}}}]")
    assert (rule.quantity, rule.ladder) == ("camera", (Rung(Level.ALARM, "above", 0, 60_000),))


def test_levels_have_words() -> None:
    assert [level.word for level in Level] == ["warn", "alarm", "urgent", "critical"]
    assert Level.of("urgent") is Level.URGENT
    with pytest.raises(ValueError, match="'bad' is not a level"):
        Level.of("bad")


def test_formulas_of_the_shipped_rules_are_tried_here() -> None:
    """Everywhere else they count as tried, and no compiler is loaded for them."""
    content = files("alarms").joinpath("default-rules.yaml").read_text(encoding="utf-8")
    assert parse_rules(content, "default-rules.yaml") == default_rules()
    untried = 'rules:\n  - {name: f, kind: expression, expression: "0 < temperature < 5", ladder: {warn: {equals: 1}}}\n'
    assert parse_rules(untried, "x", tried=True).rules[0].inputs == ("temperature",)
    with pytest.raises(RuleError, match="cannot be computed"):
        parse_rules(untried, "x")
