"""Which samples cannot change an alarm: for a rule and a state the band and the time within which step() gives back the identical state.

Said from the rule and the state alone and never guessed: where a kind cannot say it, nothing is quiet and every sample goes to the core. The
vectorised screen (screen.py) is built on this.
"""

import math
from typing import NamedTuple

from alarms.conditions import Itself
from alarms.delays import clocks, delays, held, judge
from alarms.kinds import KINDS
from alarms.model import EPSILON, Rule, Rung
from alarms.state import AlarmState


class Quiet(NamedTuple):
    """A usable sample with `low` <= value <= `high` taken before `until` changes nothing."""

    low: float
    high: float
    until: float = math.inf

    def holds(self, at: int, value: float) -> bool:
        """Whether a usable sample is one of them."""
        return self.low <= value <= self.high and at < self.until

    def both(self, other: "Quiet") -> "Quiet":
        """What is quiet for the one and for the other."""
        low, high, until = self
        return Quiet(
            other.low if other.low > low else low,
            other.high if other.high < high else high,
            other.until if other.until < until else until,
        )


ALWAYS = Quiet(-math.inf, math.inf)
NEVER = Quiet(math.inf, -math.inf, -math.inf)


def quiet(rule: Rule, state: AlarmState, value: float, quantity: str = "", source: int = 0) -> Quiet:
    """The quiet band around `value`, the point's last usable reading (it matters for limits that are single values).

    Timers are left out too: at `until` the first of them is due.
    """
    kind = KINDS[rule.kind]
    still = kind.still(rule.settings, state.memory, rule.inputs, quantity or rule.quantity, source) if kind.still is not None else None
    if still is None:
        return NEVER
    band = Quiet(still.low, still.high, still.until)
    if still.judged is not None:
        band = band.both(_same_answers(rule, state, value) if still.judged is Itself.ITSELF else _steady(rule, state, still.judged))
    if state.timeless:
        return band
    timers = [*delays(rule, state), *(instant + 1 for instant, _ in clocks(rule, state))]
    return band.both(Quiet(-math.inf, math.inf, min(timers, default=math.inf)))


def _steady(rule: Rule, state: AlarmState, judged: float) -> Quiet:
    """For kinds that judge one and the same number: all or nothing."""
    return ALWAYS if judge(rule, state, judged, 0) is state else NEVER


def _same_answers(rule: Rule, state: AlarmState, value: float) -> Quiet:
    """Values to which every rung gives the answer whose delay is running already: no delay begins, none is cancelled."""
    if state.timeless and rule.ladder[0].side != "equals":
        return _where_breached(rule.ladder[0], value, False)  # the first rung is the widest
    onsets, releases = {onset.level for onset in state.onsets}, {release.level for release in state.releases}
    band = ALWAYS
    for rung in rule.ladder:
        if held(state, rung):
            band = band.both(_where_cleared(rung, rule.deadband, value, rung.level in releases))
            releases.discard(rung.level)
        else:
            band = band.both(_where_breached(rung, value, rung.level in onsets))
            onsets.discard(rung.level)
    return NEVER if onsets or releases else band  # a delay of a level that the ladder no longer has ends with the next sample


def _where_breached(rung: Rung, value: float, wanted: bool) -> Quiet:
    if rung.side == "equals":
        return _where_listed(rung, value, wanted)
    if rung.side == "above":
        return _above(rung.limit + EPSILON, wanted)
    return _below(rung.limit - EPSILON, wanted)


def _where_cleared(rung: Rung, deadband: float, value: float, wanted: bool) -> Quiet:
    if rung.side == "equals":
        return _where_listed(rung, value, not wanted)
    if rung.side == "above":
        return _above(rung.limit - deadband + EPSILON, not wanted)
    return _below(rung.limit + deadband - EPSILON, not wanted)


def _above(limit: float, wanted: bool) -> Quiet:
    return Quiet(math.nextafter(limit, math.inf), math.inf) if wanted else Quiet(-math.inf, limit)


def _below(limit: float, wanted: bool) -> Quiet:
    return Quiet(-math.inf, math.nextafter(limit, -math.inf)) if wanted else Quiet(limit, math.inf)


def _where_listed(rung: Rung, value: float, wanted: bool) -> Quiet:
    """Around `value`: itself alone when it is one of the rung's values, else the gap between its neighbours there."""
    if (value in rung.values) != wanted:
        return NEVER
    if wanted:
        return Quiet(value, value)
    low = max((listed for listed in rung.values if listed < value), default=-math.inf)
    high = min((listed for listed in rung.values if listed > value), default=math.inf)
    return Quiet(math.nextafter(low, math.inf), math.nextafter(high, -math.inf))
