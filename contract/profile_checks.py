"""What has to fit together inside a profile. Each rule yields (path in the file, reason); contract/profile.py turns the first into file and line."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from contract.frames import BIT_READS, MAX_REGISTERS
from contract.json_path import parse_path
from contract.profile_models import Point, Profile, Vector
from contract.profile_transport import Block, Codec
from contract.quantities import QUANTITIES, Kind
from contract.registers import integer_range, register_count

Problem = tuple[tuple[Any, ...], str]

_TLV_SIZE = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4}
_NEEDS = {"modbus": "blocks", "mqtt": "mqtt", "lorawan": "codec", "camera": "camera"}
_FILLED_BY_DRIVER = {"host", "user", "password"}


def problems(profile: Profile) -> Iterator[Problem]:
    """Every rule that the profile breaks, in the order of the rules."""
    if not getattr(profile, _NEEDS[profile.connection.kind]):
        yield ("connection", "kind"), f"kind {profile.connection.kind} needs a section {_NEEDS[profile.connection.kind]}"
    if profile.connection.kind == "lorawan" and profile.mqtt is None:
        yield ("connection", "kind"), "kind lorawan needs a section mqtt: the gateway's topics"
    yield from _twice(("blocks",), [block.id for block in profile.blocks])
    yield from _twice(("points",), [point.id for point in profile.points])
    yield from _twice(("points",), [f"{point.quantity} {point.channel}".strip() for point in profile.points])
    for at, block in enumerate(profile.blocks):
        yield from _block(("blocks", at), block)
    for at, point in enumerate(profile.points):
        yield from _under(("points", at), _point(profile, point))
    yield from _codec(profile)
    yield from _params(profile)
    yield from _references(profile)
    if profile.evidence != "assumed" and not profile.vectors and profile.camera is None:  # a camera has no frame to capture
        yield ("evidence",), f"evidence {profile.evidence} needs at least one vector"
    for at, vector in enumerate(profile.vectors):
        yield from _under(("vectors", at), _vector(profile, vector))


def _under(place: tuple[Any, ...], found: Iterator[Problem]) -> Iterator[Problem]:
    return (((*place, *path), reason) for path, reason in found)


def _twice(path: tuple[Any, ...], names: Sequence[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            yield (*path, at), f"{name!r} is given twice"
        seen.add(name)


def _block(path: tuple[Any, ...], block: Block) -> Iterator[Problem]:
    bits = block.fc in BIT_READS
    if not bits and block.count > MAX_REGISTERS:
        yield (*path, "count"), f"one read has at most {MAX_REGISTERS} registers"
    if block.address + block.count > 0x10000:
        yield (*path, "address"), "the block leaves the register space"
    if any((fc in BIT_READS) != bits for fc in block.fc_also):
        yield (*path, "fc_also"), "bits and registers are not the same content"


# ------------------------------------------------------------------------------------------------------------------------------------ points


def _point(profile: Profile, point: Point) -> Iterator[Problem]:
    known = QUANTITIES.get(point.quantity)
    if known is None:
        yield ("quantity",), f"unknown quantity {point.quantity!r}"
        return
    if point.unit and point.unit != known.unit:
        yield ("unit",), f"{point.quantity} is kept in {known.unit or 'no unit'}: convert with scale and offset"
    if point.klass in ("measure", "state") and point.klass != known.kind:
        yield ("class",), f"{point.quantity} is a {known.kind}"
    yield from _numbers(point)
    yield from _state(point) if known.kind is Kind.STATE else _measure(point)
    yield from _source(profile, point)


def _numbers(point: Point) -> Iterator[Problem]:
    if Fraction(point.scale) == 0:
        yield ("scale",), "a scale of 0 loses the value"
    for name, limits in (("range", point.range), ("suspect", point.suspect)):
        if limits is not None and limits[0] >= limits[1]:
            yield (name,), f"{limits[0]} is not below {limits[1]}"
    limits = integer_range(point.type)
    for raw in point.special:
        if limits is not None and not limits[0] <= raw <= max(limits[1], 2 * limits[1] + 1 if limits[0] < 0 else 0):
            yield ("special",), f"{raw} cannot be a raw value of type {point.type}"


def _measure(point: Point) -> Iterator[Problem]:
    for name in ("map", "active", "invert", "fail_safe", "assignable"):
        if getattr(point, name):
            yield (name,), f"{point.quantity} is a measure: {name} belongs to states"
    if point.type in ("bool", "string"):
        yield ("type",), f"{point.quantity} is a measure and cannot come from type {point.type}"


def _state(point: Point) -> Iterator[Problem]:
    if (point.scale, point.offset, point.decode) != ("1", "0", "plain"):
        yield ("scale",), "a state has no scale, offset or decode"
    if point.type in ("f32", "f64"):
        yield ("type",), "a state is a whole number, a bool or text"
    if point.map is None:
        if point.type == "string":
            yield ("type",), "a text needs a map"
        if point.active:
            yield ("active",), "active names values of a map"
        return
    wanted: type = {"bool": bool, "string": str}.get(point.type, int)
    for raw in point.map:
        if type(raw) is not wanted:
            yield ("map", raw), f"key {raw!r} is ambiguous: type {point.type} has {wanted.__name__} values"
    if not point.active or not set(point.active) <= set(point.map.values()):
        yield ("active",), f"active must name values of the map ({', '.join(sorted(set(point.map.values())))})"


def _source(profile: Profile, point: Point) -> Iterator[Problem]:
    given = [name for name in ("block", "path", "tlv") if getattr(point, name) is not None]
    if profile.blocks:
        wanted = ["block"]
    elif profile.codec is not None:
        wanted = ["tlv"]
    else:
        wanted = ["path"] if profile.mqtt is not None and profile.mqtt.payload == "json" else []
    if given != wanted:
        yield (next((name for name in given if name not in wanted), "id"),), f"the source must be {wanted[0] if wanted else 'left out'} here"
    elif point.block is not None:
        yield from _in_block(profile, point)
    elif point.path is not None and not _asked(profile, point.path):
        yield from _path(("path",), point.path)
    elif point.tlv is not None and profile.codec is not None and point.tlv not in _fields(profile.codec):
        yield ("tlv",), f"the codec has no field {point.tlv!r}"


def _fields(codec: Codec) -> set[str]:
    return {entry.id for entry in codec.tlv} | {field.id for field in codec.fields}


def _asked(profile: Profile, text: str) -> bool:
    """Whether a text is filled in by the installer's answer: then it is checked when it is installed."""
    return any(f"{{{param.id}}}" in text for param in profile.params)


