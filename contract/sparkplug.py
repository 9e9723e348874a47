"""Sparkplug B 3.0 payloads: bytes <-> plain values. Knows the wire format and nothing of what we send in it (that is contract/batch.py).

DataSet, Template and extension values of foreign gateways are kept as opaque bytes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

import msgspec
from google.protobuf.message import DecodeError

from contract.sparkplug_schema import DataType, payload_class

__all__ = [
    "MAX_PAYLOAD",
    "MAX_TIMESTAMP",
    "DataType",
    "MalformedPayloadError",
    "Metric",
    "Payload",
    "Value",
    "decode",
    "encode",
    "peek",
    "reinterpret",
]

MAX_PAYLOAD: Final = 4 * 64 * 1024
"""Largest payload that is looked at, bytes. Our own batches stop at 64 KiB; a foreign birth may be larger."""
MAX_TIMESTAMP: Final = 253_402_300_799_999
"""31 December 9999 in UTC ms: beyond it no calendar can show the instant."""

Value: TypeAlias = int | float | bool | str | bytes


class MalformedPayloadError(ValueError):
    """The bytes cannot be used. `reason` is a short code for a counter, the text one sentence for a person."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One metric. `timestamp` is UTC ms; `is_null` stands for a value that is missing on purpose. Out of the garbage collector's sight: see Sample.

    `typed` False leaves the datatype off the wire while it still chooses the value field, as the specification wants in DATA and CMD messages.
    """

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    datatype: int | None = None
    value: Value | None = None
    is_historical: bool = False
    is_null: bool = False
    properties: Mapping[str, int | float | bool | str] = {}
    typed: bool = True


class Payload(msgspec.Struct, frozen=True, gc=False):
    """One message body. `seq` counts 0..255 over all messages of a node and is absent in NDEATH."""

    timestamp: int | None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


_PayloadMessage: Final = payload_class()

_SIGNED_BITS: Final = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED_BITS: Final = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64, DataType.DATETIME: 64}
_OPAQUE: Final = {DataType.DATASET: "dataset_value", DataType.TEMPLATE: "template_value"}


def _field_of(datatype: int) -> str:
    """The protobuf field that carries a value of a datatype."""
    bits = _SIGNED_BITS.get(DataType(datatype)) or _UNSIGNED_BITS.get(DataType(datatype))
    if bits:
        return "long_value" if bits == 64 else "int_value"
    named = {DataType.FLOAT: "float_value", DataType.DOUBLE: "double_value", DataType.BOOLEAN: "boolean_value"} | _OPAQUE
    if datatype in (DataType.STRING, DataType.TEXT, DataType.UUID):
        return "string_value"
    return named.get(DataType(datatype), "bytes_value")


_FIELD: Final[Mapping[int, str]] = {int(datatype): _field_of(datatype) for datatype in DataType if datatype is not DataType.UNKNOWN}
_FAMILY: Final[Mapping[str, str]] = {  # value field -> what it may stand for; gateways mix the two widths of one family
    "int_value": "integer",
    "long_value": "integer",
    "float_value": "float",
    "double_value": "float",
    "boolean_value": "boolean",
    "string_value": "string",
    "bytes_value": "bytes",
    "dataset_value": "dataset",
    "template_value": "template",
    "extension_value": "extension",
}
_FAMILY_OF_TYPE: Final[Mapping[int, str]] = {datatype: _FAMILY[field] for datatype, field in _FIELD.items()}


def reinterpret(value: int, datatype: int) -> int:
    """Read an integer's bits as `datatype`: two's complement for Int8..Int64 (whatever width the sender padded to), unsigned for the others."""
    bits = _SIGNED_BITS.get(cast(DataType, datatype))
    if bits is None:
        return value & (0xFFFF_FFFF_FFFF_FFFF if datatype in (DataType.UINT64, DataType.DATETIME) else 0xFFFF_FFFF)
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# ---------------------------------------------------------------------------------------------------------------------------------- encode


def _natural_datatype(value: Value) -> int:
    """The datatype of a value that names none: the narrowest field that holds it."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        if value < 0:
            return DataType.INT32 if value >= -(1 << 31) else DataType.INT64
        return DataType.UINT32 if value < 1 << 32 else DataType.UINT64
    if isinstance(value, float):
        return DataType.DOUBLE
    return DataType.STRING if isinstance(value, str) else DataType.BYTES


