"""Closure that the sensor confirms: does what was measured fit what was reported? Pure; instants are UTC ms.

A report says "it is done". The card says what the sensor must then show (cards.py Done). As long as it may still come true the incident waits; when
it cannot any more, or the opposite is measured, the report is contradicted, and both facts are said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from contract.quantities import QUANTITIES
from server.duty.cards import Claim, Done

BEIJING = ZoneInfo("Asia/Shanghai")
Reading = tuple[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known. `gone_since`: the condition of every alarm is gone since then, None while one holds. `readings` are good samples
    in order of time.

    `locked`: an alarm waits for its reset. `silent`: quantities of the room without fresh data. `again_at`: when an alarm came anew after the report.
    """

    reported_at: int
    gone_since: int | None
    locked: bool = False
    silent: tuple[str, ...] = ()
    again_at: int | None = None
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """verified, waiting or contradicted, with the reasons as sentences (Chinese, for the record)."""

    state: Literal["verified", "waiting", "contradicted"]
    reasons: tuple[str, ...] = ()


def judge(done: Done, facts: Facts, now: int) -> Verdict:
    """Hold a report against the sensor at an instant."""
    if done.reset and facts.again_at is not None:  # smoke, leaks and forced doors do not flicker: who said it was over was wrong
        return Verdict("contradicted", (f"{_clock(facts.again_at)} 传感器再次告警。",))
    against = [sentence for claim in done.claims if (sentence := _contradiction(claim, facts, now))]
    if against:
        return Verdict("contradicted", tuple(against))
    open_points = _missing(done, facts, now)
    if not open_points:
        return Verdict("verified", (_proof(facts),))
    if now >= facts.reported_at + done.within:
        return Verdict("contradicted", tuple(open_points))
    return Verdict("waiting", tuple(open_points))


def _missing(done: Done, facts: Facts, now: int) -> list[str]:
    found = []
    if facts.gone_since is None:
        found.append("传感器仍在告警。")
    elif now - facts.gone_since < done.hold:
        found.append(f"恢复正常还不满 {_minutes(done.hold)} 分钟（从 {_clock(facts.gone_since)} 起）。")
    if done.reset and facts.locked:
        found.append("告警仍锁定，现场核查后还没有复位。")
    if done.fresh and facts.silent:
        found.append(f"还没有有效数据：{'、'.join(_name(quantity) for quantity in facts.silent)}。")
    return found


def _contradiction(claim: Claim, facts: Facts, now: int) -> str:
    """A sentence when the measured trend contradicts the claim, else nothing; without readings nothing is said here."""
    readings = facts.readings.get(claim.quantity, ())
    before = [value for at, value in readings if at <= facts.reported_at]
    after = [value for at, value in readings if at > facts.reported_at]
    if not after:
        return ""
    base, last = before[-1] if before else after[0], after[-1]
    # Readings are multiples of a decimal step; the sum of two of them is not exactly one.
    by = claim.by - 1e-9
    if claim.trend == "not_rising" and last - base >= by:
        return _said(claim.quantity, base, last, "仍在上升")
    if claim.trend == "not_falling" and base - last >= by:
        return _said(claim.quantity, base, last, "仍在下降")
    late = facts.gone_since is None and now >= facts.reported_at + claim.within
    if claim.trend == "falling" and late and base - min(after) < by:
        return _said(claim.quantity, base, last, f"{_minutes(claim.within)} 分钟内没有下降")
    if claim.trend == "rising" and late and max(after) - base < by:
        return _said(claim.quantity, base, last, f"{_minutes(claim.within)} 分钟内没有回升")
    return ""


def _said(quantity: str, base: float, last: float, what: str) -> str:
    unit = QUANTITIES[quantity].unit.replace("°C", "℃")
    return f"{_name(quantity)}报告时 {base:.1f} {unit}，现在 {last:.1f} {unit}，{what}。"


def _proof(facts: Facts) -> str:
    assert facts.gone_since is not None  # noqa: S101 - nothing is missing
    return f"传感器自 {_clock(facts.gone_since)} 起恢复正常。"


def _name(quantity: str) -> str:
    return QUANTITIES[quantity].zh if quantity in QUANTITIES else quantity


def _minutes(ms: int) -> int:
    return ms // 60_000


def _clock(ms: int) -> str:
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(BEIJING)
    return f"{at.month}月{at.day}日 {at:%H:%M}"