def _in_block(profile: Profile, point: Point) -> Iterator[Problem]:
    block = next((block for block in profile.blocks if block.id == point.block), None)
    if block is None:
        yield ("block",), f"there is no block {point.block!r}"
        return
    bits = block.fc in BIT_READS
    length = 1 if bits or point.bit is not None else register_count(point)
    if point.at + length > block.count:
        yield ("at",), f"the value ends beyond the {block.count} items of block {block.id}"
    if bits and (point.type != "bool" or point.bit is not None):
        yield ("type",), "a bit is of type bool and has no bit number"
    if not bits and point.type == "bool" and point.bit is None:
        yield ("bit",), "type bool in a register needs a bit number"
    if point.bit is not None and (point.bit + point.width > 16 or point.type not in ("bool", "u8", "u16")):
        yield ("bit",), "a bit field lies inside one register and is bool, u8 or u16"


def _path(where: tuple[Any, ...], path: str) -> Iterator[Problem]:
    try:
        parse_path(path)
    except ValueError as broken:
        yield where, str(broken)


# ------------------------------------------------------------------------------------------------------------------------- the other sections


def _codec(profile: Profile) -> Iterator[Problem]:
    if profile.mqtt is not None and profile.mqtt.time is not None:
        yield from _path(("mqtt", "time", "path"), profile.mqtt.time.path)
    for name in ("device_path", "counter_path"):
        if profile.mqtt is not None and (path := getattr(profile.mqtt, name)) is not None:
            yield from _path(("mqtt", name), path)
    if profile.codec is None:
        return
    yield from _twice(("codec", "tlv"), [entry.id for entry in profile.codec.tlv])
    yield from _twice(("codec", "tlv"), [f"{entry.channel:02X} {entry.type:02X}" for entry in profile.codec.tlv])
    for at, field in enumerate(profile.codec.fields):
        if field.at >= profile.codec.length or field.bit + field.width > 8:
            yield ("codec", "fields", at), f"{field.id} lies outside the {profile.codec.length} bytes"
    if not (profile.codec.tlv if profile.codec.name == "milesight_tlv" else profile.codec.fields):
        yield ("codec",), f"{profile.codec.name} needs its table"
    for at, entry in enumerate(profile.codec.tlv):
        if entry.value != "skip" and _TLV_SIZE[entry.value] != entry.size:
            yield ("codec", "tlv", at, "size"), f"{entry.value} has {_TLV_SIZE[entry.value]} bytes"


