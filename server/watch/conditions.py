"""Alarms whose condition is found outside of the samples, and take-overs that run out: both enter through the one writer like everything else."""

from sqlalchemy import select

from alarms.lifecycle import Expire, Seen, step
from alarms.model import Level
from server.store.tables import Alarm, EscalationStep, Room, Unit
from server.watch import commands
from server.watch.commit import Subject, Transaction
from server.watch.infos import Key, Memory, condition_rule
from server.watch.state import World

EXPIRE = "expire"


def judge(world: World, tx: Transaction, command: commands.Condition) -> commands.Outcome:
    """Raise, move or clear the alarm of a condition. Says not_allowed for a rule, a unit or a room that does not exist."""
    if command.rule not in commands.CONDITIONS or command.level not in {level.word for level in Level}:
        return commands.Outcome(code="not_allowed", sentence="没有这种外部条件。")
    if tx.session.get(Unit, command.unit) is None or (command.room is not None and tx.session.get(Room, command.room) is None):
        return commands.Outcome(code="not_found", sentence="没有这个单位或库房。")
    key, rule = Key(command.subject, command.rule), condition_rule(command.rule)
    memory = world.memory.get(key) or Memory()
    value = float(Level.of(command.level)) if command.active else 0.0
    result = step(rule, memory.state, Seen(tx.now, value), tx.now)
    alarm = tx.apply(Subject(key, command.unit, command.room, ""), rule, memory, result, via=command.via)
    if alarm is not None and command.note:
        alarm.note = command.note
    return commands.Outcome(alarm=memory.alarm, state="" if alarm is None else alarm.state)


def expire(world: World, tx: Transaction) -> None:
    """Let take-overs run out whose time is over: the dispatcher has planned the instant, after it had asked for progress in vain."""
    due = select(EscalationStep).where(EscalationStep.state == "pending", EscalationStep.reason == EXPIRE, EscalationStep.due <= tx.now)
    for planned in tx.session.scalars(due.order_by(EscalationStep.due)).all():
        planned.state = "done"
        release(world, tx, tx.session.get_one(Alarm, planned.alarm))


def release(world: World, tx: Transaction, alarm: Alarm) -> None:
    """Nobody has an alarm any more: it asks anew, of everybody."""
    key = Key(alarm.subject, alarm.rule)
    memory, rule = world.memory.get(key), world.rule_or_rest(key)
    if memory is not None and memory.alarm == alarm.id:
        tx.apply(Subject(key, alarm.unit, alarm.room, alarm.quantity), rule, memory, step(rule, memory.state, Expire(), tx.now))
