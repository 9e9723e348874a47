"""Every packaged profile: its own frames, its own requests, and a round trip of any value it can show."""

from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.decoding import Reading, block_request, decode_block, decode_exchange, decode_message, encode_block, encode_message
from contract.frames import build_reply, parse_request
from contract.installation import ChannelUse, configure, usual, variant
from contract.profile import Point, Profile, UnknownProfileError, catalogue, find
from contract.quantities import Kind, quantity
from contract.registers import integer_range
from contract.sample import Quality
from contract.vectors import check, failures

Position = Literal["open", "closed"]
PROFILES = list(catalogue().values())
VARIANTS = {f"{profile.id}-{name}": variant(profile, name) for profile in PROFILES for name in profile.variants}
BUS = {profile.id: profile for profile in PROFILES if profile.blocks} | VARIANTS
MESSAGES = {profile.id: usual(profile) for profile in PROFILES if profile.mqtt is not None}
NAMED = [
    *("renke-rs-ws-n01", "jxct-jxbs-3001-th", "jxct-jxbs-3001-o3", "jxct-jxbs-3001-pressure", "xy-md02", "sonbest-sm7820b", "sonbest-sm7571b"),
    *("huawei-02312pbl", "vaisala-hmp", "dfrobot-sen0658", "door-rs485", "waveshare-8di", "wirenboard-wb-msw-v3", "kincony-sht30"),
    *("milesight-am319-hcho", "milesight-em300-sld", "huawei-ups2000"),
]
PROVEN = [pytest.param(profile, id=profile.id) for profile in PROFILES if profile.evidence != "assumed" and not profile.camera]
SPECIAL = [pytest.param(profile, point, id=f"{name}-{point.id}") for name, profile in BUS.items() for point in profile.points if point.special]


@pytest.mark.parametrize(
    ("profile", "number"), [pytest.param(profile, at, id=f"{profile.id}-{at}") for profile in PROFILES for at in range(len(profile.vectors))]
)
def test_every_vector_holds(profile: Profile, number: int) -> None:
    assert check(profile, profile.vectors[number]) == []


@pytest.mark.parametrize("name", NAMED)
def test_the_promised_names_are_there(name: str) -> None:
    assert find(name).id == name
    assert find(name.upper()).id == name


def test_aliases_lead_to_their_profile_and_others_nowhere() -> None:
    assert find("RS-WS-N01-2").id == "renke-rs-ws-n01"
    with pytest.raises(UnknownProfileError, match="'no-such-thing'"):
        find("no-such-thing")


@pytest.mark.parametrize(
    "profile", [pytest.param(profile, id=profile.id) for profile in PROFILES if profile.evidence != "assumed" and not profile.camera]
)
def test_evidence_is_backed_by_a_good_frame(profile: Profile) -> None:
    assert any(vector.expect for vector in profile.vectors)


def test_a_wrong_expectation_is_noticed() -> None:
    profile = find("generic-rs485-smoke")
    spoiled = [
        profile.vectors[0].model_copy(update={"expect": {"smoke": 1}}),
        profile.vectors[0].model_copy(update={"quality": {"smoke": "bad"}}),
        profile.vectors[0].model_copy(update={"error": "crc"}),
        profile.vectors[0].model_copy(update={"request": "01 03 00 11 00 01 D4 0F"}),
        profile.vectors[2].model_copy(update={"quality": {}, "expect": {"smoke": 1}}),
    ]
    assert len(failures(profile.model_copy(update={"vectors": tuple(spoiled)}))) >= len(spoiled)


# ---------------------------------------------------------------------------------------------------------------------------- round trips


def tolerance(point: Point) -> float:
    """Half a step of the device's resolution."""
    return float(abs(Fraction(point.scale))) / 2 + 1e-9 if point.type not in ("f32", "f64") else 1e-4


def bounds(point: Point) -> tuple[float, float]:
    """What is plausible and fits the type."""
    known = quantity(point.quantity)
    low, high = point.range or (known.low, known.high)
    limits = integer_range(point.type)
    ends = sorted(float(raw * Fraction(point.scale) + Fraction(point.offset)) for raw in limits or ())
    if ends and point.decode == "plain":
        low, high = max(low, ends[0]), min(high, ends[1])
    return max(low, known.low), min(high, known.high)


def showable(point: Point) -> st.SearchStrategy[float]:
    if quantity(point.quantity).kind is Kind.STATE:
        return st.integers(0, 1)
    low, high = bounds(point)
    return st.floats(low, high)


def comes_back(point: Point, one: Reading, wanted: float) -> bool:
    """Within half a step; a value that rounds past the edge of the plausible range is bad, and rightly so."""
    if one.value is None:
        low, high = bounds(point)
        return one.reason == "out_of_range" and (wanted - low <= tolerance(point) or high - wanted <= tolerance(point))
    return abs(one.value - wanted) <= tolerance(point)