def _set_value(target: Any, field: str, datatype: int, value: Value) -> None:
    if field in ("int_value", "long_value"):
        number = int(cast(int, value))
        bits = _SIGNED_BITS.get(cast(DataType, datatype))
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if bits else (0, (1 << _UNSIGNED_BITS[cast(DataType, datatype)]) - 1)
        if not low <= number <= high:
            raise ValueError(f"{number} does not fit datatype {DataType(datatype).name}")
        value = number & (0xFFFF_FFFF if field == "int_value" else 0xFFFF_FFFF_FFFF_FFFF)
    setattr(target, field, value)


def _set_properties(target: Any, properties: Mapping[str, int | float | bool | str]) -> None:
    for key, value in properties.items():
        target.keys.append(key)
        entry = target.values.add()
        datatype = _natural_datatype(value)
        if datatype == DataType.UINT32 and value < 1 << 31:  # type: ignore[operator]
            datatype = DataType.INT32  # the specification's Quality property is Int32; small integers follow it
        entry.type = datatype
        _set_value(entry, _FIELD[datatype], datatype, value)


def _set_metric(target: Any, metric: Metric) -> None:
    if metric.name is not None:
        target.name = metric.name
    if metric.alias is not None:
        target.alias = metric.alias
    if metric.timestamp is not None:
        target.timestamp = metric.timestamp
    if metric.datatype is not None and metric.typed:
        target.datatype = metric.datatype
    if metric.is_historical:
        target.is_historical = True
    if metric.properties:
        _set_properties(target.properties, metric.properties)
    if metric.is_null:
        target.is_null = True
    elif metric.value is None:
        raise ValueError(f"metric {metric.name or metric.alias} has neither a value nor is_null")
    else:
        datatype = _natural_datatype(metric.value) if metric.datatype is None else metric.datatype
        _set_value(target, _FIELD[datatype], datatype, metric.value)


def encode(payload: Payload) -> bytes:
    """Serialise a payload. Raises ValueError or TypeError for a value that its datatype cannot hold: a mistake of the caller."""
    message = _PayloadMessage()
    if payload.timestamp is not None:
        message.timestamp = payload.timestamp
    if payload.seq is not None:
        message.seq = payload.seq
    add = message.metrics.add
    for metric in payload.metrics:
        _set_metric(add(), metric)
    return cast(bytes, message.SerializeToString())


# ---------------------------------------------------------------------------------------------------------------------------------- decode


def _text(value: Any, what: str) -> str:
    """proto2 strings are not validated by the parser, and PostgreSQL cannot store NUL."""
    if not isinstance(value, str) or "\x00" in value:
        raise MalformedPayloadError("text", f"The {what} is not UTF-8 text.")
    return value


def _instant(value: int) -> int:
    if value > MAX_TIMESTAMP:
        raise MalformedPayloadError("timestamp", f"The timestamp {value} lies beyond the year 9999.")
    return value


def _value_of(message: Any, field: str, datatype: int | None) -> Value:
    value = getattr(message, field)
    family = _FAMILY[field]
    if datatype is not None and _FAMILY_OF_TYPE[datatype] != family:
        raise MalformedPayloadError("value_type", f"Datatype {DataType(datatype).name} cannot travel in {field}.")
    if family == "integer":
        signed = DataType.INT32 if field == "int_value" else DataType.INT64
        return reinterpret(value, signed if datatype is None else datatype)
    return _text(value, "string value") if family == "string" else cast(Value, value)


def _properties(message: Any) -> dict[str, int | float | bool | str]:
    keys, values = message.keys, message.values
    if len(keys) != len(values):
        raise MalformedPayloadError("properties", f"A property set has {len(keys)} keys but {len(values)} values.")
    found: dict[str, int | float | bool | str] = {}
    for key, entry in zip(keys, values, strict=True):
        field = entry.WhichOneof("value")
        if field is None or entry.is_null or field.startswith("propertyset"):
            continue  # nested sets are legal and mean nothing to us
        datatype = entry.type if entry.HasField("type") else None
        if datatype is not None and datatype not in _FIELD:
            raise MalformedPayloadError("datatype", f"Property datatype {datatype} is not a Sparkplug B datatype.")
        found[_text(key, "property key")] = cast(int | float | bool | str, _value_of(entry, field, datatype))
    return found


