"""What happened beside the curves of the history page: alarms and open doors as stretches of the range, for the strips and for the list."""

from typing import NamedTuple

from server.web.api.annotations import LONGEST_MS, RoomEvents, events
from server.web.api.common import at
from server.web.auth import Principal
from server.web.problems import ProblemError
from server.web.services import Services


class Stretch(NamedTuple):
    """[since, until) in UTC ms; `until` is cut to the range. `going` tells that it had not ended there."""

    since: int
    until: int
    going: bool


class AlarmStretch(NamedTuple):
    """An alarm as the list shows it."""

    ident: int
    number: str
    rule: str
    kind: str
    quantity: str
    level: str
    drill: bool
    span: Stretch


class Beside(NamedTuple):
    """Alarms and open doors of a range. `cut`: there were more; `asked`: False where the range is too long or the store does not answer."""

    alarms: list[AlarmStretch]
    doors: list[Stretch]
    cut: bool
    asked: bool

    @property
    def alarm_marks(self) -> str:
        """For the drawing: since-until-level, by commas."""
        return ",".join(f"{alarm.span.since}-{alarm.span.until}-{alarm.level}" for alarm in self.alarms)

    @property
    def door_marks(self) -> str:
        """For the drawing: since-until, by commas."""
        return ",".join(f"{door.since}-{door.until}" for door in self.doors)


def beside(services: Services, who: Principal, code: str, start: int, end: int) -> Beside:
    """What happened in a room of the asker in a range."""
    if end - start > LONGEST_MS:
        return Beside([], [], cut=False, asked=False)
    try:
        found = events(code, who, services, at(start), at(end))
    except ProblemError:  # logged where it was raised; the page must not fail with the store
        return Beside([], [], cut=False, asked=False)
    return Beside(_alarms(found, start, end), _doors(found, end), cut=found.cut, asked=True)


def _alarms(found: RoomEvents, start: int, end: int) -> list[AlarmStretch]:
    listed = []
    for alarm in found.alarms:
        since = round(alarm.raised_at.timestamp() * 1000)
        until = end if alarm.cleared_at is None else min(end, round(alarm.cleared_at.timestamp() * 1000))
        span = Stretch(max(start, since), until, alarm.cleared_at is None)
        listed.append(AlarmStretch(alarm.id, alarm.number, alarm.rule, alarm.kind, alarm.quantity, alarm.level, alarm.drill, span))
    return listed


def _doors(found: RoomEvents, end: int) -> list[Stretch]:
    """Every contact by itself: open from a 1 until its next 0."""
    opened: dict[int, int] = {}
    spans = []
    for change in (each for each in found.changes if each.quantity == "door"):
        moment = round(change.time.timestamp() * 1000)
        if change.value:
            opened.setdefault(change.point, moment)
        elif change.point in opened:
            spans.append(Stretch(opened.pop(change.point), moment, False))
    spans += [Stretch(since, end, True) for since in opened.values()]
    return sorted(spans)
