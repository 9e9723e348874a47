"""The short way through an ordinary message: its spool range, then metrics that are an alias, an instant and a good number each, and nothing else.

Nearly all that a province sends in a second is such, and to make a value of each metric, of each sample and of each column from it took most of the
reading. Whatever is out of the ordinary in any way is left to the long way (sparkplug.py, batch_reading.py), which alone judges and refuses; of an
ordinary message both say the same.
"""

import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from contract.declarations import OUTBOX_EPOCH, OUTBOX_FIRST, OUTBOX_LAST, Outbox
from contract.sparkplug import MAX_PAYLOAD, MAX_TIMESTAMP
from contract.sparkplug_schema import payload_class

_Message: Final = payload_class()
_FIELDS: Final = _Message.DESCRIPTOR.fields_by_name["metrics"].message_type.fields_by_name
_NAME, _ALIAS, _TIMESTAMP, _LONG, _DOUBLE, _INT = (
    _FIELDS[name] for name in ("name", "alias", "timestamp", "long_value", "double_value", "int_value")
)
_SIGN: Final = 1 << 7
"""An integer below it reads alike in every datatype."""
_MOST: Final = 1 << 63


class Ordinary(NamedTuple):
    """One message: its instant (UTC ms) and sequence, its spool range, and its samples in columns (none of the values is None)."""

    timestamp: int
    seq: int
    outbox: Outbox
    aliases: list[int]
    taken_at: list[int]
    values: list[float | None]


def ordinary(data: bytes) -> Ordinary | None:
    """Read a message, if it is an ordinary one; never raises."""
    message = _Message()
    try:
        message.ParseFromString(data)
        outbox = _range([metric.ListFields() for metric in message.metrics[:3]])
        columns = _columns([metric.ListFields() for metric in message.metrics[3:]])
    except (DecodeError, UnicodeDecodeError):
        return None
    timestamp, seq = message.timestamp, message.seq
    fits = len(data) <= MAX_PAYLOAD and 0 < timestamp <= MAX_TIMESTAMP and message.HasField("seq") and seq <= 255
    return Ordinary(timestamp, seq, outbox, *columns) if fits and outbox is not None and columns is not None else None


_Fields = list[tuple[Any, Any]]
_Columns = tuple[list[int], list[int], list[float | None]]


def _columns(metrics: Iterable[_Fields]) -> _Columns | None:
    aliases, instants, values = list[int](), list[int](), list[float | None]()
    for fields in metrics:
        if len(fields) != 3:
            return None
        (first, alias), (second, instant), (third, value) = fields
        known = first is _ALIAS and second is _TIMESTAMP and alias < _MOST and instant <= MAX_TIMESTAMP
        if not (known and ((third is _DOUBLE and math.isfinite(value)) or (third is _INT and value < _SIGN))):
            return None
        aliases.append(alias)
        instants.append(instant)
        values.append(float(value))
    return aliases, instants, values


def _range(metrics: list[_Fields]) -> Outbox | None:
    """The spool range of the first three metrics, if they say that and no more, and it is possible."""
    if [tuple(field for field, _ in fields) for fields in metrics] != [(_NAME, _TIMESTAMP, _LONG)] * 3:
        return None
    epoch, first, last = (fields[2][1] for fields in metrics)
    named = [fields[0][1] for fields in metrics] == [OUTBOX_EPOCH, OUTBOX_FIRST, OUTBOX_LAST]
    return Outbox(epoch, first, last) if named and first <= last + 1 <= _MOST and first < _MOST else None
