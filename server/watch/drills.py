"""Drills in the watch: a tagged reading is judged by the point's own rules, on a machine of its own, so that nothing real is touched.

The alarm is marked as a drill, takes the real escalation and messages, and leaves coverage, statistics, history and the point's present value alone.
"""

from alarms.lifecycle import INITIAL, Acknowledge, Seen, step
from alarms.model import Rule
from contract.sample import Quality, Sample
from server.store.tables import Alarm
from server.store.tables_drill import Drill
from server.watch.infos import Key, Memory, PointInfo, drilled
from server.watch.steps import Steps

BY = "系统"


def calm(rule: Rule) -> float:
    """A value at which no rung of a rule holds any more."""
    first = rule.ladder[0]
    if first.side == "equals":
        return next(value for value in (0.0, 1.0, 2.0, -1.0) if value not in first.values and value != first.limit)
    return first.limit + (-1 - rule.deadband if first.side == "above" else 1 + rule.deadband)


class Drills:
    """The drills of one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def take(self, point: PointInfo, sample: Sample, drill: int) -> None:
        """A tagged reading: every state and threshold rule of the point that it breaches raises the alarm of the drill, once."""
        row = self._steps.session.get(Drill, drill)
        if sample.value is None or (row is not None and row.state == "ended"):
            return  # what comes after the end calls nobody again
        for rule in point.rules:
            if rule.kind not in ("state", "threshold") or not rule.ladder[0].breached(sample.value):
                continue
            mine = drilled(rule)
            key = Key(point.subject, mine.name)
            memory = self._steps.world.memory.get(key)
            if memory is not None and memory.alarm is not None:
                continue  # the drill of this point runs; its reading is repeated only for rules with a delay at the gateway
            result = step(mine, INITIAL, Seen(self._steps.now, sample.value, Quality.GOOD, point.key.quantity), self._steps.now)
            if not result.transitions:
                continue
            memory = self._steps.world.memory[key] = Memory()
            alarm = self._steps.tx.apply(self._steps.of_point(point, key), mine, memory, result, via="drill")
            if alarm is not None and row is not None and row.alarm is None:
                row.alarm, row.detected_at, row.state = alarm.id, self._steps.now, "detected"

    def end(self, alarm: Alarm) -> None:
        """The drill is over: its alarm clears, and closes also when nobody answered."""
        key = Key(alarm.subject, alarm.rule)
        memory, rule = self._steps.world.memory.get(key), self._steps.world.rule(key)
        if memory is None or rule is None:
            return
        point = self._steps.world.points[int(alarm.subject.partition(":")[2])]
        subject, now = self._steps.of_point(point, key), self._steps.now
        self._steps.tx.apply(subject, rule, memory, step(rule, memory.state, Seen(now, calm(rule), Quality.GOOD, rule.quantity), now), via="drill")
        if memory.state.open:
            self._steps.tx.apply(subject, rule, memory, step(rule, memory.state, Acknowledge(BY, "演练结束，无人应答"), now), via="drill")
