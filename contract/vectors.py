"""Run the vectors of a profile: does it decode what its own frames say? The catalogue test and the edge's commands use the same runner."""

import base64
from collections.abc import Iterable, Iterator
from decimal import Decimal

from contract.decoding import block_request, decode_exchange, decode_message
from contract.frames import FrameError, parse_request
from contract.installation import usual, variant
from contract.json_path import parse_path, place
from contract.mqtt_decoding import Message, subscription
from contract.mqtt_encoding import compact_json
from contract.profile_models import Profile, Vector
from contract.readings import Reading
from contract.sample import Quality
from contract.writing import Step


def failures(profile: Profile) -> list[str]:
    """One sentence per broken expectation, empty when every vector holds."""
    return [f"{profile.id} vector {at}: {sentence}" for at, vector in enumerate(profile.vectors) for sentence in check(profile, vector)]


def check(profile: Profile, vector: Vector) -> list[str]:
    """What is wrong with one vector."""
    try:
        chosen = usual(profile if vector.variant is None else variant(profile, vector.variant))
        found = list(_request_problems(chosen, vector))
        if vector.write is None:
            message = _decoded(chosen, vector)
            found += _mismatches(vector, message.readings)
            if vector.available != message.available:
                found.append(f"available is {message.available}, expected {vector.available}")
    except FrameError as refused:
        return [] if refused.kind == vector.error else [f"refused as {refused}, expected {vector.error or 'values'}"]
    return found if vector.error is None else [*found, f"accepted, expected {vector.error}"]


def _decoded(profile: Profile, vector: Vector) -> Message:
    if vector.reply is not None:
        request = None if vector.request is None else bytes.fromhex(vector.request)
        return Message(None, tuple(decode_exchange(profile, request, bytes.fromhex(vector.reply))))
    return decode_message(profile, *_message(profile, vector))


def _message(profile: Profile, vector: Vector) -> tuple[str, bytes]:
    """Topic and payload; `hex` is a bare binary payload and is put where the gateway would put it."""
    if vector.payload is not None:
        return vector.topic or "", vector.payload.encode()
    if profile.mqtt is None or profile.codec is None:
        raise FrameError("mismatch", "a hex vector needs mqtt and codec")
    data = bytes.fromhex(vector.hex or "")
    topic = vector.topic or subscription(profile.mqtt.topic, "device").replace("+", "0")
    if profile.mqtt.payload != "json":
        return topic, data.hex().encode() if profile.mqtt.payload == "hex" else base64.b64encode(data)
    content: dict[str, object] = {}
    text = data.hex() if profile.codec.encoding == "hex" else base64.b64encode(data).decode()
    place(content, parse_path(profile.codec.payload_path or "data"), text)
    return topic, compact_json(content)


def _request_problems(profile: Profile, vector: Vector) -> Iterator[str]:
    """A request must be the one that we would send: rebuilt from the block or the write, byte for byte."""
    if vector.request is None:
        return
    frame = bytes.fromhex(vector.request)
    if vector.write is not None:
        write = next(write for write in profile.writes if write.id == vector.write)
        code = write.values.get(vector.value) if vector.value is not None else None
        if code is None or Step(write.fc, write.address, code).frame(frame[0]) != frame:
            yield f"write {write.id} does not build {vector.request}"
    elif vector.block is not None and block_request(profile, vector.block, frame[0]) != frame:
        yield f"block {vector.block} does not build {vector.request}"
    elif vector.error is None:
        parse_request(frame)


def _mismatches(vector: Vector, readings: Iterable[Reading]) -> Iterator[str]:
    found = {one.point_id: one for one in readings}
    for name, expected in vector.expect.items():
        one = found.get(name)
        if one is None or one.value is None or Decimal(repr(one.value)) != Decimal(str(expected)):
            yield f"{name} is {one and (one.value, one.reason)}, expected {expected}"
    for name, one in found.items():
        expected_quality = vector.quality.get(name, Quality.GOOD)
        if (name in vector.expect or name in vector.quality) and one.quality != expected_quality:
            yield f"{name} is {one.quality} ({one.reason}), expected {expected_quality}"
    for name in vector.quality.keys() - found.keys():
        yield f"{name} was not read"
