"""What a person asked for, carried out within the watch's transaction: the only way in which a hand changes an alarm."""

from dataclasses import replace

from sqlalchemy import select

from alarms.builtin import needs_two
from alarms.lifecycle import (
    Acknowledge,
    Event,
    NotAllowedError,
    OutOfService,
    Reset,
    ReturnToService,
    Shelve,
    Unacknowledge,
    Unshelve,
    step,
)
from server.store import audit
from server.store.tables import Account, Alarm, AuditEntry, EscalationStep, Transition
from server.watch import commands, conditions
from server.watch.commit import Subject, Transaction
from server.watch.infos import Key, Memory
from server.watch.judge import Judge
from server.watch.reload import adopt, reload
from server.watch.state import World

_REMARKS = commands.Comment | commands.Progress | commands.Assist | commands.Decline | commands.Seen | commands.NoDanger | commands.Reopen
_NOTES: dict[type[commands.AlarmCommand], str] = {commands.NoDanger: "no_danger"}
NOT_FOUND = commands.Outcome(code="not_found", sentence="没有这条告警，或已经办结。")


def obey(world: World, tx: Transaction, judge: Judge, command: commands.Command) -> commands.Outcome:  # noqa: PLR0911 - a literal table of types
    """Carry a command out. Never raises for something that is merely not allowed: the outcome says why."""
    match command:
        case commands.Maintenance() | commands.CancelWork():
            return judge.works.obey(command)
        case commands.SetStage():
            return _stage(world, tx, judge, command)
        case commands.Report():
            return _report(world, tx, judge, command)
        case commands.Reload():
            outcome = reload(world, tx, judge.rooms, command)
            judge.reread()
            return outcome
        case commands.NewRules():
            outcome = adopt(world, tx, judge.rooms, command.rules)
            judge.reread()
            return outcome
        case commands.Condition():
            return conditions.judge(world, tx, command)
    if not isinstance(command, commands.AlarmCommand):
        raise TypeError(f"no such command: {type(command).__name__}")
    alarm = tx.session.get(Alarm, command.alarm)
    if alarm is None:
        return NOT_FOUND
    if isinstance(command, commands.EndDrill):
        judge.end_drill(alarm)
        return commands.Outcome(alarm=alarm.id, state=alarm.state)
    if isinstance(command, _REMARKS):
        return _note(world, tx, judge, alarm, command)
    return _step(world, tx, judge, alarm, command)


def _step(world: World, tx: Transaction, judge: Judge, alarm: Alarm, command: commands.AlarmCommand) -> commands.Outcome:
    key = Key(alarm.subject, alarm.rule)
    memory, rule = world.memory.get(key), world.rule_or_rest(key)
    if memory is None or alarm.id not in (memory.alarm, _just_closed(memory, alarm, command, tx.now)):
        return NOT_FOUND
    try:
        result = step(replace(rule, two_persons=needs_two(rule, alarm.quantity)), memory.state, _event(command), tx.now)
    except NotAllowedError as error:
        return commands.Outcome(code="not_allowed", alarm=alarm.id, state=alarm.state, sentence=str(error))
    before = alarm.state
    memory.alarm = alarm.id
    subject = Subject(key, alarm.unit, alarm.room, alarm.quantity, alarm.kind)
    tx.apply(subject, rule, memory, result, via=command.via, person=_person(tx, command))
    if alarm.kind == "group" and isinstance(command, commands.Acknowledge | commands.Unacknowledge):
        judge.groups.follow(alarm, _event(command))
    if not result.transitions:
        return _conflict(tx, alarm, command)
    _audit(tx, command, alarm, before)
    return commands.Outcome(alarm=alarm.id, state=alarm.state)


def _conflict(tx: Transaction, alarm: Alarm, command: commands.AlarmCommand) -> commands.Outcome:
    """Two answers to one alarm: the first stands, the second is on the record and is told who was first."""
    if not isinstance(command, commands.Acknowledge) or not alarm.acked_by:
        return commands.Outcome(code="conflict", alarm=alarm.id, state=alarm.state, sentence="告警已变化，请看最新状态。")
    if alarm.acked_by != _speaker(command):
        by = _speaker(command)
        tx.add_transition(alarm, "also_acknowledged", by=by, via=command.via, note=command.note, person=_person(tx, command))
    return commands.Outcome(code="conflict", alarm=alarm.id, state=alarm.state, sentence=f"已由{alarm.acked_by}接手，你的答复已记录。")


def _speaker(command: commands.Acknowledge) -> str:
    return f"{command.on_behalf_of}（{command.by}代为接手）" if command.on_behalf_of else command.by


def _person(tx: Transaction, command: commands.AlarmCommand) -> int | None:
    """Who acts: whom a code or a tested number proves, else the person of the account, unless it speaks for somebody else."""
    if command.person_id is not None or command.account is None or (isinstance(command, commands.Acknowledge) and command.on_behalf_of):
        return command.person_id
    account = tx.session.get(Account, command.account)
    return None if account is None else account.person


def _just_closed(memory: Memory, alarm: Alarm, command: commands.AlarmCommand, now: int) -> int | None:
    """Taking over an alarm whose condition had gone closes it; that too may be undone."""
    undo = isinstance(command, commands.Unacknowledge) and memory.alarm is None and alarm.closed_at is not None
    return alarm.id if undo and now - (alarm.closed_at or 0) <= commands.UNDO_MS else None


