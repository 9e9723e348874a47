import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.sparkplug import MAX_PAYLOAD, DataType, MalformedPayloadError, Metric, Payload, decode, encode, reinterpret

T = 1_700_000_000_000
REBIRTH = "Node Control/Rebirth"

# Made and re-parsed with the official Eclipse Tahu schema.
GOLDEN = {
    "ndeath": (
        Payload(T, (Metric("bdSeq", None, T, DataType.INT64, 0),)),
        "0880d095ffbc3112120a0562645365711880d095ffbc3120045800",
    ),
    "nbirth": (
        Payload(T, (Metric("bdSeq", None, T, DataType.INT64, 0), Metric(REBIRTH, None, T, DataType.BOOLEAN, False)), 0),
        "0880d095ffbc3112120a0562645365711880d095ffbc312004580012210a144e6f646520436f6e74726f6c2f526562697274681880d095ffbc31200b70001800",
    ),
    "dbirth": (
        Payload(T, (Metric("temperature", 1, T, DataType.DOUBLE, 24.5, properties={"Quality": 192}),), 1),
        "0880d095ffbc3112330a0b74656d706572617475726510011880d095ffbc31200a4a100a075175616c6974791205080318c0016900000000008038401801",
    ),
    "ddata": (
        Payload(T + 1000, (Metric(None, 1, T + 1000, None, 24.6),), 2),
        "08e8d795ffbc311212100118e8d795ffbc31699a999999999938401802",
    ),
    "historical": (
        Payload(T + 2000, (Metric(None, 1, T - 60_000, None, 23.9, is_historical=True),), 3),
        "08d0df95ffbc311214100118a0fb91ffbc312801696666666666e637401803",
    ),
    "fault": (
        Payload(T + 3000, (Metric(None, 1, T + 3000, is_null=True, properties={"Quality": 0}),), 4),
        "08b8e795ffbc31121c100118b8e795ffbc3138014a0f0a075175616c6974791204080318001804",
    ),
    "negative": (
        Payload(T + 4000, (Metric(None, 2, T + 4000, None, -101),), 5),
        "08a0ef95ffbc31120f100218a0ef95ffbc31509bffffff0f1805",
    ),
    "rebirth": (
        Payload(T, (Metric(REBIRTH, None, T, DataType.BOOLEAN, True),)),
        "0880d095ffbc3112210a144e6f646520436f6e74726f6c2f526562697274681880d095ffbc31200b7001",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_payloads_are_encoded_to_exactly_these_bytes(name: str) -> None:
    payload, expected = GOLDEN[name]
    assert encode(payload).hex() == expected


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_payloads_are_decoded_into_their_fields(name: str) -> None:
    payload, given_bytes = GOLDEN[name]
    assert decode(bytes.fromhex(given_bytes)) == payload


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.INT8, -128),
        (DataType.INT16, -101),
        (DataType.INT32, -(1 << 31)),
        (DataType.INT64, -(1 << 63)),
        (DataType.UINT8, 255),
        (DataType.UINT32, (1 << 32) - 1),
        (DataType.UINT64, (1 << 64) - 1),
        (DataType.FLOAT, 0.5),
        (DataType.DOUBLE, 24.6),
        (DataType.BOOLEAN, True),
        (DataType.STRING, "库房"),
        (DataType.DATETIME, T),
        (DataType.BYTES, b"\x00\xff"),
        (DataType.DATASET, b"\x08\x02"),
        (DataType.DOUBLE_ARRAY, bytes(16)),
    ],
)
def test_every_datatype_survives_the_wire(datatype: DataType, value: int | float | str | bytes) -> None:
    payload = Payload(T, (Metric("m", 7, T, datatype, value),), 9)
    assert decode(encode(payload)) == payload


@given(
    st.lists(
        st.builds(
            Metric,
            name=st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))),
            alias=st.one_of(st.none(), st.integers(0, (1 << 63) - 1)),
            timestamp=st.one_of(st.none(), st.integers(0, 253_402_300_799_999)),
            datatype=st.just(DataType.DOUBLE),
            value=st.floats(allow_nan=False),
            is_historical=st.booleans(),
            properties=st.dictionaries(st.text("abc", min_size=1), st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.booleans(), st.floats(0, 1))),
        ),
        max_size=5,
    ),
    st.one_of(st.none(), st.integers(0, 255)),
)
def test_any_payload_survives_the_wire(metrics: list[Metric], seq: int | None) -> None:
    payload = Payload(T, tuple(metrics), seq)
    assert decode(encode(payload)) == payload


def test_the_datatype_stays_off_the_wire_when_untyped_and_still_chooses_the_field() -> None:
    data = encode(Payload(None, (Metric(None, 1, None, DataType.UINT64, 5, typed=False),)))
    assert data.hex() == "120410015805"  # field 11, long_value
    assert decode(data).metrics[0].datatype is None


def test_nan_is_kept_by_the_codec() -> None:
    decoded = decode(encode(Payload(T, (Metric("m", value=math.nan),)))).metrics[0].value
    assert isinstance(decoded, float)
    assert math.isnan(decoded)


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (0xFFFFFF9B, DataType.INT16, -101),  # sign-extended to 32 bits, as Tahu does
        (0xFF9B, DataType.INT16, -101),  # not extended, as others do
        (-1, DataType.UINT32, 0xFFFF_FFFF),
        (-1, DataType.UINT64, 0xFFFF_FFFF_FFFF_FFFF),
        (200, DataType.UINT8, 200),
    ],
)
def test_integers_are_reinterpreted_by_datatype(value: int, datatype: DataType, expected: int) -> None:
    assert reinterpret(value, datatype) == expected


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("oversized", bytes(MAX_PAYLOAD + 1)),
        ("protobuf", b"\xff\xff\xff"),
        ("protobuf", b"not protobuf at all"),
        ("missing_value", bytes.fromhex("12021001")),
        ("datatype", bytes.fromhex("1206100120235001")),  # datatype 35
        ("datatype", bytes.fromhex("1206100120005001")),  # datatype 0
        ("value_type", bytes.fromhex("1205200a7a0178")),
        ("text", bytes.fromhex("12060a02c3285001")),
        ("text", bytes.fromhex("12050a01005001")),
        ("timestamp", encode(Payload((1 << 64) - 1))),
        ("seq", encode(Payload(None, (), 256))),
        ("alias", encode(Payload(None, (Metric(None, 1 << 63, value=1),)))),
        ("properties", bytes.fromhex("120910014a030a01615001")),
    ],
)
def test_malformed_bytes_are_refused_with_a_reason(reason: str, data: bytes) -> None:
    with pytest.raises(MalformedPayloadError) as refused:
        decode(data)
    assert refused.value.reason == reason
    assert str(refused.value).endswith(".")


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with suppress(MalformedPayloadError):
        decode(data)


@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_damaged_payloads_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    raw = bytearray.fromhex(GOLDEN[name][1])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MalformedPayloadError):
        decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@pytest.mark.parametrize(
    "metric",
    [Metric("m"), Metric("m", datatype=DataType.INT8, value=128), Metric("m", datatype=DataType.UINT8, value=-1)],
)
def test_the_encoder_refuses_what_a_datatype_cannot_hold(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"m has neither|does not fit"):
        encode(Payload(T, (metric,)))
