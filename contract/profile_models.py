"""The schema of a device profile, version 1: what a device offers, how it is asked, and which frames prove it.

A profile is data: no expressions, no code. What has to fit together across fields is in contract/profile_checks.py. `scale` and `offset` are rational
strings and turn the raw number into the canonical unit of the quantity: value = raw * scale + offset.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, field_validator

from contract.profile_transport import Block, Camera, Codec, Connection, Identify, Model, Mqtt

__all__ = ["Block", "Commissioning", "Confirm", "Health", "Param", "Point", "Profile", "Raw", "Text", "Unlock", "Vector", "Write"]

Raw = bool | int | str
"""A raw value as a map key: bool for type bool, int for numbers, str for type string."""


def _rational(value: str) -> str:
    """`1/10`, `0.1`, `5` or `-160/9`."""
    try:
        Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f'{value!r} is not a rational number like "1/10"') from None
    return value


class Text(Model):
    """One text in two languages."""

    zh: str
    en: str


class Param(Model):
    """A question for the installer. `variant` as id chooses a variant; other ids are filled into `{id}` of the camera block or kept as a record."""

    id: str
    ask: Text
    type: Literal["int", "choice", "text"]
    default: int | str | None = None
    choices: tuple[str, ...] = ()
    range: tuple[int, int] | None = None


class Confirm(Model):
    """An alarm value counts when seen `n` times within `within_s`."""

    n: int = Field(ge=1)
    within_s: float = Field(gt=0)


class Point(Model):
    """One value of a device and what it means.

    Source: `block` + `at` (offset in the block; `bit` and `width` inside a register), or `path` (JSON), or `tlv`, or none (text payload, camera).
    `topic` is a point's own MQTT topic, where a device has one per component; the default is that of the profile.
    State points become 0/1: `map` names the raw values and `active` those that mean 1 (smoke alarm, door open, leak wet, motion present, mains
    there); without a map the raw value must be 0 or 1. `invert` exchanges 0 and 1. `assignable` marks a contact input whose use the device entry
    chooses (contract/installation.py); for it 1, after `invert`, is a closed circuit.
    """

    id: str
    klass: Literal["measure", "alarm", "state", "health"] = Field(alias="class")
    quantity: str
    channel: str = ""
    unit: str = ""
    block: str | None = None
    at: int = Field(0, ge=0)
    bit: int | None = Field(None, ge=0, le=15)
    width: int = Field(1, ge=1, le=64)
    path: str | None = None
    topic: str | None = None
    tlv: str | None = None
    type: Literal["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "string", "bcd"] = "u16"
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    decode: Literal["plain", "sign_10000", "offset_20"] = "plain"
    scale: str = "1"
    offset: str = "0"
    decimals: int | None = Field(None, ge=0, le=6)
    map: Mapping[Raw, str] | None = None
    active: tuple[str, ...] = ()
    invert: bool = False
    fail_safe: bool = False
    assignable: bool = False
    range: tuple[float, float] | None = None
    suspect: tuple[float, float] | None = None
    special: Mapping[int, str] = {}
    nan_is: str = "not_finite"
    max_step_per_min: float | None = Field(None, gt=0)
    stuck_s: float | None = Field(None, gt=0)
    deadband: float | None = Field(None, ge=0)
    stale_s: float | None = Field(None, gt=0)
    warmup_s: float | None = Field(None, ge=0)
    confirm: Confirm | None = None

    @field_validator("active", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("scale", "offset")
    @classmethod
    def _fraction(cls, value: str) -> str:
        return _rational(value)


class Unlock(Model):
    """A register that must be written before the device takes a write, e.g. a switch to remote mode."""

    fc: Literal[5, 6, 16]
    address: int = Field(ge=0, le=0xFFFF)
    value: int = Field(ge=0, le=0xFFFF)


class Write(Model):
    """A write that an operator may order; `confirm` names the point that proves it by reading back.

    What is ordered is a word of `values`, or a number inside `range`: raw = number / scale. `unlock` is written first, in order; `pulse_ms` later the
    write is taken back (value false). `role` is the least role that may order it (duty, in_charge, system), `danger: high` needs a second person.
    """

    id: str
    fc: Literal[5, 6, 15, 16]
    address: int = Field(ge=0, le=0xFFFF)
    type: Literal["bool", "u16", "i16"]
    values: Mapping[Raw, int] = {}
    range: tuple[float, float] | None = None
    scale: str = "1"
    role: Literal["duty", "in_charge", "system"]
    danger: Literal["low", "medium", "high"]
    confirm: str | None = None
    pulse_ms: int = Field(0, ge=0, le=600_000)
    unlock: tuple[Unlock, ...] = ()

    @field_validator("scale")
    @classmethod
    def _fraction(cls, value: str) -> str:
        return _rational(value)


class Commissioning(Model):
    """A configuration write; never part of polling. `reply_from`: which address echoes an address change. `values` gives codes, e.g. per baud.

    `to: any` is written at the universal address of the kind (`connection.unit.any`); `unlock` is written first, in order.
    """

    id: str
    fc: Literal[6, 16] = 6
    address: int = Field(ge=0, le=0xFFFF)
    type: Literal["u16"] = "u16"
    range: tuple[int, int] | None = None
    values: Mapping[int, int] = {}
    reply_from: Literal["old", "new", "any"] = "old"
    to: Literal["own", "any"] = "own"
    unlock: tuple[Unlock, ...] = ()
    only_device_on_bus: bool = True
    verify: str | None = None
    restart: bool = False


class Health(Model):
    """A device is offline after `offline_failures` failures in a row and `offline_s` seconds; then probes back off."""

    offline_failures: int = Field(3, ge=1)
    offline_s: float = Field(60, gt=0)
    backoff_s: tuple[float, ...] = (5, 30, 120)


class Vector(Model):
    """A captured or documented exchange and what it must decode to.

    `expect` gives values by point id (decimal strings for measures, 0/1 for states); a value must be good unless `quality` says otherwise. `error` is
    the kind of FrameError that must be raised instead. `variant` decodes with that variant.
    """

    block: str | None = None
    request: str | None = None
    reply: str | None = None
    topic: str | None = None
    payload: str | None = None
    hex: str | None = None
    write: str | None = None
    value: Raw | None = None
    expect: Mapping[str, int | str] = {}
    quality: Mapping[str, Literal["good", "uncertain", "bad"]] = {}
    error: Literal["crc", "exception", "mismatch", "short", "range", "payload"] | None = None
    available: bool | None = None
    variant: str | None = None
    note: str = ""


class Profile(Model):
    """One device model. `id` is the file stem."""

    schema_version: Literal[1] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    revision: int = Field(1, ge=1)
    vendor: str
    model: str
    aliases: tuple[str, ...] = ()
    title: Text
    category: Literal["climate", "air", "light", "fire", "door", "leak", "motion", "power", "io", "hvac", "camera", "multi"]
    evidence: Literal["documented", "verified", "assumed"]
    sources: tuple[str, ...] = Field(min_length=1)
    notes: str = ""
    params: tuple[Param, ...] = ()
    connection: Connection
    identify: tuple[Identify, ...] = ()
    blocks: tuple[Block, ...] = ()
    points: tuple[Point, ...] = Field(min_length=1)
    writes: tuple[Write, ...] = ()
    commissioning: tuple[Commissioning, ...] = ()
    health: Health = Health()
    mqtt: Mqtt | None = None
    codec: Codec | None = None
    camera: Camera | None = None
    variants: Mapping[str, Mapping[str, Any]] = {}
    vectors: tuple[Vector, ...] = ()

    def point(self, point_id: str) -> Point:
        """The point of an id. Raises KeyError."""
        return next((point for point in self.points if point.id == point_id), None) or self._missing(point_id)

    def block(self, block_id: str) -> Block:
        """The block of an id. Raises KeyError."""
        return next((block for block in self.blocks if block.id == block_id), None) or self._missing(block_id)

    def _missing(self, name: str) -> Any:
        raise KeyError(f"{self.id} has no {name!r}")