def _event(command: commands.AlarmCommand) -> Event:  # noqa: PLR0911 - a literal table of types
    match command:
        case commands.Acknowledge():
            return Acknowledge(_speaker(command), command.note)
        case commands.Unacknowledge():
            return Unacknowledge(command.by)
        case commands.Shelve():
            return Shelve(command.until, command.by, command.reason, command.one_shot)
        case commands.Unshelve():
            return Unshelve(command.by)
        case commands.Reset():
            return Reset(command.by)
        case commands.OutOfService():
            return OutOfService(command.by, command.reason, command.second)
        case commands.ReturnToService():
            return ReturnToService(command.by)
    raise TypeError(f"no such command: {type(command).__name__}")


def _note(world: World, tx: Transaction, judge: Judge, alarm: Alarm, command: commands.AlarmCommand) -> commands.Outcome:
    if alarm.closed_at is not None and not isinstance(command, commands.Comment | commands.Reopen):
        return NOT_FOUND
    name = _NOTES.get(type(command), type(command).__name__.lower())
    ident = tx.add_transition(alarm, name, by=command.by, via=command.via, note=getattr(command, "note", ""), person=_person(tx, command))
    if isinstance(command, commands.Progress) and (room := world.rooms.get(alarm.room or "")) is not None:
        judge.rooms.report(room, command.by, command.via, command.note)  # who is on site sees what no sensor does
    if isinstance(command, commands.Decline) and _owns(tx, alarm, command):
        conditions.release(world, tx, alarm)  # who had taken it over gives it back: everybody is asked anew
    if isinstance(command, commands.Progress | commands.NoDanger | commands.Assist):
        tx.escalation.progressed(alarm, ident, tx.now)
    if isinstance(command, commands.Decline | commands.Assist):
        # Whoever comes next is told at once; the owner of an acknowledged alarm stays its owner.
        pending = tx.session.query(EscalationStep).filter_by(alarm=alarm.id, state="pending", reason="raised").order_by(EscalationStep.due).first()
        if pending is not None:
            pending.due = min(pending.due, tx.now)
        elif isinstance(command, commands.Assist):
            tx.escalation.ask(alarm, ident, "assist", tx.now)
    elif isinstance(command, commands.Reopen):
        tx.escalation.ask(alarm, ident, "reopened", tx.now)
    _audit(tx, command, alarm, alarm.state)
    if isinstance(command, commands.Progress | commands.NoDanger) and alarm.state.endswith("_unacked"):
        # Who stands at the door has it: nobody else is called out of bed for what he looks at already.
        taken = commands.Acknowledge(
            alarm=alarm.id, by=command.by, account=command.account, person_id=command.person_id, via=command.via, note=command.note,
            origin=command.origin,
        )  # fmt: skip
        _step(world, tx, judge, alarm, taken)
    return commands.Outcome(alarm=alarm.id, state=alarm.state)


def _owns(tx: Transaction, alarm: Alarm, command: commands.AlarmCommand) -> bool:
    """Whether who speaks is who has the alarm, by whatever way either was said: the persons decide, names only where one is not known."""
    if not alarm.acked_by:
        return False
    taken = select(Transition.person).where(Transition.alarm == alarm.id, Transition.name == "acknowledged").order_by(Transition.id.desc()).limit(1)
    owner, speaker = tx.session.scalar(taken), _person(tx, command)
    if owner is not None and speaker is not None:
        return owner == speaker
    return alarm.acked_by.partition("（")[0] == command.by.partition("（")[0]


def _stage(world: World, tx: Transaction, judge: Judge, command: commands.SetStage) -> commands.Outcome:
    room = world.rooms.get(command.room)
    if room is None:
        return commands.Outcome(code="not_found", sentence="没有这间库房。")
    if command.stage not in commands.STAGES:
        return commands.Outcome(code="not_allowed", state=room.stage, sentence="没有这个阶段。")
    if not command.reason.strip():
        return commands.Outcome(code="not_allowed", state=room.stage, sentence="请写明原因。")
    if command.stage == room.stage:
        return commands.Outcome(code="conflict", state=room.stage, sentence="已经是这个阶段。")
    if judge.rooms.needs_two(room, command.stage) and command.second.strip() in ("", command.by.strip()):
        return commands.Outcome(code="not_allowed", state=room.stage, sentence="该库房有烟感，退出“在用”或停用须两人共同确认。")
    detail = {"before": room.stage, "after": command.stage, "reason": command.reason, "second": command.second}
    judge.rooms.stage(room, command.stage, command.by, command.reason, command.second)
    audit.append(tx.session, command.by, "stage", command.room, detail, tx.now)
    return commands.Outcome(state=command.stage)


def _report(world: World, tx: Transaction, judge: Judge, command: commands.Report) -> commands.Outcome:
    room = world.rooms.get(command.room)
    if room is None:
        return commands.Outcome(code="not_found", sentence="没有这间库房。")
    until = judge.rooms.report(room, command.by, command.via, command.note)
    audit.append(tx.session, command.by, "report", command.room, {"until": until, "note": command.note, "via": command.via}, tx.now)
    return commands.Outcome(state=room.coverage)


def _audit(tx: Transaction, command: commands.AlarmCommand, alarm: Alarm, before: str) -> AuditEntry:
    detail = {"via": command.via, "before": before, "after": alarm.state, "note": getattr(command, "note", "") or getattr(command, "reason", "")}
    return audit.append(tx.session, command.by, type(command).__name__.lower(), f"alarm:{alarm.id}", detail, tx.now, unit=alarm.unit)
