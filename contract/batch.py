"""Our use of Sparkplug B: what births, data and commands carry beside the standard, written and read by edge, server and simulators.

On top of the specification a batch names its place in the edge's spool (`Outbox/Epoch, First, Last`), and the server acknowledges the highest
contiguous sequence by NCMD (`Node Control/Outbox Ack` = "<epoch>:<upto>"). Quality travels as the property Quality (192 good and omitted, 192 with
property Reason = uncertain, 0 bad, 500 stale). Measures travel as Double, states as Int32. A good sample has no reason: it is not sent.
The readers live in contract/batch_reading.py and are exported here.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from contract.batch_reading import canonical_metric, read_birth, read_command, read_data
from contract.declarations import (
    BD_SEQ,
    CONTROL,
    EVENT,
    EVENT_ACK,
    OFFERS,
    OUTBOX_ACK,
    OUTBOX_EPOCH,
    OUTBOX_FIRST,
    OUTBOX_GAP,
    OUTBOX_LAST,
    REBIRTH,
    RULES,
    RULES_VERSION,
    WRITE,
    Ack,
    Birth,
    BirthValue,
    Command,
    Data,
    Outbox,
    PointDeclaration,
    UnknownAliasError,
)
from contract.quantities import Kind, quantity
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import DataType, Metric, Payload, Value

__all__ = [
    "CONTROL",
    "MAX_BYTES",
    "MAX_SAMPLES",
    "Ack",
    "Birth",
    "BirthValue",
    "Command",
    "Data",
    "Outbox",
    "PointDeclaration",
    "UnknownAliasError",
    "canonical_metric",
    "command",
    "datatype_of",
    "event_ack",
    "events",
    "gap",
    "node_birth",
    "node_data",
    "node_death",
    "outbox_ack",
    "read_birth",
    "read_command",
    "read_data",
    "rebirth_command",
    "rules_command",
    "write_command",
]

MAX_SAMPLES: Final = 500
"""Most samples in one message of our edge."""
MAX_BYTES: Final = 64 * 1024
"""Largest message of our edge, bytes."""

_CODE: Final = {Quality.GOOD: 192, Quality.UNCERTAIN: 192, Quality.BAD: 0, Quality.STALE: 500}


@lru_cache(maxsize=1 << 14)
def datatype_of(metric: str) -> DataType:
    """The datatype of a point on the wire: Int32 for states, Double for measures.

    Raises ValueError for a name that is not `<device>/<quantity>[/<channel>]`, UnknownQuantityError for a quantity outside the vocabulary.
    """
    kind = quantity(PointKey.of("-", metric).quantity).kind
    return DataType.INT32 if kind is Kind.STATE else DataType.DOUBLE


def _wire_value(value: float, datatype: int) -> int | float:
    """A state is sent as an integer, but never rounded: a state of 0.5 is a mistake that must be seen."""
    if datatype != DataType.INT32:
        return float(value)
    if value != int(value):
        raise ValueError(f"{value} is not a state value")
    return int(value)


def _quality_properties(quality: Quality, reason: str) -> dict[str, int | float | bool | str]:
    if quality is Quality.GOOD:
        return {}
    if reason or quality is Quality.UNCERTAIN:
        return {"Quality": _CODE[quality], "Reason": reason}
    return {"Quality": _CODE[quality]}


# ----------------------------------------------------------------------------------------------------------------------------------- births


def node_birth(
    points: Iterable[PointDeclaration],
    *,
    now: int,
    bd_seq: int,
    outbox: Outbox | None,
    rules_version: str = "",
    values: Mapping[str, Sample] | None = None,
    offers: str | None = None,
) -> Payload:
    """The NBIRTH of our edge, seq 0: node metrics, then every point with its declaration and, if `values` (by metric name) has one, its last sample.

    `now` is UTC ms. `outbox` is (epoch, lowest sequence still held, highest written); None declares a node without acknowledgements. `offers` is the
    JSON of contract.offers.
    """
    known = values or {}
    metrics = [
        Metric(BD_SEQ, None, now, DataType.INT64, bd_seq),
        Metric(REBIRTH, None, now, DataType.BOOLEAN, False),
        *(_outbox_declaration(outbox, now) if outbox else ()),
        *(Metric(name, None, now, DataType.STRING, is_null=True) for name in (RULES, WRITE, EVENT_ACK, EVENT)),
        Metric(RULES_VERSION, None, now, DataType.STRING, rules_version),
        *(() if offers is None else (Metric(OFFERS, None, now, DataType.STRING, offers),)),
        *(_declared(point, known.get(point.metric), now) for point in points),
    ]
    return Payload(now, tuple(metrics), 0)


def _outbox_declaration(outbox: Outbox, now: int) -> tuple[Metric, ...]:
    return (
        *_outbox_metrics(outbox, now, typed=True),
        Metric(OUTBOX_GAP, None, now, DataType.STRING, is_null=True),
        Metric(OUTBOX_ACK, None, now, DataType.STRING, is_null=True),
    )


def _outbox_metrics(outbox: Outbox, now: int, *, typed: bool) -> tuple[Metric, ...]:
    named = zip((OUTBOX_EPOCH, OUTBOX_FIRST, OUTBOX_LAST), outbox, strict=True)
    return tuple(Metric(name, None, now, DataType.UINT64, value, typed=typed) for name, value in named)


def _declared(point: PointDeclaration, sample: Sample | None, now: int) -> Metric:
    key = PointKey.of("-", point.metric)
    properties: dict[str, int | float | bool | str] = {"room": point.room, "quantity": key.quantity, "channel": key.channel, "unit": point.unit}
    if point.interval_s is not None:
        properties["interval_s"] = float(point.interval_s)
    properties["class"] = point.klass
    datatype = datatype_of(point.metric)
    if sample is None:
        return Metric(point.metric, point.alias, now, datatype, is_null=True, properties=properties)
    properties |= _quality_properties(sample.quality, sample.reason)
    value = None if sample.value is None else _wire_value(sample.value, datatype)
    return Metric(point.metric, point.alias, sample.taken_at, datatype, value, is_null=value is None, properties=properties)


def node_death(bd_seq: int, now: int) -> Payload:
    """The NDEATH, which is the Will: `bd_seq` equals that of the birth, and there is no seq."""
    return Payload(now, (Metric(BD_SEQ, None, now, DataType.INT64, bd_seq),))


# ------------------------------------------------------------------------------------------------------------------------------------- data


def node_data(samples: Sequence[Sample], aliases: Mapping[str, int], *, now: int, seq: int, outbox: Outbox, historical: bool = False) -> Payload:
    """One NDATA with the spool range `outbox`. `aliases` maps metric names to the aliases of the birth.

    `historical` marks every sample as delayed; otherwise each sample's own mark is sent. Raises ValueError for a point without an alias.
    """
    metrics = _outbox_metrics(outbox, now, typed=False)
    return Payload(now, (*metrics, *[_data_metric(sample, aliases, historical) for sample in samples]), seq)


def _data_metric(sample: Sample, aliases: Mapping[str, int], historical: bool) -> Metric:
    name = sample.point.metric
    alias = aliases.get(name)
    if alias is None:
        raise ValueError(f"point {name} has no alias in the birth")
    datatype = datatype_of(name)
    value = None if sample.value is None else _wire_value(sample.value, datatype)
    properties = _quality_properties(sample.quality, sample.reason)
    return Metric(None, alias, sample.taken_at, datatype, value, historical or sample.historical, value is None, properties, typed=False)


def gap(outbox: Outbox, reason: str, *, now: int, seq: int) -> Payload:
    """An NDATA without samples that closes a spool range which can never be sent (evicted, damaged)."""
    metrics = _outbox_metrics(outbox, now, typed=False)
    return Payload(now, (*metrics, Metric(OUTBOX_GAP, None, now, DataType.STRING, reason, typed=False)), seq)


def events(texts: Iterable[str], *, now: int, seq: int) -> Payload:
    """An NDATA with entries of the gateway's logbook (JSON each), outside the spool: they are repeated until the server names their ids."""
    return Payload(now, tuple(Metric(EVENT, None, now, DataType.STRING, text, typed=False) for text in texts), seq)


# --------------------------------------------------------------------------------------------------------------------------------- commands


def command(name: str, value: Value, now: int) -> Payload:
    """An NCMD with one named metric. Commands to a node carry no seq."""
    return Payload(now, (Metric(name, None, now, None, value),))


def outbox_ack(ack: Ack, now: int) -> Payload:
    """The NCMD that lets the edge forget everything up to `ack.upto`."""
    return command(OUTBOX_ACK, str(ack), now)


def rebirth_command(now: int) -> Payload:
    """The NCMD that asks a node for its births; typed like the example of the specification."""
    return Payload(now, (Metric(REBIRTH, None, now, DataType.BOOLEAN, True),))


def rules_command(rules: str, now: int) -> Payload:
    """The NCMD that carries a rule set as JSON text."""
    return command(RULES, rules, now)


def write_command(order: str, now: int) -> Payload:
    """The NCMD that orders a write on a device, as JSON (contract/writing.py)."""
    return command(WRITE, order, now)


def event_ack(ids: Iterable[str], now: int) -> Payload:
    """The NCMD that names logbook entries which the server has."""
    return command(EVENT_ACK, " ".join(ids), now)