@pytest.mark.parametrize("name", BUS)
@settings(max_examples=25)
@given(data=st.data())
def test_registers_show_what_was_put_in(name: str, data: st.DataObject) -> None:
    profile = BUS[name]
    for block in profile.blocks:
        points = [point for point in profile.points if point.block == block.id]
        values = {point.id: data.draw(showable(point), point.id) for point in points}
        words = encode_block(profile, block.id, values)
        assert len(words) == block.count
        readings = decode_block(profile, block.id, words)
        request = block_request(profile, block.id, profile.connection.unit.default)
        assert decode_exchange(profile, request, build_reply(parse_request(request), words)) == readings
        for point, one in zip(points, readings, strict=True):
            assert comes_back(point, one, values[point.id])


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=25)
@given(data=st.data())
def test_messages_show_what_was_put_in(name: str, data: st.DataObject) -> None:
    profile = MESSAGES[name]
    points = list({point.tlv or point.id: point for point in profile.points}.values())  # several points may look at one field: one of them sets it
    values = {point.id: data.draw(showable(point), point.id) for point in points}
    seen = set()
    for topic, payload in encode_message(profile, "store1", values, time_ms=1_700_000_000_000):
        message = decode_message(profile, topic, payload)
        assert message.device == "store1"
        assert message.time_ms == (1_700_000_000_000 if profile.mqtt and profile.mqtt.time else None)
        found = [one for one in message.readings if one.point_id in values]
        seen |= {one.point_id for one in found}
        assert all(comes_back(profile.point(one.point_id), one, values[one.point_id]) for one in found)
    assert seen == set(values)


@pytest.mark.parametrize("name", [name for name, profile in MESSAGES.items() if profile.mqtt and profile.mqtt.availability])
def test_availability_survives(name: str) -> None:
    for there in (True, False):
        ((topic, payload),) = encode_message(MESSAGES[name], "store1", {}, available=there)
        assert decode_message(MESSAGES[name], topic, payload).available is there


@pytest.mark.parametrize(("profile", "point"), SPECIAL)
def test_nothing_read_is_shown_as_a_special_value(profile: Profile, point: Point) -> None:
    assert point.block is not None
    shown = {one.point_id: one for one in decode_block(profile, point.block, encode_block(profile, point.block, {point.id: None}))}[point.id]
    assert (shown.value, shown.quality, shown.reason) == (None, Quality.BAD, next(iter(point.special.values())))


# --------------------------------------------------------------------------------------------------------------------------- polarity


@pytest.mark.parametrize("quantity_name", ["door", "smoke", "leak", "motion"])
@pytest.mark.parametrize(("normally", "bit", "value"), [("open", 0, 0), ("open", 1, 1), ("closed", 1, 0), ("closed", 0, 1)])
def test_a_wired_contact_means_what_the_installer_said(quantity_name: str, normally: Position, bit: int, value: int) -> None:
    installed = configure(find("waveshare-8di"), channels={"di3": ChannelUse(quantity=quantity_name, normally=normally)})
    (one,) = decode_block(installed, "di", [0, 0, bit, 0, 0, 0, 0, 0])
    assert (one.quantity, one.channel, one.value, one.quality) == (quantity_name, "di3", value, Quality.GOOD)
    assert encode_block(installed, "di", {"di3": value})[2] == bit


@pytest.mark.parametrize(("normally", "bit", "value"), [("open", 0, 1), ("open", 1, 0), ("closed", 1, 1), ("closed", 0, 0)])
def test_mains_is_there_in_the_normal_position(normally: Position, bit: int, value: int) -> None:
    installed = configure(find("waveshare-8di"), channels={"di1": ChannelUse(quantity="power", normally=normally, channel="")})
    (one,) = decode_block(installed, "di", [bit] + [0] * 7)
    assert (one.quantity, one.channel, one.value) == ("power", "", value)


def test_a_fail_safe_loop_of_novabo() -> None:
    installed = configure(find("novabo-2di"), channels={"di1": ChannelUse(quantity="smoke", normally="closed", channel="")})
    request = bytes.fromhex("FF 02 00 00 00 08 6C 12")
    assert decode_exchange(installed, request, bytes.fromhex("FF 02 01 01 51 A0"))[0].value == 0
    assert decode_exchange(installed, request, bytes.fromhex("FF 02 01 00 90 60"))[0].value == 1
    assert installed.points[0].fail_safe


def test_there_is_a_profile_for_each_device_with_a_map_or_a_frame() -> None:
    proven = [profile for profile in PROFILES if profile.evidence != "assumed" and (profile.vectors or profile.camera)]
    assert len(proven) >= 65
    assert all(profile.sources for profile in PROFILES)
