"""How far to trust a reading, judged against the readings before it. Pure; time is an argument, UTC ms.

The profile has already judged the single value (special, range: bad; suspect: uncertain). Here comes what needs a history, first hit wins:
a step too steep, a value that never changes, a device that has just come to life, then the profile's own doubt. None of these makes a value unusable:
a fire is a step too, and the server must see it. So they are UNCERTAIN, and only what cannot be a measurement is BAD.
"""

from dataclasses import dataclass, replace

import msgspec

from contract.profile_models import Confirm, Point
from contract.quantities import Kind, quantity
from contract.readings import Reading
from contract.sample import Quality

_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a profile says about the behaviour of a point; None switches a check off. Seconds, canonical units."""

    max_step_per_min: float | None = None
    stuck_s: float | None = None
    warmup_s: float = 0
    confirm: Confirm | None = None

    @classmethod
    def of(cls, point: Point, device_warmup_s: float = 0) -> "Limits":
        """The limits of a profile point; a state neither steps nor gets stuck."""
        warmup = device_warmup_s if point.warmup_s is None else point.warmup_s
        if quantity(point.quantity).kind is Kind.STATE:
            return cls(None, None, warmup, point.confirm)
        return cls(point.max_step_per_min, point.stuck_s, warmup, None)


class Memory(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a point: the last usable value and its instant, since when it has not changed, since when the device has been awake."""

    value: float
    at: int
    unchanged_since: int
    awake_since: int


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A value with its quality; `value` is None exactly when it is BAD."""

    value: float | None
    quality: Quality
    reason: str = ""


def judge(limits: Limits, before: Memory | None, reading: Reading, at: int, awake_since: int) -> tuple[Verdict, Memory | None]:
    """The verdict on a reading taken at `at`, and what to remember. `awake_since` is when the device last came (back) to life."""
    if reading.quality is Quality.BAD or reading.value is None:
        return Verdict(None, Quality.BAD, reading.reason or "null_value"), before
    value = float(reading.value)
    since = before.unchanged_since if before is not None and before.value == value and before.awake_since == awake_since else at
    now = Memory(value, at, since, awake_since)
    reason = _doubt(limits, before, now) or reading.reason
    return Verdict(value, Quality.UNCERTAIN if reason else Quality.GOOD, reason), now


def _doubt(limits: Limits, before: Memory | None, now: Memory) -> str:
    """The first doubt that the history raises, or ""."""
    if before is not None and limits.max_step_per_min is not None:
        minutes = max((now.at - before.at) / _MINUTE, 1.0)  # within a minute the whole allowance may be used: sensors settle in jumps
        if abs(now.value - before.value) > limits.max_step_per_min * minutes:
            return "step"
    if limits.stuck_s is not None and now.at - now.unchanged_since >= limits.stuck_s * 1000:
        return "stuck"
    if now.at - now.awake_since < limits.warmup_s * 1000:
        return "warm_up"
    return ""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """An alarm value that was seen `times` times since `since` and is not believed yet."""

    since: int
    times: int


def confirm(rule: Confirm | None, before: Unconfirmed | None, verdict: Verdict, at: int, believed: bool) -> tuple[bool, Unconfirmed | None]:
    """Whether an active state counts now. `believed`: it was reported as active already.

    It counts when seen `n` times within `within_s`, or when it has stood for `within_s`; a bad reading neither confirms nor refutes.
    """
    if rule is None or believed or verdict.value == 0:
        return True, None
    if verdict.value is None:
        return True, before
    seen = Unconfirmed(at, 1) if before is None else replace(before, times=before.times + 1)
    if seen.times >= rule.n or at - seen.since >= rule.within_s * 1000:
        return True, None
    return False, seen


def overdue(rule: Confirm | None, pending: Unconfirmed | None, now: int) -> bool:
    """Whether an unconfirmed alarm has waited long enough without a second look: then it is told as it is, rather than lost."""
    return rule is not None and pending is not None and now - pending.since >= rule.within_s * 1000
