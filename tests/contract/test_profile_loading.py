"""A broken profile is refused with file, line and reason."""

from pathlib import Path

import pytest

from contract.located_yaml import LocatedYamlError, load_located
from contract.profile import Profile, ProfileError, load_file, load_text

GOOD = """\
schema: 1
id: acme-x1
vendor: Acme
model: X1
title: {zh: 温度, en: Temperature}
category: climate
evidence: documented
sources: [manual]
connection:
  kind: modbus
blocks:
  - {id: main, fc: 3, address: 0, count: 4}
  - {id: bits, fc: 2, address: 0, count: 8}
points:
  - id: temperature
    class: measure
    quantity: temperature
    unit: "°C"
    block: main
    at: 1
    type: i16
    scale: "1/10"
  - id: smoke
    class: alarm
    quantity: smoke
    block: main
    at: 2
    map: {0: "off", 1: "on"}
    active: "on"
  - {id: door, class: alarm, quantity: door, block: bits, at: 0, type: bool}
variants:
  hot: {points: [{id: temperature, scale: "1/100"}]}
vectors:
  - {block: main, reply: "01 03 08 00 00 00 F6 00 01 00 00 4C 27", expect: {temperature: "24.6", smoke: 1}}
"""


def refused(text: str, file: str = "acme-x1.yaml") -> tuple[int, str]:
    with pytest.raises(ProfileError) as broken:
        load_text(text, file)
    assert str(broken.value) == f"{file}:{broken.value.line}: {broken.value.reason}"
    return broken.value.line, broken.value.reason


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def line_of(text: str) -> int:
    return GOOD[: GOOD.index(text)].count("\n") + 1


def test_the_good_one_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "acme-x1.yaml"
    path.write_text(GOOD, encoding="utf-8")
    profile = load_file(path)
    assert isinstance(profile, Profile)
    assert profile.point("temperature").scale == "1/10"
    assert profile.point("smoke").map == {0: "off", 1: "on"}
    assert profile.block("main").count == 4
    with pytest.raises(KeyError, match="nothing"):
        profile.point("nothing")
    with pytest.raises(KeyError, match="nothing"):
        profile.block("nothing")


def test_bare_on_and_off_are_text() -> None:
    text = changed('{0: "off", 1: "on"}', "{0: off, 1: on}").replace('active: "on"', "active: on")
    assert load_text(text, "acme-x1.yaml").point("smoke").map == {0: "off", 1: "on"}


CASES = [
    # old text, new text, line (None: of the old text), what the reason says
    ("vendor: Acme\n", "vendor: Acme\ncolour: red\n", 4, "colour: unknown field"),
    ("vendor: Acme\n", "", 1, "vendor: is missing"),
    ("vendor: Acme\n", "vendor: 12\n", None, "vendor: Input should be a valid string"),
    ("count: 4}", 'count: "4"}', None, "blocks[0].count: Input should be a valid integer"),
    ("count: 4}", "count: true}", None, "blocks[0].count: Input should be a valid integer"),
    ("id: acme-x1", "id: Acme-X1", None, "id: String should match"),
    ("id: acme-x1", "id: acme-x2", None, "id 'acme-x2' is not the file's name"),
    ('0: "off"', "0: false", None, "Input should be a valid string"),
    ('0: "off"', '"0": "off"', None, "points[1].map.0: key '0' is ambiguous: type u16 has int values"),
    ('active: "on"', "active: alarm", None, "points[1].active: active must name values of the map (off, on)"),
    ('    active: "on"\n', "", line_of("id: smoke"), "active must name values"),
    ('scale: "1/10"', 'scale: "ten"', None, "points[0].scale: 'ten' is not a rational number"),
    ('scale: "1/10"', "scale: 0.1", None, "points[0].scale: Input should be a valid string"),
    ('scale: "1/10"', 'scale: "0"', None, "a scale of 0 loses the value"),
    ('unit: "°C"', "unit: °F", None, "temperature is kept in °C: convert with scale and offset"),
    ("quantity: temperature", "quantity: warmth", None, "points[0].quantity: unknown quantity 'warmth'"),
    ("class: measure", "class: state", None, "points[0].class: temperature is a measure"),
    ("block: main\n    at: 1", "block: mian\n    at: 1", None, "points[0].block: there is no block 'mian'"),
    ("at: 1\n", "at: 4\n", None, "points[0].at: the value ends beyond the 4 items"),
    ("type: i16", "type: i64", line_of("at: 1"), "points[0].at: the value ends beyond"),
    ("type: i16", "type: bool", None, "cannot come from type bool"),
    ("type: i16", "type: i16\n    map: {1: a}", 22, "map belongs to states"),
    ("type: i16", "type: i16\n    range: [5, 5]", 22, "5.0 is not below 5.0"),
    ("type: i16", "type: i16\n    special: {70000: broken}", 22, "70000 cannot be a raw value of type i16"),
    ("type: i16", "type: i16\n    path: a.b", 22, "points[0].path: the source must be block here"),
    ("at: 0, type: bool}", "at: 0, type: u16}", None, "a bit is of type bool"),
    ("id: smoke", "id: temperature", None, "'temperature' is given twice"),
    ("quantity: smoke", "quantity: door", line_of("id: door"), "points[2]: 'door' is given twice"),
    ("count: 4}", "count: 126}", None, "blocks[0].count: one read has at most 125 registers"),
    ("address: 0, count: 4}", "address: 65534, count: 4}", None, "the block leaves the register space"),
    ("fc: 3, address", "fc: 6, address", None, "blocks[0].fc: Input should be 1, 2, 3 or 4"),
    ("kind: modbus", "kind: mqtt", None, "kind mqtt needs a section mqtt"),
    ("kind: modbus", "kind: zigbee", None, "connection.kind: Input should be"),
    ("smoke: 1}", "smoek: 1}", None, "vectors[0].expect.smoek: there is no point 'smoek'"),
    ("block: main, reply", "block: other, reply", None, "vectors[0].block: there is no block 'other'"),
    ('4C 27"', '4C 2"', None, "vectors[0].reply: not hexadecimal bytes"),
    ('scale: "1/100"', 'scale: "1/0"', None, "variants.hot.points[0].scale: '1/0' is not a rational number"),
    ("hot: {points: [{id: temperature,", "hot: {points: [{id: temprature,", None, "variants.hot"),
    ("id: acme-x1", "id: [", 4, "expected"),
    ("schema: 1", "schema: 2", None, "schema: Input should be 1"),
]


