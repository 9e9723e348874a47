"""The gateway's own watch while nobody at the centre can watch: the same alarm rules, run over the same samples, told on the spot.

The rules run all the time, so that delays and levels are right at the moment when the line goes down; but only then is anything told: what is raised
from then on, and what was raised after the centre was last heard. The rules come from the server (`Node Control/Rules`) and are kept; until then
those that the product ships with hold. Threshold, state, rate, heat and stale rules of points only: the rest needs more than one gateway knows.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alarms.builtin import with_smoke
from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, AlarmState, Seen, Tick, advance, step
from alarms.local import LOCAL_KINDS
from alarms.quiet import NEVER, Quiet, quiet
from alarms.rules import Level, Rule, RuleError, RuleSet, default_rules, parse_rules
from contract.sample import Sample
from edge.intake import Report
from edge.plan import PlannedPoint
from edge.settings import GuardSettings
from edge.statefile import write_atomic

_log = logging.getLogger("edge.guard")

_INTERVALS: Final = 3  # silence that makes a point stale
_LEAST_SILENCE_MS: Final = 20_000
_LARGEST_RULES: Final = 64 * 1024
_LONGEST_REASON: Final = 300


class Rules:
    """The rule set in force, and its file. `tell` hears why one that the server sent is not taken: once, however often it is sent."""

    def __init__(self, path: Path, tell: Callable[[str], None] = lambda _reason: None) -> None:
        self._path, self._tell, self._told = path, tell, ""
        self.refused, self.trouble = 0, ""
        try:
            self.current = parse_rules(path.read_text(encoding="utf-8"), path.name, tried=True)
        except FileNotFoundError:
            self.current = default_rules()
        except (OSError, UnicodeDecodeError, RuleError) as error:
            _log.warning("保存的告警规则不能用（%s），改用出厂规则", error)
            self.current = default_rules()

    @property
    def version(self) -> str:
        """For the birth."""
        return self.current.version

    def take(self, text: str) -> bool:
        """Adopt a rule set that the server sent; False, and everything stays, when it cannot be used."""
        try:
            if len(text.encode()) > _LARGEST_RULES:
                raise ValueError("more than 64 KiB")  # noqa: TRY301
            sent = parse_rules(text, "Node Control/Rules", tried=True)
            with_smoke(sent)
            self.current, self.trouble, self._told = sent, "", ""
            write_atomic(self._path, text, durable=True)
        except ValueError as error:
            self._refuse(text, str(error)[:_LONGEST_REASON])
            return False
        except OSError as error:
            _log.warning("告警规则已采用，但没能保存：%s", error.strerror)
        return True

    def _refuse(self, text: str, reason: str) -> None:
        """A newer centre may write what this program does not know: half of a rule set is not followed, the one before is, and people are told."""
        self.refused += 1
        self.trouble = f"中心发来的告警规则本网关读不懂，仍用原来的；请把网关程序升级到与中心相同的版本（{reason}）"
        if text != self._told:
            self._told = text
            _log.warning("%s", self.trouble)
            self._tell(reason)


@dataclass(frozen=True, slots=True)
class LocalAlarm:
    """What is told on the spot. `level` is the rules' word, `state` raised or cleared."""

    at: int
    room: str
    point: str
    rule: str
    level: str
    state: str
    value: float | None


@dataclass(slots=True)
class _Watched:
    """A point with its rules and their states."""

    planned: PlannedPoint
    rules: tuple[Rule, ...] = ()
    states: dict[str, AlarmState] | None = None
    deadline: int | None = None
    band: Quiet = NEVER
    """What changes nothing for all the rules together: most readings of a calm room need not be judged one by one."""
    judges_bad: bool = False
    last_at: int = -1


