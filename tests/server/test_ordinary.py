"""The short way through an ordinary message says exactly what the long way says, and leaves to it whatever is not ordinary."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.batch import Outbox, PointDeclaration, node_birth, node_data
from contract.ordinary import ordinary
from contract.sample import PointKey, Sample
from contract.sparkplug import DataType, Metric, Payload, decode, encode
from server.ingest.frames import pack
from server.ingest.mqtt import Incoming
from server.ingest.reader import Reader
from server.watch.inputs import GatewayData

T0 = 1_790_000_000_000
NAMES = ("th1/temperature", "th1/humidity", "s1/smoke", "d1/door", "c1/camera")
TOPIC = "spBv1.0/350100/{}/g"


class Long(Reader):
    """The same without the short way."""

    def _ordinary(self, message: Incoming) -> bool:
        return False


class Short(Reader):
    """The same, noting what went the short way."""

    taken = 0

    def _ordinary(self, message: Incoming) -> bool:
        done = super()._ordinary(message)
        self.taken += done
        return done


def heard_by(kind: type[Reader], messages: list[Incoming]) -> tuple[list[Any], list[Any], list[str], Reader]:
    heard: list[Any] = []
    sent: list[Any] = []
    counted: list[str] = []
    reader = kind(heard.append, lambda *one: sent.append(one), counted.append)
    points = [PointDeclaration(name, n, "", "", 10.0) for n, name in enumerate(NAMES)]
    reader.accept(Incoming(TOPIC.format("NBIRTH"), encode(node_birth(points, now=T0, bd_seq=0, outbox=Outbox(7, 1, 0))), T0))
    for message in messages:
        reader.accept(message)
    return [msgspec.to_builtins(pack(one) if isinstance(one, GatewayData) else one) for one in heard], sent, counted, reader


NUMBERS = st.one_of(st.sampled_from([0, 1, 0.0, 1.0, 20.5, 127, 128, 2**31, -1, -41.0, 1e9, float("nan"), float("inf")]), st.floats(0, 100))
METRICS = st.builds(
    Metric,
    name=st.sampled_from([None, None, None, None, "th1/temperature", "unknown/thing", "Outbox/Gap"]),
    alias=st.sampled_from([0, 1, 2, 3, 4, 0, 1, 2, 9, None, 2**63]),
    timestamp=st.sampled_from([T0, T0 - 5, T0 + 60_000, None, 0, 253_402_300_800_000]),
    datatype=st.sampled_from([None, None, None, int(DataType.INT32), int(DataType.DOUBLE)]),
    value=NUMBERS,
    is_historical=st.sampled_from([False, False, False, True]),
    properties=st.sampled_from([{}, {}, {}, {"Quality": 0}, {"Quality": 192, "Reason": "old"}]),
    typed=st.just(False),
)
PLAIN = st.builds(lambda alias, value: Metric(None, alias, T0, None, value, typed=False), st.integers(0, 4), st.sampled_from([0, 1, 0.0, 20.5, 99.0]))
RANGES = st.sampled_from([(7, 1, 5), (7, 6, 5), (7, 9, 5), (7, 2**63, 2**63 - 1), (7, 0, 2**63), (8, 1, 1)])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A message: nearly ordinary, or not at all."""
    first = [
        Metric(name, None, T0, DataType.UINT64, value, typed=False)
        for name, value in zip(("Outbox/Epoch", "Outbox/First", "Outbox/Last"), draw(RANGES), strict=True)
    ]
    kept = draw(st.sampled_from([3, 3, 3, 3, 2, 0]))
    metrics = draw(st.lists(st.one_of(PLAIN, PLAIN, PLAIN, METRICS), max_size=6))
    stamp, seq = draw(st.sampled_from([T0, T0, T0 + 1, T0 - 9, None])), draw(st.sampled_from([0, 1, 1, 2, 3, 255, None]))
    try:
        body = encode(Payload(stamp, (*first[:kept], *metrics), seq))
    except (ValueError, TypeError, OverflowError):  # what no sender can encode
        body = b"\x0a\x01"
    return draw(st.sampled_from([body, body, body, body[:-1], b"\xff" + body]))


@given(st.lists(st.tuples(bodies(), st.integers(0, 5000)), max_size=8))
@settings(max_examples=150, deadline=None)
def test_both_ways_say_the_same(said: list[tuple[bytes, int]]) -> None:
    messages = [Incoming(TOPIC.format("NDATA"), body, T0 + at) for body, at in said]
    assert heard_by(Short, messages)[:3] == heard_by(Long, messages)[:3]


def test_what_our_edge_sends_all_day_goes_the_short_way() -> None:
    samples = [Sample(PointKey.of("g", name), T0 + n, float(n % 2)) for n, name in enumerate(NAMES)]
    aliases = {name: n for n, name in enumerate(NAMES)}
    bodies = [encode(node_data(samples, aliases, now=T0 + n, seq=n, outbox=Outbox(7, 5 * n - 4, 5 * n))) for n in (1, 2, 3)]
    heard, _, counted, reader = heard_by(Short, [Incoming(TOPIC.format("NDATA"), body, T0 + 9) for body in bodies])
    assert isinstance(reader, Short)
    assert reader.taken == 2  # the first of a connection goes the long way, where topic and birth are looked up
    assert [one["urgent"] for one in heard[1:]] == [True, False, False]
    assert [one["samples"]["values"] for one in heard[1:]] == [[0.0, 1.0, 0.0, 1.0, 0.0]] * 3
    assert counted == []


@given(bodies())
@settings(max_examples=150, deadline=None)
def test_an_ordinary_message_holds_what_the_decoder_finds(body: bytes) -> None:
    if (short := ordinary(body)) is not None:
        payload = decode(body)
        assert (short.timestamp, short.seq) == (payload.timestamp, payload.seq)
        assert [(one.alias, one.timestamp, one.value) for one in payload.metrics[3:]] == list(
            zip(short.aliases, short.taken_at, short.values, strict=True)
        )
