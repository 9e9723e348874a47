import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import batch
from contract.batch import Ack, Outbox, PointDeclaration, UnknownAliasError
from contract.quantities import QUANTITIES, Kind
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import DataType, MalformedPayloadError, Metric, Payload, decode, encode

T = 1_700_000_000_000
GATEWAY = "gw-350128-01"
OUTBOX = Outbox((1 << 64) - 7, 41, 42)
CLIMATE = PointDeclaration("store1/temperature/rack2", 1, "350128000001-01", "°C", 30.0, "measure")
SMOKE = PointDeclaration("ceiling/smoke", 2, "350128000001-01", "", 30.0, "alarm", DataType.INT32)
ALIASES = {CLIMATE.metric: 1, SMOKE.metric: 2}
NAMES = {1: CLIMATE.metric, 2: SMOKE.metric}
WORDS = st.text("abcdefgh-_.0123456789", min_size=1, max_size=12)


def wire(payload: Payload) -> Payload:
    return decode(encode(payload))


def sample(value: float | None, quality: Quality = Quality.GOOD, reason: str = "", historical: bool = False) -> Sample:
    return Sample(PointKey(GATEWAY, "store1", "temperature", "rack2"), T - 500, value, quality, reason, historical)


def data(*metrics: Metric) -> batch.Data:
    return batch.read_data(wire(Payload(T, metrics, 3)), GATEWAY, NAMES)


# ------------------------------------------------------------------------------------------------------------------------------------ births


def test_a_birth_survives_the_wire() -> None:
    values = {CLIMATE.metric: sample(24.5), SMOKE.metric: Sample(PointKey(GATEWAY, "ceiling", "smoke"), T - 9, 1, Quality.UNCERTAIN, "wrong_profile")}
    birth = batch.read_birth(wire(batch.node_birth([CLIMATE, SMOKE], now=T, bd_seq=255, outbox=OUTBOX, rules_version="ab12", values=values)))
    assert birth.points == (CLIMATE, SMOKE)
    assert (birth.bd_seq, birth.outbox, birth.rules_version) == (255, OUTBOX, "ab12")
    assert birth.values == (
        (CLIMATE.metric, 24.5, Quality.GOOD, "", T - 500),
        (SMOKE.metric, 1.0, Quality.UNCERTAIN, "wrong_profile", T - 9),
    )
    assert birth.names == NAMES
    assert birth.skipped == ()


def test_a_point_never_read_is_born_bad_without_a_value() -> None:
    birth = batch.read_birth(wire(batch.node_birth([CLIMATE], now=T, bd_seq=0, outbox=None)))
    assert birth.outbox is None
    assert birth.values == ((CLIMATE.metric, None, Quality.BAD, "null_value", T),)


def test_a_birth_declares_everything_the_specification_and_the_acknowledgement_need() -> None:
    birth = wire(batch.node_birth([CLIMATE, SMOKE], now=T, bd_seq=3, outbox=OUTBOX))
    types = {metric.name: metric.datatype for metric in birth.metrics}
    assert birth.seq == 0
    assert types == {
        "bdSeq": DataType.INT64,
        "Node Control/Rebirth": DataType.BOOLEAN,
        "Outbox/Epoch": DataType.UINT64,
        "Outbox/First": DataType.UINT64,
        "Outbox/Last": DataType.UINT64,
        "Outbox/Gap": DataType.STRING,
        "Node Control/Outbox Ack": DataType.STRING,
        "Node Control/Rules": DataType.STRING,
        **dict.fromkeys(("Node Control/Write", "Node Control/Event Ack", "Event/Entry"), DataType.STRING),
        "Rules/Version": DataType.STRING,
        CLIMATE.metric: DataType.DOUBLE,
        SMOKE.metric: DataType.INT32,
    }
    rebirth = birth.metrics[1]
    assert (rebirth.value, rebirth.alias) == (False, None)
    assert all(metric.timestamp is not None and (metric.value is not None or metric.is_null) for metric in birth.metrics)


def test_the_death_is_the_golden_one() -> None:
    assert encode(batch.node_death(0, T)).hex() == "0880d095ffbc3112120a0562645365711880d095ffbc3120045800"