@pytest.mark.parametrize(("old", "new", "line", "reason"), CASES)
def test_a_broken_profile_names_file_line_and_reason(old: str, new: str, line: int | None, reason: str) -> None:
    found_line, found = refused(changed(old, new))
    assert reason in found
    assert found_line == (line_of(old) if line is None else line)


def test_documented_evidence_needs_a_vector() -> None:
    assert refused(GOOD[: GOOD.index("vectors:")]) == (7, "evidence: evidence documented needs at least one vector")
    assert load_text(GOOD[: GOOD.index("vectors:")].replace("documented", "assumed"), "acme-x1.yaml").vectors == ()


def test_a_vector_must_prove_something() -> None:
    line, reason = refused(changed(', expect: {temperature: "24.6", smoke: 1}', ""))
    assert (line, reason) == (line_of("reply:"), "vectors[0]: a vector without expect, quality, error or available proves nothing")


def test_yaml_1_1_words_are_refused_instead_of_becoming_booleans() -> None:
    line, reason = refused("%YAML 1.1\n---\n" + changed('"off"', "off"))
    assert line == line_of('"off"') + 2
    assert reason == "'off' is ambiguous here (read as bool): write it in quotes if it is text"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the file is empty"),
        ("- a\n", 1, "a profile is a mapping"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice"),
        ("a: 2026-01-05\n", 1, "ambiguous"),
        ("? [a]\n: 1\n", 1, "a key must be a plain word or number"),
        ("a:\n  <<: {b: 1}\n", 2, "ambiguous"),
        ("a: !!python/object:os.system x\n", 1, "ambiguous"),
        ("a: 1\n---\nb: 1\n", 2, "another document"),
        ("a: [1\n", 2, "expected"),
        ("a: \x00\n", 1, "not YAML"),
        ("[" * 60 + "]" * 60, 1, "nested too deeply"),
    ],
)
def test_text_that_is_no_plain_yaml_is_refused(text: str, line: int, reason: str) -> None:
    found_line, found = refused(text)
    assert (found_line, reason in found) == (line, True)


def test_a_bomb_of_anchors_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8))
    with pytest.raises(LocatedYamlError, match="more than"):
        load_located(bomb)


def test_numbers_and_words_keep_their_types() -> None:
    located = load_located("a: 0x10\nb: 007\nc: 1.5\nd: yes\ne: true\nf: ~\ng: '1'\nh: -5\n")
    assert located.data == {"a": 16, "b": 7, "c": 1.5, "d": "yes", "e": True, "f": None, "g": "1", "h": -5}
    assert located.line(("h", "deeper")) == 8
    assert located.line(("nowhere",)) == 1


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme-x1.yaml"
    path.write_bytes(b"vendor: \xff\n")
    with pytest.raises(ProfileError, match=r"acme-x1\.yaml:1: not UTF-8 text"):
        load_file(path)


MQTT = """\
schema: 1
id: acme-m1
vendor: Acme
model: M1
title: {zh: 温度, en: Temperature}
category: climate
evidence: assumed
sources: [manual]
connection: {kind: lorawan}
mqtt: {topic: "a/{device}", expected_interval_s: 60, time: {path: t, format: epoch_s}}
codec:
  name: milesight_tlv
  tlv:
    - {id: t, channel: 3, type: 0x67, size: 2, value: i16}
points:
  - {id: temperature, class: measure, quantity: temperature, tlv: t, type: i16}
"""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("size: 2", "size: 4", "i16 has 2 bytes"),
        ("tlv: t,", "tlv: u,", "the codec has no field 'u'"),
        ("tlv: t,", "path: t,", "the source must be tlv here"),
        ("time: {path: t", "time: {path: 'a b'", "'a b' is not a JSON path"),
        ("value: i16}\n", "value: i16}\n    - {id: t, channel: 4, type: 1, size: 1, value: skip}\n", "'t' is given twice"),
    ],
)
def test_a_broken_message_profile_is_refused(old: str, new: str, reason: str) -> None:
    assert load_text(MQTT, "acme-m1.yaml").codec is not None
    assert reason in refused(MQTT.replace(old, new, 1), "acme-m1.yaml")[1]
