"""MQTT messages -> readings by profile: topic templates, JSON, text and binary payloads, availability, time of measurement."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from contract.engineering import engineering
from contract.frames import FrameError
from contract.json_path import MISSING, look_up, parse_path
from contract.profile_models import Point, Profile
from contract.profile_transport import Availability, Codec, Mqtt, TimeField
from contract.readings import Reading, reading
from contract.registers import Number
from contract.sample import Quality
from contract.sparkplug import MAX_TIMESTAMP
from contract.tlv import decode_bytes, decode_tlv

MAX_MESSAGE: Final = 256 * 1024
"""Largest payload of a device that is looked at, bytes."""
_LARGEST_EXPONENT: Final = 100


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a device. `device` is its name in the topic, `time_ms` its own time (UTC ms) if it gives one.

    `available` is set by an availability message, which has no readings, `counter` is the message's running number where it has one.
    """

    device: str | None
    readings: tuple[Reading, ...]
    time_ms: int | None = None
    available: bool | None = None
    counter: int | None = None


# ----------------------------------------------------------------------------------------------------------------------------------- topics


@lru_cache(maxsize=512)
def _pattern(template: str) -> re.Pattern[str]:
    """`+` is one level; `{device}` is the device's name, which may hold slashes (zigbee2mqtt friendly names)."""
    parts = re.split(r"(\{device\}|\+)", template)
    return re.compile("".join({"{device}": "(?P<device>.+)", "+": "[^/]+"}.get(part, re.escape(part)) for part in parts))


def subscription(template: str, device: str | None = None) -> str:
    """The topic filter of a template: with the device's name, or `+` for any."""
    return template.replace("{device}", device or "+")


def _device(template: str, topic: str) -> tuple[bool, str | None]:
    found = _pattern(template).fullmatch(topic)
    return found is not None, found.groupdict().get("device") if found else None


# ----------------------------------------------------------------------------------------------------------------------------------- decode


def decode_message(profile: Profile, topic: str, payload: bytes) -> Message:
    """Readings of one MQTT message, or the availability it reports.

    A missing path gives no reading, a null a bad one. Raises FrameError: mismatch (topic of something else), payload (not what the profile says) or
    short (a cut binary field).
    """
    mqtt = mqtt_of(profile)
    if mqtt.availability is not None:
        fits, device = _device(mqtt.availability.topic, topic)
        if fits:
            return Message(device, (), None, _available(mqtt.availability, payload))
    device, points = _addressed(profile, mqtt, topic)
    if len(payload) > MAX_MESSAGE:
        raise FrameError("payload", f"{len(payload)} bytes exceed {MAX_MESSAGE}")
    if mqtt.payload != "json":
        return Message(device, _binary(points, profile.codec, _bytes(payload, mqtt.payload)) if profile.codec else _text(points, payload))
    content = _json(payload)
    readings = _json_readings(points, content) if profile.codec is None else _binary(points, profile.codec, _inner(profile.codec, content))
    if mqtt.device_path is not None:
        named = look_up(content, parse_path(mqtt.device_path))
        if not isinstance(named, str):
            raise FrameError("mismatch", f"no device is named at {mqtt.device_path}")
        device = named
    return Message(device, readings, _time(mqtt.time, content), counter=_counter(mqtt, content))


def _addressed(profile: Profile, mqtt: Mqtt, topic: str) -> tuple[str | None, Sequence[Point]]:
    """The device that a topic names, and the points that such a message can tell. Raises FrameError("mismatch")."""
    found = [(point, *_device(point.topic or mqtt.topic, topic)) for point in profile.points]
    points = [point for point, fits, _ in found if fits]
    fits, device = _device(mqtt.topic, topic)
    if not points and not fits:
        raise FrameError("mismatch", f"topic {topic} is not {mqtt.topic}")
    return next((name for _, fits, name in found if fits and name), device), points


def _counter(mqtt: Mqtt, content: Any) -> int | None:
    value = None if mqtt.counter_path is None else look_up(content, parse_path(mqtt.counter_path))
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mqtt_of(profile: Profile) -> Mqtt:
    """The MQTT part of a profile. Raises FrameError("mismatch") when there is none."""
    if profile.mqtt is None:
        raise FrameError("mismatch", f"profile {profile.id} does not speak MQTT")
    return profile.mqtt


