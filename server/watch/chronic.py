"""长期不达标: climate that has been out of band for days is no longer news. It becomes a standing state with a report and stops asking.

The alarm stays open and suppressed by design, with that cause. It asks again when it gets worse, and the state ends when the room is back in band.
"""

import heapq

from sqlalchemy import insert, update

from alarms.lifecycle import Suppress, Unsuppress
from server.store.tables import Alarm
from server.store.tables_watch import Chronic
from server.watch.commit import Transaction
from server.watch.infos import Key
from server.watch.state import World
from server.watch.steps import Steps

CHRONIC = "chronic"
_CLIMATE = ("temperature", "humidity", "dew_point")
_KINDS = ("threshold", "swing", "dew_point", "mould", "deviation")


def is_climate(alarm: Alarm) -> bool:
    """Whether the alarm is of the kind that can stand for months."""
    return alarm.kind in _KINDS and (alarm.quantity in _CLIMATE or alarm.kind in ("dew_point", "mould"))


class Standing:
    """Standing states within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx = steps, steps.world, steps.tx

    def finish(self) -> None:
        """Watch over climate alarms that have just changed, and declare those that have lasted for too long."""
        for key, alarm in list(self._tx.changed.values()):
            if is_climate(alarm):
                self._changed(key, alarm)
        while self._world.chronic and self._world.chronic[0][0] <= self._steps.now:
            _, key = heapq.heappop(self._world.chronic)
            self._declare(key)

    def _changed(self, key: Key, alarm: Alarm) -> None:
        memory = self._world.memory.get(key)
        state = memory.state if memory is not None and memory.alarm == alarm.id else None
        if state is not None and state.tripped and CHRONIC not in state.suppressed:
            watch(self._world, key, alarm)
        elif state is None or not state.tripped or self._worse(alarm):
            ended = update(Chronic).where(Chronic.alarm == alarm.id, Chronic.ended_at.is_(None)).values(ended_at=self._steps.now)
            self._steps.session.execute(ended)
            if state is not None and CHRONIC in state.suppressed:
                self._steps.known(key, Unsuppress(CHRONIC))

    def _worse(self, alarm: Alarm) -> bool:
        return any(name == "escalated" for name in changes(self._tx, alarm))

    def _declare(self, key: Key) -> None:
        memory = self._world.memory.get(key)
        if memory is None or memory.alarm is None or not memory.state.tripped or CHRONIC in memory.state.suppressed:
            return
        alarm = self._steps.session.get_one(Alarm, memory.alarm)
        since = alarm.raised_at  # late samples may have found an earlier beginning of the first occurrence; a later one began when it was raised
        if memory.state.occurrence > 1 and memory.state.raised_at is not None:
            since = memory.state.raised_at
        if self._steps.now - since < due_after(self._world):
            heapq.heappush(self._world.chronic, (since + due_after(self._world), key))
            return
        row = {"alarm": alarm.id, "since": since, "declared_at": self._steps.now, "ended_at": None}
        self._steps.session.execute(insert(Chronic).values(row))
        self._steps.known(key, Suppress(CHRONIC))


def changes(tx: Transaction, alarm: Alarm) -> list[str]:
    """Names of the transitions that a step of this transaction has given an alarm."""
    return tx.named.get(alarm.id, [])


def due_after(world: World) -> int:
    """How long an alarm may last before it is a standing state, ms."""
    return int(world.settings.chronic_after_h * 3_600_000)


def watch(world: World, key: Key, alarm: Alarm) -> None:
    """Look at an alarm again when it has lasted for that long."""
    heapq.heappush(world.chronic, (alarm.raised_at + due_after(world), key))