@given(
    st.lists(
        st.builds(
            PointDeclaration,
            metric=st.builds("/".join, st.tuples(WORDS, st.sampled_from(sorted(QUANTITIES)), WORDS)),
            alias=st.none(),
            room=WORDS,
            unit=st.sampled_from(["°C", "%RH", ""]),
            interval_s=st.one_of(st.none(), st.floats(0.5, 1e6)),
            klass=st.sampled_from(["alarm", "state", "measure", "health"]),
        ),
        unique_by=lambda point: point.metric,
        max_size=8,
    ),
    st.integers(0, 255),
)
def test_any_birth_survives_the_wire(points: list[PointDeclaration], bd_seq: int) -> None:
    numbered = tuple(
        PointDeclaration(point.metric, alias, point.room, point.unit, point.interval_s, point.klass, batch.datatype_of(point.metric))
        for alias, point in enumerate(points)
    )
    birth = batch.read_birth(wire(batch.node_birth(numbered, now=T, bd_seq=bd_seq, outbox=Outbox(1, 1, 0))))
    assert birth.points == numbered
    assert birth.outbox == (1, 1, 0)


# ------------------------------------------------------------------------------------------------------------------------- foreign gateways


def test_a_foreign_device_birth_is_kept_as_far_as_it_names_quantities() -> None:
    payload = Payload(
        T,
        (
            Metric("temperature", 7, T, DataType.FLOAT, 24.5, properties={"engUnit": "°C"}),
            Metric("Rack/Humidity/left", 8, T, DataType.INT16, -101),
            Metric("Smoke", None, T, DataType.BOOLEAN, True),
            Metric("Firmware", 9, T, DataType.STRING, "1.2"),
            Metric("TEMPERATURE", 10, T, DataType.FLOAT, 1.0),
        ),
        1,
    )
    birth = batch.read_birth(wire(payload), device="plc4")
    assert [(point.metric, point.alias, point.room, point.unit, point.interval_s, point.klass) for point in birth.points] == [
        ("plc4/temperature", 7, "", "°C", None, "measure"),
        ("plc4/humidity/Rack.left", 8, "", "", None, "measure"),
        ("plc4/smoke", None, "", "", None, "alarm"),
    ]
    assert [value.value for value in birth.values] == [24.5, -101.0, 1.0]
    assert birth.skipped == ("Firmware", "TEMPERATURE")
    assert birth.names == {7: "plc4/temperature", 8: "plc4/humidity/Rack.left", 9: "", 10: ""}
    assert (birth.bd_seq, birth.outbox, birth.rules_version) == (None, None, "")


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("store1/temperature", None, "store1/temperature"),
        ("store1/temperature/door", None, "store1/temperature/door"),  # our form wins over the last segment
        ("temperature", None, "node/temperature"),
        ("A/B/Temperature", None, "A/temperature/B"),
        ("temperature", "D", "D/temperature"),
        ("temperature/1", "D", "D/temperature/1"),
        ("x/y/temperature", "D", "D/temperature/x.y"),
        ("//temperature/", "D", "D/temperature"),
        ("humidity/temperature/1/2", "D", "D/temperature/humidity.1.2"),
        ("voltage of the mains", "temperature", ""),
        ("", "D", ""),
        ("Properties/Firmware", None, ""),
    ],
)
def test_foreign_names_become_canonical(name: str, device: str | None, expected: str) -> None:
    assert batch.canonical_metric(name, device) == expected
    if expected:
        assert PointKey.of("g", expected).quantity in QUANTITIES


def test_foreign_data_by_name_by_alias_and_by_ignored_alias() -> None:
    payload = Payload(T, (Metric(None, 7, T, None, 24.6), Metric("smoke", None, T, None, True), Metric(None, 9, T, None, "1.2")), 2)
    read = batch.read_data(wire(payload), GATEWAY, {7: "plc4/temperature", 9: ""}, device="plc4")
    assert [(str(one.point), one.value) for one in read.samples] == [(f"{GATEWAY}/plc4/temperature", 24.6), (f"{GATEWAY}/plc4/smoke", 1.0)]
    assert (read.outbox, read.gap) == (None, None)


def test_integers_of_foreign_data_follow_the_datatype_of_the_birth() -> None:
    payload = wire(Payload(T, (Metric(None, 7, T, DataType.UINT32, 4_000_000_000, typed=False), Metric(None, 8, T, None, -101)), 2))
    names = {7: "a/runtime", 8: "a/temperature"}
    assert [one.value for one in batch.read_data(payload, GATEWAY, names, datatypes={7: DataType.UINT32, 8: DataType.INT16}).samples] == [4e9, -101.0]
    assert batch.read_data(payload, GATEWAY, names).samples[1].value == -101.0


# -------------------------------------------------------------------------------------------------------------------------------------- data

QUALITIES = st.one_of(
    st.tuples(st.floats(-1e6, 1e6), st.just(Quality.GOOD), st.just("")),
    st.tuples(st.floats(-1e6, 1e6), st.sampled_from([Quality.UNCERTAIN, Quality.STALE, Quality.BAD]), st.text("abc_", max_size=9)),
    st.tuples(st.none(), st.just(Quality.BAD), st.text("abc_", max_size=9)),
)


