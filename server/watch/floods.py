"""告警高峰: how many alarms each desk has been asked to look at in the last ten minutes; in a flood smoke, leak and intrusion stay on top.

A desk is a unit with everything below it. Only annunciations count (domain.md 3.2).
"""

from alarms.grouping import Flood, flood_step
from server.live.facts import FloodFact
from server.watch.state import World
from server.watch.steps import Steps


class Floods:
    """Counting within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world = steps, steps.world

    def finish(self) -> None:
        """Count what this transaction asks people to look at; let floods end by time."""
        arrived: dict[str, int] = {}
        for alarm, _ in self._steps.tx.asked:
            if not alarm.drill:
                for unit in self._world.units.get(alarm.unit, ()):
                    arrived[unit] = arrived.get(unit, 0) + 1
        for unit in {*arrived, *(unit for unit, flood in self._world.floods.items() if flood.since is not None)}:
            before = self._world.floods.get(unit, Flood())
            after, _ = flood_step(before, self._steps.now, arrived.get(unit, 0))
            self._world.floods[unit] = after
            if before.since != after.since:
                self._steps.tx.facts.append(FloodFact(unit=unit, since=after.since, alarms=len(after.recent)))


def standing(world: World, before: World | None) -> list[FloodFact]:
    """What desks are told once memory has been read back: the floods that go on, and the end of those that they knew of `before`."""
    known = {unit for memory in (before, world) if memory is not None for unit, flood in memory.floods.items() if flood.since is not None}
    now = {unit: world.floods.get(unit, Flood()) for unit in sorted(known)}
    return [FloodFact(unit=unit, since=flood.since, alarms=len(flood.recent)) for unit, flood in now.items()]