class Guard:
    """`now` is UTC ms. `take` and `run_once` belong to one thread; `rules` may be changed by another."""

    def __init__(self, settings: GuardSettings, rules: Rules, points: Iterable[PlannedPoint]) -> None:
        self._settings, self._rules = settings, rules
        self._level = Level.of(settings.level)
        self._watched = {planned.key.metric: _Watched(planned) for planned in points}
        self._version = ""
        self._waiting: list[LocalAlarm] = []
        self.on_duty = False

    def take(self, reports: Sequence[Report]) -> None:
        """Look at samples as they come."""
        self._refresh()
        for report in reports:
            watched = self._watched.get(report.sample.point.metric)
            if watched is not None:
                self._see(watched, report.sample)

    def run_once(self, now: int, last_heard: int, *, centre_watches: bool) -> list[LocalAlarm]:
        """Let time pass; returns what is to be told now. `last_heard` is when the centre last acknowledged anything."""
        self._refresh()
        for watched in self._watched.values():
            self._tick(watched, now)
        told, self._waiting = self._waiting, []
        if centre_watches:
            if self.on_duty:
                _log.info("与中心恢复联系，本地值守结束")
            self.on_duty = False
            return []
        if not self.on_duty:
            _log.warning("与中心失去联系，开始本地值守")
            self.on_duty = True
            return self._unknown_to_the_centre(last_heard)
        return told

    def _refresh(self) -> None:
        """New rules begin anew with every point."""
        current = self._rules.current
        if current.version == self._version:
            return
        self._version = current.version
        mine = with_smoke(current).only(LOCAL_KINDS)
        for watched in self._watched.values():
            watched.rules, watched.states, watched.band = self._of(mine, watched.planned), {}, NEVER
            watched.judges_bad = any(KINDS[rule.kind].judges_bad for rule in watched.rules)

    def _of(self, rules: RuleSet, planned: PlannedPoint) -> tuple[Rule, ...]:
        return rules.for_point(planned.key.quantity, self._settings.medium, _unit_path(planned.room), planned.room)

    def _see(self, watched: _Watched, sample: Sample) -> None:
        event = Seen(sample.taken_at, sample.value, sample.quality, sample.point.quantity)
        if not self._changes_nothing(watched, event):
            self._judge(watched, event, sample)
        watched.last_at = max(watched.last_at, sample.taken_at)
        if event.usable:
            silence = max(_INTERVALS * int(watched.planned.interval_s * 1000), _LEAST_SILENCE_MS)
            watched.deadline = sample.taken_at + silence

    @staticmethod
    def _changes_nothing(watched: _Watched, event: Seen) -> bool:
        overdue = watched.deadline is None or event.at > watched.deadline
        if overdue or event.at <= watched.last_at:
            return False
        return watched.band.holds(event.at, event.value or 0) if event.usable else not watched.judges_bad

    def _judge(self, watched: _Watched, event: Seen, sample: Sample) -> None:
        for rule in watched.rules:
            before = advance(rule, self._state(watched, rule), sample.taken_at, watched.deadline)
            self._move(watched, rule, before, sample.taken_at)
            self._move(watched, rule, step(rule, self._state(watched, rule), event, sample.taken_at), sample.taken_at)
        watched.band = NEVER
        if event.usable and event.value is not None:
            for at, rule in enumerate(watched.rules):
                band = quiet(rule, self._state(watched, rule), event.value, sample.point.quantity)
                watched.band = band if not at else watched.band.both(band)

    def _tick(self, watched: _Watched, now: int) -> None:
        if watched.deadline is None:
            return  # a point that was never heard is the centre's and the installer's business
        if now < watched.deadline and now < watched.band.until:
            return  # no timer is due and nobody is silent
        event = Tick(watched.deadline >= now, watched.deadline)
        watched.band = NEVER
        for rule in watched.rules:
            self._move(watched, rule, step(rule, self._state(watched, rule), event, now), now)

    def _state(self, watched: _Watched, rule: Rule) -> AlarmState:
        return (watched.states or {}).get(rule.name, INITIAL)

    def _move(self, watched: _Watched, rule: Rule, moved: Any, at: int) -> None:
        before = self._state(watched, rule)
        if watched.states is not None:
            watched.states[rule.name] = moved.state
        for change in moved.transitions:
            if change.annunciate and change.level is not None and change.level >= self._level:
                self._waiting.append(self._alarm(watched, rule, change.level, "raised", change.at, change.value))
        if before.tripped and not moved.state.tripped and before.level is not None and before.level >= self._level:
            self._waiting.append(self._alarm(watched, rule, before.level, "cleared", at, None))

    def _unknown_to_the_centre(self, last_heard: int) -> list[LocalAlarm]:
        found = []
        for watched in self._watched.values():
            for rule in watched.rules:
                state = self._state(watched, rule)
                if state.tripped and state.level is not None and state.level >= self._level and (state.raised_at or 0) > last_heard:
                    found.append(self._alarm(watched, rule, state.level, "raised", state.raised_at or 0, state.raised_value))
        return found

    def _alarm(self, watched: _Watched, rule: Rule, level: Level, state: str, at: int, value: float | None) -> LocalAlarm:
        return LocalAlarm(at, watched.planned.room, watched.planned.key.metric, rule.name, level.word, state, value)


def _unit_path(room: str) -> tuple[str, ...]:
    """The units above a room as far as its code tells them: province, prefecture, county, and the unit itself."""
    unit = room[:12]
    path = (f"{unit[:2]}0000000000", f"{unit[:4]}00000000", f"{unit[:6]}000000", unit)
    return tuple(dict.fromkeys(path))


class Duty:
    """Whether the centre watches: online, and something acknowledged within the agreed time. `mono` is monotonic ms."""

    def __init__(self, after_s: float, now: int, mono: float) -> None:
        self._after_ms = after_s * 1000
        self._heard_at = mono  # at the start the centre has the benefit of the doubt
        self.last_heard = now

    def centre_watches(self, uplink: Mapping[str, Any], now: int, mono: float) -> bool:
        """By the uplink's status."""
        ago = uplink.get("acknowledged_s_ago")
        if ago is not None:
            self._heard_at, self.last_heard = mono - ago * 1000, now - int(ago * 1000)
        if uplink.get("phase") == "waiting" and not uplink.get("host_online"):
            return False
        return mono - self._heard_at < self._after_ms
