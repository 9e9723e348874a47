"""Readings -> MQTT messages by profile: what a device would publish. For simulators and tests."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contract.engineering import raw_of
from contract.json_path import parse_path, place
from contract.mqtt_decoding import mqtt_of, subscription
from contract.profile_models import Profile
from contract.profile_transport import Availability, Mqtt, TimeField
from contract.registers import Number
from contract.tlv import encode_bytes, encode_tlv


def encode_message(
    profile: Profile, device: str, values: Mapping[str, float | None], *, time_ms: int | None = None, available: bool | None = None
) -> list[tuple[str, bytes]]:
    """The messages with which a device shows `values` (by point id) and, if given, its availability: (topic, payload), for simulators and tests.

    Raises ValueError for a value that the device cannot show, FrameError("mismatch") for a profile without MQTT.
    """
    mqtt = mqtt_of(profile)
    messages: list[tuple[str, bytes]] = []
    if mqtt.availability is not None and available is not None:
        word = (mqtt.availability.online if available else mqtt.availability.offline)[0]
        messages.append((subscription(mqtt.availability.topic, device), _availability_payload(mqtt.availability, word)))
    for template in dict.fromkeys(point.topic or mqtt.topic for point in profile.points if point.id in values):
        some = {point.id: values[point.id] for point in profile.points if point.id in values and (point.topic or mqtt.topic) == template}
        messages.append((subscription(template, device).replace("+", "0"), _payload(profile, mqtt, some, time_ms, device)))
    return messages


def _availability_payload(availability: Availability, word: str) -> bytes:
    if availability.path is None:
        return word.encode()
    content: dict[str, Any] = {}
    place(content, parse_path(availability.path), word)
    return compact_json(content)


def compact_json(content: Any) -> bytes:
    """JSON without spaces, as devices send it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _payload(profile: Profile, mqtt: Mqtt, values: Mapping[str, float | None], time_ms: int | None, device: str) -> bytes:
    raws = {point.id: raw_of(point, values[point.id]) for point in profile.points if point.id in values}
    if mqtt.payload == "text":
        return str(next(iter(raws.values()))).encode()
    binary = _binary(profile, raws)
    if mqtt.payload != "json":
        return binary.hex().encode() if mqtt.payload == "hex" else base64.b64encode(binary)
    content: dict[str, Any] = {}
    if profile.codec is not None:
        text = base64.b64encode(binary).decode() if profile.codec.encoding == "base64" else binary.hex()
        place(content, parse_path(profile.codec.payload_path or "data"), text)
    for point in profile.points:
        if point.path is not None and point.id in raws:
            place(content, parse_path(point.path), raws[point.id])
    if mqtt.device_path is not None:
        place(content, parse_path(mqtt.device_path), device)
    if mqtt.time is not None and time_ms is not None:
        place(content, parse_path(mqtt.time.path), _shown_time(mqtt.time, time_ms))
    return compact_json(content)


def _binary(profile: Profile, raws: Mapping[str, Number | None]) -> bytes:
    if profile.codec is None:
        return b""
    encode = encode_tlv if profile.codec.name == "milesight_tlv" else encode_bytes
    return encode(profile.codec, {point.tlv: int(raws[point.id] or 0) for point in profile.points if point.tlv and point.id in raws})


def _shown_time(field: TimeField, time_ms: int) -> Any:
    if field.format == "iso8601":
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return time_ms / 1000 if field.format == "epoch_s" else time_ms