@given(st.lists(st.tuples(QUALITIES, st.integers(0, T), st.booleans()), max_size=20), st.integers(0, 255))
def test_samples_survive_the_wire(rows: list[tuple[tuple[float | None, Quality, str], int, bool]], seq: int) -> None:
    samples = [Sample(PointKey.of(GATEWAY, CLIMATE.metric), at, *judged, historical) for judged, at, historical in rows]
    payload = wire(batch.node_data(samples, ALIASES, now=T, seq=seq, outbox=OUTBOX))
    read = batch.read_data(payload, GATEWAY, NAMES)
    assert read.samples == tuple(samples)
    assert (read.outbox, read.gap, payload.seq) == (OUTBOX, None, seq)
    assert all(metric.datatype is None for metric in payload.metrics)


def test_a_delayed_batch_is_marked_as_a_whole() -> None:
    read = batch.read_data(wire(batch.node_data([sample(1.0), sample(2.0)], ALIASES, now=T, seq=1, outbox=OUTBOX, historical=True)), GATEWAY, NAMES)
    assert [one.historical for one in read.samples] == [True, True]


def test_quality_is_sent_only_when_it_is_not_good() -> None:
    samples = [sample(1.0), sample(1.0, Quality.UNCERTAIN), sample(None, Quality.BAD), sample(1.0, Quality.STALE, "late")]
    payload = wire(batch.node_data(samples, ALIASES, now=T, seq=1, outbox=OUTBOX))
    assert [dict(metric.properties) for metric in payload.metrics[3:]] == [
        {},
        {"Quality": 192, "Reason": ""},
        {"Quality": 0},
        {"Quality": 500, "Reason": "late"},
    ]


def test_a_state_travels_as_an_integer_and_is_never_rounded() -> None:
    point = PointKey.of(GATEWAY, SMOKE.metric)
    payload = wire(batch.node_data([Sample(point, T, 1.0)], ALIASES, now=T, seq=1, outbox=OUTBOX))
    assert payload.metrics[3].value == 1
    assert isinstance(payload.metrics[3].value, int)
    with pytest.raises(ValueError, match="not a state value"):
        batch.node_data([Sample(point, T, 0.5)], ALIASES, now=T, seq=1, outbox=OUTBOX)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Metric(None, 1, T, None, math.nan), (None, Quality.BAD, "not_finite")),
        (Metric(None, 1, T, None, -math.inf), (None, Quality.BAD, "not_finite")),
        (Metric(None, 1, T, None, math.nan, properties={"Quality": 192}), (None, Quality.BAD, "not_finite")),
        (Metric(None, 1, T, None, "24.6"), (None, Quality.BAD, "not_a_number")),
        (Metric(None, 1, T, None, b"\x01"), (None, Quality.BAD, "not_a_number")),
        (Metric(None, 1, T, is_null=True), (None, Quality.BAD, "null_value")),
        (Metric(None, 1, T, is_null=True, properties={"Quality": 500}), (None, Quality.BAD, "null_value")),
        (Metric(None, 1, T, is_null=True, properties={"Quality": 0, "Reason": "crc"}), (None, Quality.BAD, "crc")),
        (Metric(None, 1, T, None, 2.5, properties={"Quality": 64}), (2.5, Quality.UNCERTAIN, "quality_64")),
        (Metric(None, 1, T, None, 2.5, properties={"Quality": "Good"}), (2.5, Quality.UNCERTAIN, "quality_Good")),
        (Metric(None, 1, T, None, True), (1.0, Quality.GOOD, "")),
    ],
)
def test_what_a_value_is_worth(metric: Metric, expected: tuple[float | None, Quality, str]) -> None:
    (read,) = data(metric).samples
    assert (read.value, read.quality, read.reason) == expected


def test_a_metric_without_a_timestamp_takes_that_of_its_message() -> None:
    assert data(Metric(None, 1, None, None, 2.5)).samples[0].taken_at == T


def test_a_gap_closes_a_range_without_samples() -> None:
    read = batch.read_data(wire(batch.gap(OUTBOX, "evicted", now=T, seq=9)), GATEWAY, NAMES)
    assert read == batch.Data((), OUTBOX, "evicted")


def test_an_unknown_alias_asks_for_a_rebirth() -> None:
    with pytest.raises(UnknownAliasError) as unknown:
        data(Metric(None, 99, T, None, 1.0))
    assert unknown.value.alias == 99


