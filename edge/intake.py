"""From readings to samples: judgement, confirmation, instant, and whether the sample is sent now. No I/O; one intake serves all buses.

A point of an ordinary block is sent whenever it was read. A point that is read faster than its interval is sent when it changed, and else once
per interval. News of an alarm-class quantity goes to the urgent lane; its repetition does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

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
    memory: Memory | None = None
    pending: Unconfirmed | None = None
    pending_verdict: Verdict | None = None
    sent: Sample | None = None
    sent_at: float = float("-inf")  # mono


class Intake:
    """`awake_since` (UTC ms) is when the devices were powered, as far as anybody knows. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(self, devices: Iterable[Device], stamper: Stamper, awake_since: int) -> None:
        self._states = {(device.name, point_id): _State(planned) for device in devices for point_id, planned in device.points.items()}
        self._awake = {device: awake_since for device, _ in self._states}
        self._stamper = stamper
        self.undeclared = 0

    def woke(self, device: str, now: int) -> None:
        """A device that was lost answers again: perhaps it was switched on just now."""
        self._awake[device] = now

    def take(
        self, device: str, readings: Sequence[Reading], now: int, mono: float, *, event: int | None = None, period_ms: float = 0
    ) -> list[Report]:
        """What to send of readings that were taken at `now`, or at the device's own time `event`. `period_ms` is the time to the next reading."""
        reports = [self._one(device, reading, now, mono, event, period_ms) for reading in readings]
        return [report for report in reports if report is not None]

    def _one(self, device: str, reading: Reading, now: int, mono: float, event: int | None, period_ms: float) -> Report | None:
        state = self._states.get((device, reading.point_id))
        if state is None:
            self.undeclared += 1
            return None
        limits = state.planned.limits
        verdict, state.memory = judge(limits, state.memory, reading, now, self._awake[device])
        believed = state.sent is not None and state.sent.value is not None and state.sent.value != 0
        counts, state.pending = confirm(limits.confirm, state.pending, verdict, now, believed)
        state.pending_verdict = None if counts else verdict
        if not counts:
            return None
        changed = _changed(state, verdict)
        if state.planned.on_change and not changed and mono + period_ms / 2 - state.sent_at < state.planned.interval_s * 1000:
            return None
        return self._report(state, verdict, now, mono, event, changed)

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
        for state in self._states.values():
            if state.pending_verdict is not None and overdue(state.planned.limits.confirm, state.pending, now):
                verdict = replace(state.pending_verdict, quality=Quality.UNCERTAIN, reason=state.pending_verdict.reason or "unconfirmed")
                state.pending = state.pending_verdict = None
                reports.append(self._report(state, verdict, now, mono, None, True))
        return reports

    def lost(self, device: str, reason: str, now: int, mono: float, *, stale: bool = False) -> list[Report]:
        """One last sample per point of a device that is gone: BAD with the reason, or STALE with the last value where the device said so itself."""
        reports = []
        for (name, _), state in self._states.items():
            if name == device:
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
        return {state.planned.key.metric: state.sent for state in self._states.values() if state.sent is not None}


def _changed(state: _State, verdict: Verdict) -> bool:
    """Whether a verdict is news against what was sent last."""
    sent = state.sent
    if sent is None or (sent.quality, sent.reason) != (verdict.quality, verdict.reason):
        return True
    if sent.value is None or verdict.value is None:
        return sent.value is not verdict.value
    quantity = QUANTITIES[state.planned.key.quantity]
    if quantity.kind is Kind.STATE:
        return sent.value != verdict.value
    own = state.planned.point.deadband
    deadband = own if own is not None else _SMOKE_DEADBAND if quantity.urgent else 0.0
    return abs(sent.value - verdict.value) > deadband
