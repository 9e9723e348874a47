"""Alarms as rows of a list, with what stands beside them now and what the asker may do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy.orm import Session

from alarms.kinds import KINDS
from server.live.board import Board, PointView, severity
from server.store import gateways, rooms, units
from server.store.alarms import Brief
from server.store.tables import Alarm
from server.watch.commands import UNDO_MS
from server.watch.commit import alone
from server.web.auth import Principal
from server.web.behalf import called
from server.web.labels import SHELVES
from server.web.rights import Action
from server.web.services import Services
from server.web.several import one_by_one
from server.web.shelves import Shelf, shelf

B = TypeVar("B", Alarm, Brief)

WAITING = ("active_unacked", "cleared_unacked", "latched_unacked")
SILENT = ("shelved", "suppressed", "out_of_service")
_LIFT = {"shelved": ("unshelve",), "out_of_service": ("return-to-service",)}
BOOLEAN_KINDS = ("group", "lost", "state", "camera", "stale", "stuck")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """One alarm for a template. `subject` names what an alarm without a room is about where its unit does not say it: a gateway. `value` is the
    present value of what it is about, `shelf` how long it may be paused, `called` are names of those who were called (see with_called).
    """

    alarm: Alarm
    room_name: str
    unit_name: str
    subject: str
    value: PointView | None
    who: Principal
    now: int
    shelf: Shelf
    called: tuple[str, ...] = ()

    @property
    def waiting(self) -> bool:
        """Whether somebody must take it over."""
        return self.alarm.state in WAITING

    @property
    def numeric(self) -> bool:
        """Whether value and limit are numbers that say something."""
        return self.alarm.kind not in BOOLEAN_KINDS and self.alarm.limit is not None

    @property
    def comparable(self) -> bool:
        """Whether the limit is one of the reading that stands beside it, and not of something worked out from it (a swing, a distance)."""
        return self.numeric and not (self.alarm.kind in KINDS and KINDS[self.alarm.kind].derived)

    @property
    def undoable(self) -> bool:
        """Whether the asker's own take-over can still be undone."""
        taken = self.alarm.acked_at
        return self.may("unacknowledge") and taken is not None and self.alarm.acked_by == self.who.name and self.now - taken <= UNDO_MS

    @property
    def undo_until(self) -> int:
        """Last instant of the undo, UTC ms."""
        return (self.alarm.acked_at or 0) + UNDO_MS

    def may(self, action: str) -> bool:
        """Whether a button makes sense for this alarm in its state and this person in his role."""
        return action in self._offered and self.offers(action)

    def offers(self, action: str) -> bool:
        """Whether he may do it, or somebody at this terminal may who proves who he is."""
        return self.who.offers(RIGHTS[action])

    @property
    def together(self) -> bool:
        """Whether he may take it over together with others."""
        return self.may("acknowledge") and not one_by_one(self.alarm)

    @property
    def shelves(self) -> dict[int, str]:
        """Minutes that its reminders may be paused for, with their words; empty: they may not."""
        return {minutes: word for minutes, word in SHELVES.items() if minutes * 60_000 <= self.shelf.longest_ms}

    @property
    def never_silent(self) -> bool:
        """Whether the pause is missing for the sake of the rule alone."""
        return not self.shelves and self.offers("shelve") and "shelve" in self._by_state

    @property
    def _offered(self) -> tuple[str, ...]:
        return tuple(action for action in self._by_state if action != "shelve" or self.shelves)

    @property
    def _by_state(self) -> tuple[str, ...]:
        state = self.alarm.state
        if self.alarm.closed_at is not None:
            return ("comment",)
        if state in SILENT:
            return (*_LIFT.get(state, ()), "comment")
        if self.waiting:
            return ("acknowledge", "decline", "progress", "assist", "no-danger", "shelve", "out-of-service", "comment")
        own = ("unacknowledge", "progress", "assist", "no-danger", "decline", "comment")
        return (*own, "reset") if state == "latched_acked" else (*own, "shelve", "out-of-service")


RIGHTS = {
    "acknowledge": Action.HANDLE,
    "unacknowledge": Action.HANDLE,
    "decline": Action.HANDLE,
    "progress": Action.HANDLE,
    "assist": Action.HANDLE,
    "no-danger": Action.HANDLE,
    "comment": Action.HANDLE,
    "shelve": Action.SILENCE,
    "unshelve": Action.SILENCE,
    "reset": Action.RESET,
    "out-of-service": Action.OUT_OF_SERVICE,
    "return-to-service": Action.OUT_OF_SERVICE,
}
"""Right that each button of an alarm asks for."""


def rows(session: Session, services: Services, found: Sequence[Alarm], who: Principal, now: int) -> list[AlarmRow]:
    """Rows in the given order."""
    places = rooms.names(session, [alarm.room for alarm in found if alarm.room])
    names = units.names(session, [alarm.unit for alarm in found])
    boxes = gateways.names(session, [code for alarm in found if (code := _gateway(alarm))])
    return [
        AlarmRow(
            alarm=alarm,
            room_name=places.get(alarm.room or "", ("", ""))[0],
            unit_name=names.get(alarm.unit, alarm.unit),
            subject=boxes.get(_gateway(alarm), ""),
            value=_present(services.board, alarm, now),
            who=who,
            now=now,
            shelf=shelf(session, services.rulebook.current, alarm),
        )
        for alarm in found
    ]


def _gateway(alarm: Alarm) -> str:
    kind, _, code = alarm.subject.partition(":")
    return code if kind == "gateway" else ""


def with_called(session: Session, row: AlarmRow) -> AlarmRow:
    """The row with those for whom the desk may take over; only where the asker may see who was called."""
    return replace(row, called=tuple(dict.fromkeys(called(session, row.alarm.id).values()))) if row.who.may(Action.NOTIFICATIONS) else row


def spoken_for(found: Sequence[B]) -> list[B]:
    """Without the members of a group whose own alarm is among them; who may not see the group sees its members."""
    shown = {alarm.id for alarm in found}
    return [alarm for alarm in found if alarm.group_alarm not in shown]


def worst_first(found: Sequence[B], *, flooded: bool = False) -> list[B]:
    """Alarms that wait before those that do not, worst first, then newest; in a flood smoke, leak and intrusion come before everything."""
    return sorted(found, key=lambda a: (a.state in SILENT, flooded and not alone(a), severity(a.level), a.state not in WAITING, -a.raised_at))


def _present(board: Board, alarm: Alarm, now: int) -> PointView | None:
    tile = board.room(alarm.room, now) if alarm.room else None
    if tile is None or not alarm.quantity:
        return None
    kind, _, ident = alarm.subject.partition(":")
    exact = next((view for view in tile.points if kind == "point" and str(view.point_id) == ident), None)
    return exact or tile.headline(alarm.quantity)