def _json(payload: bytes) -> Any:
    """JSON with exact decimals; NaN and Infinity are no JSON."""
    try:
        return json.loads(payload, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise FrameError("payload", "not JSON") from None


def _decimal(text: str) -> Decimal:
    """Digits as they stand. An exponent that no measurement has would cost endless arithmetic: it counts as zero or as not finite.

    Raises ValueError.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite() or number.adjusted() > _LARGEST_EXPONENT:
        return Decimal("NaN")
    return number if number.adjusted() > -_LARGEST_EXPONENT else Decimal(0)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < _LARGEST_EXPONENT else Decimal("NaN")


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _available(availability: Availability, payload: bytes) -> bool:
    """The word of an availability message: at its path when the payload is JSON, else the plain text."""
    word = payload.decode("utf-8", "replace").strip()
    if availability.path is not None and word.startswith("{"):
        word = str(look_up(_json(payload), parse_path(availability.path)))
    if word in availability.online:
        return True
    if word in availability.offline:
        return False
    raise FrameError("payload", f"{word[:40]!r} is neither online nor offline")


def _json_readings(points: Sequence[Point], content: Any) -> tuple[Reading, ...]:
    found = ((point, look_up(content, parse_path(point.path))) for point in points if point.path is not None)
    return tuple(reading(point, engineering(point, _scalar(value))) for point, value in found if value is not MISSING)


def _scalar(value: Any) -> Number | Decimal | None:
    """Objects and lists are no values: they become the wrong type, not an error of the whole message."""
    return value if value is None or isinstance(value, bool | int | str | Decimal) else ""


def _text(points: Sequence[Point], payload: bytes) -> tuple[Reading, ...]:
    """A payload that is the value itself: a number, or a word for type string and bool."""
    word = payload.decode("utf-8", "replace").strip()
    return tuple(reading(point, engineering(point, _word(point, word))) for point in points)


def _word(point: Point, word: str) -> Number | Decimal:
    if point.type == "string":
        return word
    if point.type == "bool":
        return {"true": True, "false": False, "1": True, "0": False}.get(word.lower(), word)
    try:
        return _decimal(word)
    except ValueError:
        return word


def _bytes(payload: bytes | str, encoding: str) -> bytes:
    decoders: dict[str, Callable[[Any], bytes]] = {"hex": _unhex, "base64": lambda text: base64.b64decode(text, validate=True)}
    try:
        return decoders[encoding](payload)
    except (ValueError, binascii.Error):
        raise FrameError("payload", f"not {encoding}") from None


def _unhex(payload: bytes | str) -> bytes:
    return bytes.fromhex(payload.decode("ascii") if isinstance(payload, bytes) else payload)


def _inner(codec: Codec, content: Any) -> bytes:
    text = look_up(content, parse_path(codec.payload_path or "data"))
    if not isinstance(text, str):
        raise FrameError("payload", f"no text at {codec.payload_path}")
    return _bytes(text, codec.encoding)


def _binary(points: Sequence[Point], codec: Codec, data: bytes) -> tuple[Reading, ...]:
    """Readings of a binary payload; after an unknown field everything good is only uncertain."""
    fields = decode_tlv(codec, data) if codec.name == "milesight_tlv" else decode_bytes(codec, data)
    sizes = {entry.id: entry.size for entry in codec.tlv} | {field.id: 1 for field in codec.fields}
    readings = []
    for point in points:
        value = fields.values.get(point.tlv or "")
        if value is not None:
            pattern = value & ((1 << 8 * sizes[point.tlv or ""]) - 1)
            readings.append(reading(point, engineering(point, _tlv_raw(point, value), pattern)))
    return tuple(readings if fields.complete else map(_doubted, readings))


def _tlv_raw(point: Point, value: int) -> Number:
    if point.type == "i8" and value > 0x7F:
        return value - 0x100
    return bool(value) if point.type == "bool" else value


def _doubted(one: Reading) -> Reading:
    return replace(one, quality=Quality.UNCERTAIN, reason="unknown_field") if one.quality is Quality.GOOD else one


def _time(field: TimeField | None, content: Any) -> int | None:
    """The device's own time as UTC ms; None when it gives none, or one without a zone or beyond reason: then the time of receipt counts."""
    value = None if field is None else look_up(content, parse_path(field.path))
    if field is None or value is None or value is MISSING:
        return None
    if field.format == "iso8601":
        return _iso(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    instant = int(value * 1000 if field.format == "epoch_s" else value)
    return instant if 0 < instant <= MAX_TIMESTAMP else None


def _iso(value: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1000)
