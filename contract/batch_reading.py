"""Reading births, data and commands: ours in full, and those of other makes of gateway as far as they name a quantity we know.

Everything here takes a decoded payload (contract/sparkplug.py) and raises MalformedPayloadError for content that cannot be used.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

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
from contract.offers import Offers
from contract.offers import load as load_offers
from contract.quantities import QUANTITIES
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import DataType, MalformedPayloadError, Metric, Payload, Value, reinterpret

_LONGEST_REASON: Final = 200
_UINT64: Final = (1 << 64) - 1
_ALIKE: Final = 1 << 7
_NO_DEVICE: Final = "node"
"""Device name of a foreign node metric that names none."""


@lru_cache(maxsize=1 << 17)
def canonical_metric(name: str, device: str | None = None) -> str:
    """The metric name `<device>/<quantity>[/<channel>]` that a sender's name stands for, or "" when it names no known quantity.

    `device` is the device of a DBIRTH or DDATA topic and is put in front. A name in our form stays as it is; otherwise the last segment that is a
    known quantity (in any case) decides, the first segment is the device and the rest, joined by dots, the channel.
    """
    path = [part for part in name.split("/") if part]
    if device is not None:
        path.insert(0, device)
    if len(path) in (2, 3) and path[1] in QUANTITIES:
        return "/".join(path)
    places = [at for at, part in enumerate(path) if part.lower() in QUANTITIES and (at > 0 or device is None)]
    if not places:
        return ""
    at = places[-1]
    owner, before = (path[0], path[1:at]) if at > 0 else (_NO_DEVICE, [])
    channel = ".".join(before + path[at + 1 :])
    return "/".join(part for part in (owner, path[at].lower(), channel) if part)


@lru_cache(maxsize=1 << 17)
def _key(gateway: str, metric: str) -> PointKey:
    return PointKey.of(gateway, metric)


# ------------------------------------------------------------------------------------------------------------------------ value and quality


def _quality(metric: Metric) -> tuple[Quality, str]:
    """192 good, or uncertain when a Reason is there; 0 bad; 500 stale; any other code is uncertain and named in the reason."""
    properties = metric.properties
    if not properties:
        return Quality.GOOD, ""
    code, given = properties.get("Quality", 192), properties.get("Reason")
    reason = "" if given is None else str(given)[:_LONGEST_REASON]
    if code == 192:
        return (Quality.GOOD, "") if given is None else (Quality.UNCERTAIN, reason)
    if code == 0:
        return Quality.BAD, reason
    return (Quality.STALE, reason) if code == 500 else (Quality.UNCERTAIN, reason or f"quality_{code}")


def _judge(metric: Metric, datatype: int | None) -> tuple[float | None, Quality, str]:
    """Value, quality and reason of a metric. A value that is missing, not finite or no number makes the sample bad."""
    quality, reason = _quality(metric)
    value = metric.value
    if value is None:
        return None, Quality.BAD, reason if quality is Quality.BAD else "null_value"
    if isinstance(value, str | bytes):
        return None, Quality.BAD, "not_a_number"
    if isinstance(value, int) and datatype is not None and metric.datatype is None and not isinstance(value, bool):
        value = reinterpret(value, datatype)
    number = float(value)
    if not math.isfinite(number):
        return None, Quality.BAD, "not_finite"
    return number, quality, reason


def _plain(metric: Metric) -> float | None:
    """The value of a good sample of which nothing else is said; an integer so small that every datatype reads it alike. Nearly all are such."""
    value = metric.value
    if metric.properties or not (type(value) is float or (type(value) is int and 0 <= value < _ALIKE)):
        return None
    return float(value) if math.isfinite(value) else None


def _taken_at(metric: Metric, payload: Payload) -> int:
    timestamp = payload.timestamp if metric.timestamp is None else metric.timestamp
    if timestamp is None:
        raise MalformedPayloadError("no_timestamp", "A metric has no timestamp, and neither has its message.")
    return timestamp


# ------------------------------------------------------------------------------------------------------------------------------ node metrics


def _named(payload: Payload) -> dict[str, Metric]:
    return {metric.name: metric for metric in payload.metrics if metric.name in CONTROL}


def _integer(metric: Metric, name: str) -> int:
    if not isinstance(metric.value, int) or isinstance(metric.value, bool):
        raise MalformedPayloadError("node_metric", f"{name} is not an integer.")
    return metric.value & _UINT64


def _outbox(controls: Mapping[str, Metric]) -> Outbox | None:
    """All three metrics or none; a range may be empty (last = first - 1) but never backwards."""
    present = [name for name in (OUTBOX_EPOCH, OUTBOX_FIRST, OUTBOX_LAST) if name in controls]
    if not present:
        return None
    if len(present) < 3:
        raise MalformedPayloadError("outbox", f"{present[0]} comes without the other Outbox metrics.")
    epoch, first, last = (_integer(controls[name], name) for name in present)
    if last + 1 < first or last >> 63:
        raise MalformedPayloadError("outbox", f"The spool range {first}..{last} is impossible.")
    return Outbox(epoch, first, last)


def _string(metric: Metric | None, name: str) -> str | None:
    if metric is None or metric.is_null:
        return None
    if not isinstance(metric.value, str):
        raise MalformedPayloadError("node_metric", f"{name} is not a string.")
    return metric.value


# ------------------------------------------------------------------------------------------------------------------------------------ births


def _declaration(metric: Metric, name: str) -> PointDeclaration:
    """What a birth says of one point; a foreign gateway may give its unit as engUnit."""
    told = metric.properties
    interval = told.get("interval_s")
    usable = isinstance(interval, int | float) and not isinstance(interval, bool) and math.isfinite(interval) and interval > 0
    kind = QUANTITIES[name.split("/")[1]]
    default = "alarm" if kind.urgent else kind.kind.value
    return PointDeclaration(
        metric=name,
        alias=metric.alias,
        room=str(told.get("room", "")),
        unit=str(told.get("unit", told.get("engUnit", ""))),
        interval_s=float(interval) if usable and interval is not None else None,
        klass=str(told.get("class", default)),
        datatype=DataType.DOUBLE if metric.datatype is None else metric.datatype,
    )


def read_birth(payload: Payload, device: str | None = None) -> Birth:
    """Read an NBIRTH, or the DBIRTH of `device`.

    Foreign metrics without our properties become declarations with room "" and interval None; those that name no known quantity, or one already
    declared, are listed in `skipped`. Raises MalformedPayloadError (outbox, node_metric, alias, name, no_timestamp).
    """
    controls = _named(payload)
    points: dict[str, PointDeclaration] = {}
    values: list[BirthValue] = []
    skipped: list[str] = []
    names: dict[int, str] = {}
    for metric in payload.metrics:
        if metric.name is None:
            raise MalformedPayloadError("name", "A birth declares a metric without a name.")
        control = metric.name in CONTROL
        name = "" if control else canonical_metric(metric.name, device)
        usable = bool(name) and name not in points
        if metric.alias is not None:
            if metric.alias in names:
                raise MalformedPayloadError("alias", f"The birth gives alias {metric.alias} to two metrics.")
            names[metric.alias] = name if usable else ""
        if not usable:
            skipped.extend(() if control else (metric.name,))
            continue
        points[name] = _declaration(metric, name)
        values.append(BirthValue(name, *_judge(metric, metric.datatype), _taken_at(metric, payload)))
    bd_seq = _integer(controls[BD_SEQ], BD_SEQ) if BD_SEQ in controls else None
    version = _string(controls.get(RULES_VERSION), RULES_VERSION) or ""
    return Birth(tuple(points.values()), bd_seq, _outbox(controls), version, tuple(values), tuple(skipped), names, _offers(controls.get(OFFERS)))


def _offers(metric: Metric | None) -> Offers | None:
    text = _string(metric, OFFERS)
    try:
        return None if text is None else load_offers(text)
    except ValueError as error:
        raise MalformedPayloadError("node_metric", f"{OFFERS}: {error}") from None


# -------------------------------------------------------------------------------------------------------------------------------------- data


def _metric_name(metric: Metric, names: Mapping[int, str], device: str | None) -> str:
    if metric.alias is not None and (found := names.get(metric.alias)) is not None:
        return found
    if metric.name is not None:
        return canonical_metric(metric.name, device)
    if metric.alias is None:
        raise MalformedPayloadError("name", "A metric has neither a name nor an alias.")
    raise UnknownAliasError(metric.alias)


def read_data(
    payload: Payload, gateway: str, names: Mapping[int, str], device: str | None = None, datatypes: Mapping[int, int] | None = None
) -> Data:
    """Read an NDATA, or the DDATA of `device`, into samples of `gateway`.

    `names` maps aliases to canonical metrics (`Birth.names`; "" is ignored), `datatypes` aliases to the datatypes of the birth (without it an integer
    is read as signed). Raises UnknownAliasError, or MalformedPayloadError (outbox, node_metric, name, no_timestamp).
    """
    types = datatypes or {}
    controls: dict[str, Metric] = {}
    samples: list[Sample] = []
    events: list[str] = []
    for metric in payload.metrics:
        if metric.name == EVENT:
            events.append(_string(metric, EVENT) or "")
        elif metric.name in CONTROL:
            controls[metric.name] = metric
        elif name := _metric_name(metric, names, device):
            key, taken_at, number = _key(gateway, name), _taken_at(metric, payload), _plain(metric)
            if number is not None:
                samples.append(Sample(key, taken_at, number, historical=metric.is_historical))
            else:
                judged = _judge(metric, types.get(metric.alias) if metric.alias is not None else None)
                samples.append(Sample(key, taken_at, *judged, metric.is_historical))
    return Data(tuple(samples), _outbox(controls), _string(controls.get(OUTBOX_GAP), OUTBOX_GAP), tuple(events))


# ---------------------------------------------------------------------------------------------------------------------------------- commands


def _ack(metric: Metric | None) -> Ack | None:
    text = _string(metric, OUTBOX_ACK)
    if text is None:
        return None
    epoch, _, upto = text.partition(":")
    if not (epoch.isascii() and epoch.isdigit() and upto.isascii() and upto.isdigit() and len(text) <= 41):
        raise MalformedPayloadError("ack", f"{OUTBOX_ACK} is not <epoch>:<upto>.")
    return Ack(int(epoch), int(upto))


def read_command(payload: Payload) -> Command:
    """Read an NCMD. Raises MalformedPayloadError (ack, name, node_metric)."""
    controls = _named(payload)
    others: dict[str, Value | None] = {}
    for metric in payload.metrics:
        if metric.name is None:
            raise MalformedPayloadError("name", "A command names no metric.")
        if metric.name not in CONTROL:
            others[metric.name] = metric.value
    rebirth, known = controls.get(REBIRTH), _string(controls.get(EVENT_ACK), EVENT_ACK)
    return Command(
        _ack(controls.get(OUTBOX_ACK)),
        rebirth is not None and rebirth.value is True,
        _string(controls.get(RULES), RULES),
        _string(controls.get(WRITE), WRITE),
        tuple(known.split()) if known else (),
        others,
    )