def _params(profile: Profile) -> Iterator[Problem]:
    yield from _twice(("params",), [param.id for param in profile.params])
    for at, param in enumerate(profile.params):
        if param.type == "choice" and (not param.choices or param.default not in param.choices):
            yield ("params", at, "default"), "the default must be one of the choices"
        if param.id == "variant" and set(param.choices) != {"standard", *profile.variants}:
            yield ("params", at, "choices"), "the choices must be standard and the variants"
    asked = {param.id for param in profile.params} | _FILLED_BY_DRIVER
    for name in ("snapshot", "rtsp"):
        for found in re.findall(r"\{(\w+)\}", getattr(profile.camera, name, "")):
            if found not in asked:
                yield ("camera", name), f"{{{found}}} is not among the params"


def _references(profile: Profile) -> Iterator[Problem]:
    blocks, points = {block.id for block in profile.blocks}, {point.id for point in profile.points}
    for at, write in enumerate(profile.writes):
        if write.confirm is not None and write.confirm not in points:
            yield ("writes", at, "confirm"), f"there is no point {write.confirm!r}"
        if not write.values and write.range is None:
            yield ("writes", at, "values"), "a write has values, or a range of numbers"
        if write.pulse_ms and False not in write.values:
            yield ("writes", at, "pulse_ms"), "a pulse needs a value false to go back to"
        if write.fc in (5, 15) and write.type != "bool":
            yield ("writes", at, "type"), "a coil is of type bool"
    for at, step in enumerate(profile.commissioning):
        if step.verify is not None and step.verify not in blocks:
            yield ("commissioning", at, "verify"), f"there is no block {step.verify!r}"
        if step.to == "any" and profile.connection.unit.any is None:
            yield ("commissioning", at, "to"), "the connection names no universal address (unit.any)"


def _vector(profile: Profile, vector: Vector) -> Iterator[Problem]:
    kinds = [name for name in ("reply", "payload", "hex") if getattr(vector, name) is not None]
    if len(kinds) != 1:
        yield (), "a vector has exactly one of reply, payload and hex"
        return
    if kinds == ["payload"] and vector.topic is None:
        yield ("payload",), "a payload needs its topic"
    if vector.write is None and not (vector.expect or vector.quality or vector.error or vector.available is not None):
        yield (), "a vector without expect, quality, error or available proves nothing"
    if vector.write is not None and vector.write not in {write.id for write in profile.writes}:
        yield ("write",), f"there is no write {vector.write!r}"
    if vector.variant is not None and vector.variant not in profile.variants:
        yield ("variant",), f"there is no variant {vector.variant!r}"
    if vector.block is not None and vector.block not in {block.id for block in profile.blocks}:
        yield ("block",), f"there is no block {vector.block!r}"
    points = {point.id for point in profile.points}
    for section in ("expect", "quality"):
        for name in getattr(vector, section):
            if name not in points:
                yield (section, name), f"there is no point {name!r}"
    for name in ("request", "reply", "hex"):
        if not re.fullmatch(r"([0-9A-Fa-f]{2}\s*)*", getattr(vector, name) or ""):
            yield (name,), "not hexadecimal bytes"
