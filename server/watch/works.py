"""维护: work in a room, at once or announced. By time alone it begins and ends, whatever else happens, and it survives a restart."""

import heapq

from alarms.builtin import needs_two
from alarms.lifecycle import Suppress, Unsuppress
from server.store import audit, works
from server.store.tables_watch import Work
from server.watch import commands
from server.watch.commands import Command, Outcome
from server.watch.infos import RoomInfo
from server.watch.ledger import Ledger
from server.watch.lost import MAINTENANCE
from server.watch.rooms import Rooms
from server.watch.state import World
from server.watch.steps import Steps

LONGEST_MS = 31 * 86_400_000
"""A room that is worked in for longer is not in use: its stage says so, and it leaves the percentages."""
AHEAD_MS = 366 * 86_400_000

NO_ROOM = Outcome(code="not_found", sentence="没有这间库房。")


class Works:
    """Work in rooms within one transaction."""

    def __init__(self, steps: Steps, ledger: Ledger, rooms: Rooms) -> None:
        self._steps, self._ledger, self._rooms, self._world, self._session = steps, ledger, rooms, steps.world, steps.session

    # -- time -----------------------------------------------------------------------------------------------------------------------------

    def due(self) -> None:
        """Begin and end what time alone begins and ends."""
        turns, now = self._world.works, self._steps.now
        while turns and turns[0][0] <= now:
            room = self._world.rooms.get(heapq.heappop(turns)[1])
            if room is not None and room.next_work is not None and room.next_work[0] <= now:
                self._begin(room)
            if room is not None and room.maintenance_until is not None and room.maintenance_until <= now:
                self._end(room)

    def _begin(self, room: RoomInfo) -> None:
        for row in works.planned(self._session, room.code):
            if row.until <= self._steps.now:
                row.state, row.ended_at = "missed", self._steps.now
            elif row.since <= self._steps.now:
                self._close(room, row.planned_by)
                self._pause(room, row.until, person=row.person, reason=row.reason, by=row.planned_by, second=row.second)
                row.state = "running"
        self._look_ahead(room)

    def _look_ahead(self, room: RoomInfo) -> None:
        """Know when the next announced work of a room is; its coverage turns then by itself."""
        self._session.flush()
        row = next(iter(works.planned(self._session, room.code)), None)
        room.next_work = None if row is None else (row.since, row.until)
        expect(self._world, room)
        self._ledger.cover(room, self._steps.now)

    def rewind(self, by: int) -> None:
        """The clock was put back so many ms: what began in that time lasts as long as was said; what is announced for a day is for that day."""
        for room in self._world.rooms.values():
            for work in works.running(self._session, room.code) if room.maintenance_until is not None else ():
                if work.since > self._steps.now:
                    work.since, work.until = work.since - by, work.until - by
                    room.maintenance_until = work.until
                    expect(self._world, room)
                    self._rooms.write(room, {"maintenance_until": work.until})

    # -- what people say --------------------------------------------------------------------------------------------------------------------

    def obey(self, command: commands.Maintenance | commands.CancelWork) -> Outcome:
        """Carry out what somebody asked for, or say why not."""
        if isinstance(command, commands.CancelWork):
            return self._cancel(command)
        return self._plan(command) if isinstance(command, commands.PlanWork) else self._at_once(command)

    def _at_once(self, command: commands.Maintenance) -> Outcome:
        """Begin now, or end what is under way."""
        room, now = self._world.rooms.get(command.room), self._steps.now
        if room is None:
            return NO_ROOM
        if command.until <= now:
            self._end(room, command.by)
        elif (refusal := _refused(command, now)) is not None:
            return refusal
        else:
            self._close(room, command.by)
            self._session.add(_row(command, now, now, "running"))
            self._pause(room, command.until, person=command.person, reason=command.reason, by=command.by, second=command.second)
        self._audit(command, "maintenance", room, {"until": command.until, "reason": command.reason, "second": command.second})
        return Outcome(state="maintenance")

    def _plan(self, command: commands.PlanWork) -> Outcome:
        """Announce work that begins later."""
        room, now = self._world.rooms.get(command.room), self._steps.now
        if room is None:
            return NO_ROOM
        if (refusal := _refused(command, command.since)) is not None:
            return refusal
        if not now < command.since <= now + AHEAD_MS:
            return Outcome(code="not_allowed", sentence="开始时间须晚于现在，最多提前一年。")
        if any(row.since < command.until and command.since < row.until for row in works.planned(self._session, room.code)):
            return Outcome(code="conflict", sentence="与这间库房已安排的维护时间重叠。")
        row = _row(command, command.since, now, "planned")
        self._session.add(row)
        self._look_ahead(room)
        said = {"work": row.id, "since": row.since, "until": row.until, "reason": row.reason, "person": row.person, "second": row.second}
        self._audit(command, "maintenance.plan", room, said)
        return Outcome(state="planned")

    def _cancel(self, command: commands.CancelWork) -> Outcome:
        """Take an announcement back; what is under way already ends now."""
        room, row = self._world.rooms.get(command.room), works.get(self._session, command.work)
        if room is None or row is None or row.room != room.code:
            return Outcome(code="not_found", sentence="没有这项维护安排。")
        if row.state not in works.AHEAD:
            return Outcome(code="conflict", state=row.state, sentence="这项维护已经结束或取消。")
        if row.state == "running":
            self._end(room, command.by)
        else:
            row.state, row.ended_at, row.ended_by = "cancelled", self._steps.now, command.by[:60]
            self._look_ahead(room)
        self._audit(command, "maintenance.cancel", room, {"work": row.id, "since": row.since, "until": row.until})
        return Outcome(state=row.state, sentence="" if row.state == "cancelled" else "维护已结束。")

    # -- effects ----------------------------------------------------------------------------------------------------------------------------

    def _pause(self, room: RoomInfo, until: int, *, person: str, reason: str, by: str, second: str) -> None:
        """Suppress the room's alarms by design until an instant. What needs two people stays heard unless a second one vouched."""
        room.maintenance_until = until
        expect(self._world, room)
        columns = {"maintenance_until": until, "maintenance_by": person, "maintenance_reason": reason, "maintenance_second": second}
        self._rooms.write(room, columns)
        self._ledger.cover(room, self._steps.now)
        self._rooms.every(room, Suppress(MAINTENANCE, by, second), only=lambda rule, quantity: bool(second) or not needs_two(rule, quantity))
        if not second:  # of two people's word that held until now one alone cannot go on
            self._rooms.every(room, Unsuppress(MAINTENANCE), only=needs_two)

    def _end(self, room: RoomInfo, by: str = "") -> None:
        """The work in a room is over: everything is heard again."""
        self._close(room, by)
        room.maintenance_until = None
        self._rooms.write(room, {"maintenance_until": None, "maintenance_by": "", "maintenance_reason": "", "maintenance_second": ""})
        self._ledger.cover(room, self._steps.now)
        self._rooms.every(room, Unsuppress(MAINTENANCE))

    def _close(self, room: RoomInfo, by: str) -> None:
        for row in works.running(self._session, room.code):
            row.state, row.ended_at, row.ended_by = "over", self._steps.now, by[:60]

    def _audit(self, command: Command, action: str, room: RoomInfo, detail: dict[str, object]) -> None:
        audit.append(self._session, command.by, action, room.code, detail, self._steps.now, unit=room.unit)


def expect(world: World, room: RoomInfo) -> None:
    """Have a room looked at when its work begins or ends."""
    for turn in room.work_turns():
        heapq.heappush(world.works, (turn, room.code))


def _row(command: commands.Maintenance, since: int, now: int, state: str) -> Work:
    """Work as people see it listed, whether it was announced or begins at once."""
    return Work(
        room=command.room, since=since, until=command.until, reason=command.reason, person=command.person, second=command.second,
        planned_by=command.by[:60], planned_at=now, state=state,
    )  # fmt: skip


def _refused(command: commands.Maintenance, since: int) -> Outcome | None:
    if not command.reason.strip():
        return Outcome(code="not_allowed", sentence="请写明维护原因。")
    if command.second and command.second.strip() == command.by.strip():
        return Outcome(code="not_allowed", sentence="第二人须是另一个人。")
    if not since < command.until <= since + LONGEST_MS:
        return Outcome(code="not_allowed", sentence="结束时间须晚于开始，最长 31 天；更久请改变库房阶段。")
    return None
