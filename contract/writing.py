"""Writes: what an ordered value becomes on the line, and whether it may be ordered at all. No port, no clock.

An order travels as JSON (`Node Control/Write`) and its outcome comes back as an entry of the gateway's logbook. Only what the profile lists can be
written, within its range, by its role; `danger: high` needs a second person (devices.md 12.2, rule 5).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec

from contract.frames import FrameError, Request, write_many_request, write_request
from contract.profile_models import Point, Profile, Raw, Write

MAY: Final = {
    "duty": frozenset({"duty", "in_charge", "service", "guard"}),
    "in_charge": frozenset({"in_charge", "service", "guard"}),
    "system": frozenset({"system", "service"}),
}
"""Role of a write -> roles that may order it; `guard` is the gateway's own local watch, `service` a key of the interface."""


class WriteRefusedError(ValueError):
    """An order that must not be carried out. `kind` is a short code, the text one sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ordered write. `id` makes it idempotent, `expires_at` (UTC ms) keeps an old one from surprising anybody."""

    id: str
    device: str
    write: str
    value: bool | int | float | str
    by: str
    role: str
    expires_at: int
    second: str = ""
    reason: str = ""


def read_order(text: str) -> Order:
    """An order from its JSON. Raises WriteRefusedError("malformed")."""
    try:
        return msgspec.json.decode(text, type=Order)
    except msgspec.MsgspecError as error:
        raise WriteRefusedError("malformed", f"写指令看不懂：{error}") from None


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a write: function, address, raw value. `coil` values are 0xFF00 and 0."""

    fc: int
    address: int
    value: int

    def frame(self, unit: int) -> bytes:
        """The RTU frame. Raises FrameError("range")."""
        if self.fc in (5, 6):
            return write_request(unit, self.fc, self.address, self.value)
        return write_many_request(unit, self.fc, self.address, (int(self.value != 0) if self.fc == 15 else self.value,))

    def echo(self, unit: int) -> Request:
        """What the device must repeat: the value of a single write, the count of a multiple one."""
        return Request(unit, self.fc, self.address, self.value if self.fc in (5, 6) else 1)


def find(profile: Profile, name: str) -> Write:
    """The write of a name. Raises WriteRefusedError("unknown")."""
    found = next((write for write in profile.writes if write.id == name), None)
    if found is None:
        raise WriteRefusedError("unknown", f"画像 {profile.id} 没有写操作 {name}")
    return found


def check(write: Write, order: Order) -> None:
    """Whether this person may order it. Raises WriteRefusedError("role" or "second_person")."""
    if order.role not in MAY[write.role]:
        raise WriteRefusedError("role", f"{write.id} 要由 {write.role} 下达，{order.role or '没有角色的人'} 不行")
    if write.danger == "high" and order.second in ("", order.by):
        raise WriteRefusedError("second_person", f"{write.id} 危险等级高，要第二个人确认")


def steps(write: Write, value: Raw | float) -> tuple[Step, ...]:
    """The frames of a write, unlocking first. Raises WriteRefusedError("value") for what the profile does not allow."""
    unlocking = tuple(Step(unlock.fc, unlock.address, unlock.value) for unlock in write.unlock)
    return (*unlocking, Step(write.fc, write.address, _raw(write, value)))


def _raw(write: Write, value: Raw | float) -> int:
    if write.values:
        named = {key: raw for key, raw in write.values.items() if type(key) is type(value) and key == value}
        if not named:
            allowed = "、".join(str(key) for key in write.values)
            raise WriteRefusedError("value", f"{write.id} 只能写 {allowed}，不能写 {value}")
        return _coil(write, next(iter(named.values())))
    low, high = write.range or (0, 0)
    if isinstance(value, bool | str) or not low <= value <= high:
        raise WriteRefusedError("value", f"{write.id} 只能写 {low:g} 到 {high:g}，不能写 {value}")
    exact = Fraction(str(value)) / Fraction(write.scale)
    raw = round(exact)
    if exact != raw or not (-0x8000 if write.type == "i16" else 0) <= raw <= (0x7FFF if write.type == "i16" else 0xFFFF):
        raise WriteRefusedError("value", f"{value} 不是 {write.id} 的一格（每格 {write.scale}）")
    return raw & 0xFFFF


def _coil(write: Write, raw: int) -> int:
    return raw if write.fc != 5 or raw in (0, 0xFF00) else 0xFF00 if raw else 0


def expected(write: Write, point: Point, value: Raw | float) -> float:
    """What the confirming point must read after the write, in its own unit."""
    if isinstance(value, str):
        raw = write.values[value]
        return float(point.map is not None and point.map.get(raw) in point.active) if point.map else float(raw)
    return float(int(value) ^ int(point.invert)) if isinstance(value, bool) else float(value)


def problems(profile: Profile) -> Iterator[str]:
    """What is wrong with the writes of a profile: a value that makes no frame."""
    for write in profile.writes:
        allowed: Iterable[Raw | float] = write.values or write.range or ()
        for value in allowed:
            try:
                for step in steps(write, value):
                    step.frame(1)
            except (FrameError, WriteRefusedError) as error:
                yield f"{profile.id} {write.id} {value}: {error}"
