"""From readings to samples: judgement, confirmation, instant, and whether the sample is sent now. No I/O; one intake serves all buses.

A point of an ordinary block is sent whenever it was read. A point that is read faster than its interval is sent when it changed, and else once
per interval. News of an alarm-class quantity goes to the urgent lane; its repetition does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.structs import replace

from contract.profile_models import Confirm
from contract.quantities import QUANTITIES, Kind
from contract.readings import Reading
from contract.sample import Quality, Sample
from edge.plan import Device, PlannedPoint
from edge.quality import Memory, Unconfirmed, Verdict, confirm, judge, overdue
from edge.rows import Lane
from edge.taken import Stamper

_WHOLE_S: Final = 5.0  # from this interval on, samples lie on whole seconds
_SMOKE_DEADBAND: Final = 0.02  # dB/m; noise of an optical chamber is no news


class Report(NamedTuple):
    """A sample, the lane it belongs to, and the room that it is about."""

    sample: Sample
    lane: Lane
    room: str = ""


@dataclass(slots=True)
class _State:
    """What is remembered of one point."""

    planned: PlannedPoint
    deadband: float
    memory: Memory | None = None
    pending: Unconfirmed | None = None
    pending_verdict: Verdict | None = None
    sent: Sample | None = None
    sent_at: float = float("-inf")  # mono


class Intake:
    """`awake_since` (UTC ms) is when the devices were powered, as far as anybody knows. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(self, devices: Iterable[Device], stamper: Stamper, awake_since: int) -> None:
        self._devices = {
            device.name: {point_id: _State(planned, _deadband(planned)) for point_id, planned in device.points.items()} for device in devices
        }
        self._awake = dict.fromkeys(self._devices, awake_since)
        self._pending: dict[str, _State] = {}  # by metric: alarms that wait for their second look
        self._stamper = stamper
        self.undeclared = 0

    def woke(self, device: str, now: int) -> None:
        """A device that was lost answers again: perhaps it was switched on just now."""
        self._awake[device] = now

    def take(
        self, device: str, readings: Sequence[Reading], now: int, mono: float, *, event: int | None = None, period_ms: float = 0
    ) -> list[Report]:
        """What to send of readings that were taken at `now`, or at the device's own time `event`. `period_ms` is the time to the next reading."""
        states, awake = self._devices.get(device, {}), self._awake.get(device, now)
        reports = []
        for reading in readings:
            state = states.get(reading.point_id)
            if state is None:
                self.undeclared += 1
            elif (report := self._one(state, reading, now, mono, awake, event, period_ms)) is not None:
                reports.append(report)
        return reports

    def _one(self, state: _State, reading: Reading, now: int, mono: float, awake: int, event: int | None, period_ms: float) -> Report | None:
        limits = state.planned.limits
        verdict, state.memory = judge(limits, state.memory, reading, now, awake)
        if limits.confirm is not None and not self._confirmed(state, limits.confirm, verdict, now):
            return None
        changed = _changed(state, verdict)
        if state.planned.on_change and not changed and mono + period_ms / 2 - state.sent_at < state.planned.interval_s * 1000:
            return None
        return self._report(state, verdict, now, mono, event, changed)

    def _confirmed(self, state: _State, rule: Confirm, verdict: Verdict, now: int) -> bool:
        believed = state.sent is not None and state.sent.value is not None and state.sent.value != 0
        counts, state.pending = confirm(rule, state.pending, verdict, now, believed)
        state.pending_verdict = None if counts else verdict
        if counts:
            self._pending.pop(state.planned.key.metric, None)
        else:
            self._pending[state.planned.key.metric] = state
        return counts

    def _report(self, state: _State, verdict: Verdict, now: int, mono: float, event: int | None, changed: bool) -> Report:
        planned = state.planned
        news = changed and QUANTITIES[planned.key.quantity].urgent
        whole = planned.interval_s >= _WHOLE_S and event is None and not (changed and planned.on_change)
        taken = self._stamper.stamp(planned.key.metric, now, event=event, whole_second=whole)
        state.sent = Sample(planned.key, taken, verdict.value, verdict.quality, verdict.reason)
        state.sent_at = mono
        return Report(state.sent, Lane.URGENT if news else Lane.NORMAL, planned.room)

    def tick(self, now: int, mono: float) -> list[Report]:
        """Alarms that nobody could look at a second time in time: told with a doubt, rather than lost."""
        reports = []
        for metric, state in list(self._pending.items()):
            if state.pending_verdict is not None and overdue(state.planned.limits.confirm, state.pending, now):
                del self._pending[metric]
                verdict = replace(state.pending_verdict, quality=Quality.UNCERTAIN, reason=state.pending_verdict.reason or "unconfirmed")
                state.pending = state.pending_verdict = None
                reports.append(self._report(state, verdict, now, mono, None, True))
        return reports

    def lost(self, device: str, reason: str, now: int, mono: float, *, stale: bool = False) -> list[Report]:
        """One last sample per point of a device that is gone: BAD with the reason, or STALE with the last value where the device said so itself."""
        reports = []
        for state in self._devices.get(device, {}).values():
            known = state.sent.value if stale and state.sent is not None else None
            verdict = Verdict(known, Quality.BAD if known is None else Quality.STALE, reason)
            reports.append(self._report(state, verdict, now, mono, None, _changed(state, verdict)))
        return reports

    def refused(self, device: Device, blocks: Iterable[str], reason: str, now: int, mono: float, period_ms: float) -> list[Report]:
        """The device answered that it will not tell: its points are BAD at their usual interval."""
        wanted = set(blocks)
        readings = [
            Reading(point_id, planned.key.quantity, planned.key.channel, None, "", Quality.BAD, reason)
            for point_id, planned in device.points.items()
            if planned.point.block in wanted
        ]
        return self.take(device.name, readings, now, mono, period_ms=period_ms)

    @property
    def latest(self) -> Mapping[str, Sample]:
        """The last sample sent of each metric."""
        states = (state for device in self._devices.values() for state in device.values())
        return {state.planned.key.metric: state.sent for state in states if state.sent is not None}


def _changed(state: _State, verdict: Verdict) -> bool:
    """Whether a verdict is news against what was sent last."""
    sent = state.sent
    if sent is None or sent.quality is not verdict.quality or sent.reason != verdict.reason:
        return True
    if sent.value is None or verdict.value is None:
        return sent.value is not verdict.value
    return abs(sent.value - verdict.value) > state.deadband


def _deadband(planned: PlannedPoint) -> float:
    """How far a value may go before it is news; a state's steps are whole, so any is."""
    quantity = QUANTITIES[planned.key.quantity]
    if quantity.kind is Kind.STATE:
        return 0.0
    own = planned.point.deadband
    return own if own is not None else _SMOKE_DEADBAND if quantity.urgent else 0.0