_IN_METRIC: Final = _PayloadMessage.DESCRIPTOR.fields_by_name["metrics"].message_type.fields_by_name
_ALIAS, _TIMESTAMP, _DOUBLE, _INT = (_IN_METRIC[name] for name in ("alias", "timestamp", "double_value", "int_value"))


def _metric(message: Any) -> Metric:
    """Nearly every metric of a province is an alias, an instant and a number, and nothing else: those three are read in one go."""
    fields = message.ListFields()
    if len(fields) == 3:
        (first, alias), (second, timestamp), (third, value) = fields
        plain = first is _ALIAS and second is _TIMESTAMP and (third is _DOUBLE or (third is _INT and value < _SIGN))
        if plain and timestamp <= MAX_TIMESTAMP and alias < _LONGEST_ALIAS:
            return Metric(None, alias, timestamp, None, value)
    return _any_metric(message)


_SIGN: Final = 1 << 31
_LONGEST_ALIAS: Final = 1 << 63


def _any_metric(message: Any) -> Metric:
    has = message.HasField
    datatype = message.datatype if has("datatype") else None
    if datatype is not None and datatype not in _FIELD:
        raise MalformedPayloadError("datatype", f"Datatype {datatype} is not a Sparkplug B datatype.")
    is_null = message.is_null
    field = message.WhichOneof("value")
    if field is None and not is_null:
        raise MalformedPayloadError("missing_value", "A metric has no value and is not marked as null.")
    alias = message.alias if has("alias") else None
    if alias is not None and alias >= _LONGEST_ALIAS:
        raise MalformedPayloadError("alias", f"The alias {alias} exceeds 63 bits.")
    return Metric(
        _text(message.name, "metric name") if has("name") else None,
        alias,
        _instant(message.timestamp) if has("timestamp") else None,
        datatype,
        None if is_null else _value_of(message, field, datatype),
        message.is_historical,
        is_null,
        _properties(message.properties) if has("properties") else {},
    )


def peek(data: bytes, aliases: Mapping[int, object]) -> Iterator[tuple[int, float | None]]:
    """(alias, number) of the metrics of `aliases`, without reading the rest: None for a null or no number. Nothing from bytes that are no payload."""
    message = _PayloadMessage()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    for metric in message.metrics:
        if (alias := metric.alias) in aliases:
            field = metric.WhichOneof("value")
            yield alias, float(getattr(metric, field)) if field in _NUMBERS and not metric.is_null else None


_NUMBERS: Final = ("int_value", "long_value", "float_value", "double_value", "boolean_value")


def decode(data: bytes) -> Payload:
    """Parse a payload. Raises MalformedPayloadError with reason oversized, protobuf, text, timestamp, seq, alias, datatype, value_type, missing_value
    or properties, and nothing else.

    An integer without a datatype (DATA messages) is read as signed; `reinterpret` gives another reading. NaN and infinities are kept as they are.
    """
    if len(data) > MAX_PAYLOAD:
        raise MalformedPayloadError("oversized", f"The payload of {len(data)} bytes exceeds {MAX_PAYLOAD}.")
    message = _PayloadMessage()
    try:
        message.ParseFromString(data)
        metrics = tuple([_metric(metric) for metric in message.metrics])
    except DecodeError:
        raise MalformedPayloadError("protobuf", "The bytes are not a Sparkplug B payload.") from None
    except UnicodeDecodeError:
        raise MalformedPayloadError("text", "A text field is not UTF-8.") from None
    seq = message.seq if message.HasField("seq") else None
    if seq is not None and seq > 255:
        raise MalformedPayloadError("seq", f"The sequence number {seq} exceeds 255.")
    return Payload(_instant(message.timestamp) if message.HasField("timestamp") else None, metrics, seq)
