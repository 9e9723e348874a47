"""烟感后失联: a room that had smoke, fast heat, a leak or an intruder within the last ten minutes and then falls silent.

Its silence is never suppressed by a dead gateway and never folded into a group: it is critical at once, and one level higher is told at once.
"""

from collections.abc import Iterable

from alarms.builtin import SMOKE_LOST
from alarms.grouping import stands_alone
from alarms.lifecycle import Seen, Tick
from alarms.model import Level
from contract.sample import Quality
from server.watch.commit import Subject
from server.watch.infos import Key, PointInfo, RoomInfo
from server.watch.steps import Steps

WITHIN_MS = 10 * 60_000
MAINTENANCE = "maintenance"


class Lost:
    """Silence after fire, water or intrusion, within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world = steps, steps.world

    def silent(self, points: Iterable[PointInfo], at: int) -> None:
        """These points have fallen silent (or their gateway has died) at an instant."""
        for point in points:
            room = self._world.rooms.get(point.room or "")
            if room is not None and room.connected and self._burning(point, at):
                self._raise(room, point, at)

    def heard(self, point: PointInfo, at: int) -> None:
        """A usable sample came from a point."""
        waiting = self._world.lost.get(point.room or "")
        if not waiting or point.id not in waiting:
            return
        room = self._world.rooms[point.room or ""]
        del self._world.lost[room.code]
        self._steps.room(room, self._world.builtin[SMOKE_LOST], Seen(at, 1, Quality.GOOD), at)

    def _burning(self, point: PointInfo, at: int) -> bool:
        for subject, rule in self._steps.fed(point):  # those of its room too: a forced door is one
            key = Key(subject, rule.name)
            memory = self._world.memory.get(key)
            if memory is None or MAINTENANCE in memory.state.suppressed:
                continue
            state = memory.state
            over = WITHIN_MS + 1 if state.cleared_at is None else at - state.cleared_at
            level = state.level or Level.WARN
            if (state.tripped or over <= WITHIN_MS) and stands_alone(rule.name, rule.kind, self._steps.subject(point, key, rule).quantity, level):
                return True
        return False

    def _raise(self, room: RoomInfo, point: PointInfo, at: int) -> None:
        rule, tx = self._world.builtin[SMOKE_LOST], self._steps.tx
        self._world.lost[room.code] = self._world.lost.get(room.code, frozenset()) | {point.id}
        point.loud()
        subject = Subject(Key(room.subject, SMOKE_LOST), room.unit, room.code, point.key.quantity, kind="lost")
        asked = len(tx.asked)
        alarm = self._steps.feed(subject, rule, Tick(fresh=False, deadline=at), self._steps.now)
        if alarm is not None and len(tx.asked) > asked:
            tx.escalation.ask(alarm, tx.asked[-1][1].id, "assist", self._steps.now)