def test_a_point_without_an_alias_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="has no alias"):
        batch.node_data([sample(1.0)], {}, now=T, seq=1, outbox=OUTBOX)


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("no_timestamp", Payload(None, (Metric(None, 1, None, None, 2.5),))),
        ("name", Payload(T, (Metric(None, None, T, None, 2.5),))),
        ("outbox", Payload(T, (Metric("Outbox/Epoch", None, T, None, 5),))),
        ("outbox", Payload(T, tuple(Metric(f"Outbox/{part}", None, T, None, at) for part, at in (("Epoch", 1), ("First", 9), ("Last", 7))))),
        ("outbox", Payload(T, tuple(Metric(f"Outbox/{part}", None, T, None, at) for part, at in (("Epoch", 1), ("First", 9), ("Last", -7))))),
        ("node_metric", Payload(T, tuple(Metric(f"Outbox/{part}", None, T, None, 1.5) for part in ("Epoch", "First", "Last")))),
        ("node_metric", Payload(T, (Metric("Outbox/Gap", None, T, None, 1),))),
    ],
)
def test_unusable_data_is_refused_with_a_reason(reason: str, payload: Payload) -> None:
    with pytest.raises(MalformedPayloadError) as refused:
        batch.read_data(wire(payload), GATEWAY, NAMES)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("reason", "metrics"),
    [
        ("name", (Metric(None, 1, T, DataType.DOUBLE, 1.0),)),
        ("alias", (Metric("a/temperature", 1, T, None, 1.0), Metric("a/humidity", 1, T, None, 1.0))),
        ("node_metric", (Metric("bdSeq", None, T, None, "x"),)),
    ],
)
def test_an_unusable_birth_is_refused_with_a_reason(reason: str, metrics: tuple[Metric, ...]) -> None:
    with pytest.raises(MalformedPayloadError) as refused:
        batch.read_birth(wire(Payload(T, metrics, 0)))
    assert refused.value.reason == reason


ANY_VALUE = st.none() | st.integers(0, (1 << 63) - 1) | st.floats() | st.booleans() | st.text(max_size=8) | st.binary(max_size=8)
ANY_METRIC = st.builds(
    lambda name, alias, at, value, properties, historical: Metric(name, alias, at, None, value, historical, value is None, properties),
    st.none() | st.sampled_from([*sorted(batch.CONTROL), "temperature", "A/smoke/1"]) | st.text("ab/\x01", max_size=6),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, T),
    ANY_VALUE,
    st.dictionaries(
        st.sampled_from(["Quality", "Reason", "interval_s", "room", "unit", "class"]), st.integers(-9, 999) | st.floats() | st.text(max_size=3)
    ),
    st.booleans(),
)


@given(st.lists(ANY_METRIC, max_size=6), st.none() | st.just(T), st.none() | st.just("D"))
def test_any_well_formed_payload_is_read_or_refused(metrics: list[Metric], timestamp: int | None, device: str | None) -> None:
    payload = Payload(timestamp, tuple(metrics), 1)
    with suppress(MalformedPayloadError):
        birth = batch.read_birth(payload, device)
        assert all(value.value is None or math.isfinite(value.value) for value in birth.values)
    with suppress(MalformedPayloadError, UnknownAliasError):
        assert all(one.point.quantity in QUANTITIES for one in batch.read_data(payload, GATEWAY, NAMES, device).samples)
    with suppress(MalformedPayloadError):
        batch.read_command(payload)


# ---------------------------------------------------------------------------------------------------------------------------------- commands


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 63) - 1))
def test_an_acknowledgement_survives_the_wire(epoch: int, upto: int) -> None:
    assert batch.read_command(wire(batch.outbox_ack(Ack(epoch, upto), T))) == batch.Command(ack=Ack(epoch, upto))


def test_commands_survive_the_wire() -> None:
    assert batch.read_command(wire(batch.rebirth_command(T))).rebirth
    assert batch.read_command(wire(batch.rules_command('{"rules":[]}', T))).rules == '{"rules":[]}'
    assert batch.read_command(wire(batch.command("Node Control/Drill", "R1", T))).others == {"Node Control/Drill": "R1"}
    assert encode(batch.rebirth_command(T)).hex().endswith("0a144e6f646520436f6e74726f6c2f526562697274681880d095ffbc31200b7001")


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:-2", "1:2:3", "٣:١", "9" * 50 + ":1"])
def test_a_broken_acknowledgement_is_refused(text: str) -> None:
    with pytest.raises(MalformedPayloadError) as refused:
        batch.read_command(wire(batch.command("Node Control/Outbox Ack", text, T)))
    assert refused.value.reason == "ack"


def test_every_quantity_has_a_datatype() -> None:
    for name, entry in QUANTITIES.items():
        assert batch.datatype_of(f"d/{name}") == (DataType.INT32 if entry.kind is Kind.STATE else DataType.DOUBLE)
