"""Alarms: the list, one in full, and the commands on it."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from server.store import alarms, incidents
from server.store.alarms import CLOSED, OPEN
from server.store.notifications import Sent
from server.watch import commands
from server.web import door, labels
from server.web.api import views
from server.web.api.alarm_models import AlarmDetail, AlarmView, EscalationView
from server.web.api.common import PROBLEMS, Cursor, From, Instant, Limit, To, Viewer, at, decode_id, ms, page
from server.web.api.models import Body, CommandResult, Page
from server.web.api.rosters import names_on_duty
from server.web.auth import Principal, ServicesOf, check, require_alarm, require_unit
from server.web.behalf import Said, said
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.second import Second, second_person
from server.web.services import Services
from server.web.shelves import shelf

router = api_router("alarms", refusals=PROBLEMS)
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: PROBLEMS[404] | {"description": "the alarm has changed"},
    503: PROBLEMS[404] | {"description": "the watch does not answer"},
}

Ident = Annotated[int, Path(ge=1, description="alarm id")]
Note = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Via = Annotated[str, StringConstraints(pattern="^(page|api|sms|voice)$")]


class Remark(Body):
    """A note, which may be empty."""

    note: Note = ""


class TakeOver(Remark):
    """接手 or another answer. `on_behalf_of` names who said it by phone; `code` is that person's own code and proves who it was."""

    on_behalf_of: Annotated[str, StringConstraints(max_length=60, strip_whitespace=True)] = ""
    via: Via = "api"
    code: Annotated[str, StringConstraints(max_length=32, strip_whitespace=True)] = ""


class Pause(Body):
    """暂停提醒 until an instant, with a reason. `one_shot`: for this occurrence only, it ends with the alarm's return to normal."""

    until: Instant
    reason: Reason
    one_shot: bool = False


class Permit(Body):
    """停用: the permit or reason. Smoke is taken out of service by two people: `second` is the other one's login, proven by his own password."""

    reason: Reason
    second: Annotated[str, StringConstraints(max_length=60, strip_whitespace=True)] = ""
    second_password: Annotated[str, StringConstraints(max_length=200)] = ""
    second_code: Annotated[str, StringConstraints(max_length=8)] = ""


class Comment(Body):
    """A remark on the record."""

    note: Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


@router.get("/alarms", operation_id="listAlarms")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    state: Annotated[str, Query(description="ISA states, comma separated; or `open`, `closed`")] = "",
    unit: Annotated[str, Query(description="unit code; alarms in it and below it")] = "",
    room: Annotated[str, Query(max_length=16)] = "",
    number: Annotated[str, Query(max_length=6, description="the six digits of its messages; they come round again")] = "",
    known_late: Annotated[bool | None, Query(description="only alarms found in late data, or only the others")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[AlarmView]:
    """Alarms, newest first. `from` and `to` bound the instant of raising."""
    states = tuple(filter(None, state.split(",")))
    known = {*labels.ALARM_STATES, OPEN, CLOSED}
    if set(states) - known:
        raise invalid("没有这种状态。", "query.state", f"one of {', '.join(sorted(known))}")
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        rows = alarms.page(
            session,
            unit or who.unit,
            states=states,
            room=room,
            number=number,
            known_late=known_late,
            since=None if start is None else ms(start),
            until=None if end is None else ms(end),
            before=decode_id(cursor),
            limit=limit + 1,
        )
        found = views.alarm_views(session, rows)
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/alarms/{ident}", operation_id="getAlarm")
def detail(ident: Ident, who: Viewer, services: ServicesOf) -> AlarmDetail:
    """An alarm with its transitions, messages and the next step of its escalation."""
    with services.db.read() as session:
        row = require_alarm(session, who, ident)
        view = views.alarm_views(session, [row])[0]
        changes = [views.transition(change) for change in alarms.transitions(session, ident)]
        sent = [views.notification(Sent(n, row.room, row.unit, row.level), who) for n in alarms.notifications(session, ident)]
        step = alarms.next_escalation(session, ident)
        upcoming = None if step is None else EscalationView(reason=step.reason, step=step.step, due_at=at(step.due))
        incident = incidents.of_alarm(session, ident)
        members = views.alarm_views(session, alarms.members(session, ident)) if row.kind == "group" else []
        present = names_on_duty(session, row.unit, services.workdays, services.clock())
        pause = shelf(session, services.rulebook.current, row)
    seen = sent if who.may(Action.NOTIFICATIONS) else []
    return AlarmDetail(
        **view.model_dump(),
        transitions=changes,
        notifications=seen,
        next_escalation=upcoming,
        incident=incident and incident.id,
        members=members,
        on_duty=present,
        shelve_max_s=pause.longest_ms // 1000,
        two_persons=pause.two_persons,
        also_answered=[change.by for change in changes if change.name == "also_acknowledged"],
    )


class Handler:
    """Dependency of a command: the asker, who must have the action, and an alarm that he may see."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def __call__(self, ident: Ident, who: Viewer, services: ServicesOf) -> Principal:
        """Check. Raises ProblemError 401, 403, 404."""
        check(who, self.action)
        with services.db.read() as session:
            require_alarm(session, who, ident)
        return who


Handling = Annotated[Principal, Depends(Handler(Action.HANDLE))]
Silencing = Annotated[Principal, Depends(Handler(Action.SILENCE))]
Resetting = Annotated[Principal, Depends(Handler(Action.RESET))]
Retiring = Annotated[Principal, Depends(Handler(Action.OUT_OF_SERVICE))]


async def run(services: Services, command: commands.AlarmCommand) -> CommandResult:
    """Carry a command out and say so."""
    outcome = await door.submit(services, command)
    return CommandResult(alarm=outcome.alarm or command.alarm, state=outcome.state, sentence=door.sentence(command, outcome))


def caller(ident: Ident, body: TakeOver, who: Handling, services: ServicesOf) -> Said:
    """Dependency: whom the asker speaks for."""
    return said(services, who, ident, body.on_behalf_of, body.code)


Speaking = Annotated[Said, Depends(caller)]


def vouched(who: Principal, body: TakeOver) -> bool:
    """Whether somebody answers for it: what came by telephone needs the person's code, or the name that a signed-in person gives it."""
    return body.via not in ("sms", "voice") or bool(body.code) or (who.account is not None and bool(body.on_behalf_of))


async def seen(ident: int, who: Principal, services: Services, body: TakeOver) -> CommandResult:
    """An answer that nobody answers for: on the record, and it stops nothing."""
    by = body.on_behalf_of or who.name
    result = await run(services, commands.Seen(alarm=ident, by=by[:60], account=who.account, via=body.via, note=body.note))
    return result.model_copy(update={"sentence": "已看到。没有人员编号，不算接手。"})


Answering = type[commands.Decline] | type[commands.Progress] | type[commands.Assist] | type[commands.NoDanger]


async def reply(kind: Answering, ident: int, who: Principal, services: Services, body: TakeOver | None) -> CommandResult:
    """One of the answers beside 接手, by the asker or on behalf of whom he names."""
    given = body or TakeOver()
    if not vouched(who, given):
        return await seen(ident, who, services, given)
    speaker = await run_in_threadpool(said, services, who, ident, given.on_behalf_of, given.code)
    command = kind(
        alarm=ident, by=speaker.by(who), account=None if speaker.name else who.account, person_id=speaker.person, via=given.via, note=given.note
    )
    return await run(services, command)


@router.post("/alarms/{ident}/acknowledge", operation_id="acknowledge", responses=_CONFLICT)
async def acknowledge(ident: Ident, body: TakeOver, who: Handling, speaker: Speaking, services: ServicesOf) -> CommandResult:
    """接手: I have it and I act. What came by telephone (`via` sms or voice) without a code counts as 已看到 only."""
    if not vouched(who, body):
        return await seen(ident, who, services, body)
    command = commands.Acknowledge(
        alarm=ident, by=who.name, account=who.account, person_id=speaker.person, via=body.via, note=body.note, on_behalf_of=speaker.name
    )
    return await run(services, command)


@router.post("/alarms/{ident}/unacknowledge", operation_id="unacknowledge", responses=_CONFLICT)
async def unacknowledge(ident: Ident, who: Handling, services: ServicesOf) -> CommandResult:
    """Undo a take-over, by the same person within ten seconds; the escalation's due instants return."""
    return await run(services, commands.Unacknowledge(alarm=ident, by=who.name, account=who.account))


@router.post("/alarms/{ident}/decline", operation_id="decline", responses=_CONFLICT)
async def decline(ident: Ident, who: Handling, services: ServicesOf, body: TakeOver | None = None) -> CommandResult:
    """去不了: on to the next person at once."""
    return await reply(commands.Decline, ident, who, services, body)


@router.post("/alarms/{ident}/progress", operation_id="progress", responses=_CONFLICT)
async def progress(ident: Ident, who: Handling, services: ServicesOf, body: TakeOver | None = None) -> CommandResult:
    """到场, or any progress."""
    return await reply(commands.Progress, ident, who, services, body)


@router.post("/alarms/{ident}/assist", operation_id="assist", responses=_CONFLICT)
async def assist(ident: Ident, who: Handling, services: ServicesOf, body: TakeOver | None = None) -> CommandResult:
    """求援: one level up at once, the owner stays."""
    return await reply(commands.Assist, ident, who, services, body)


@router.post("/alarms/{ident}/no-danger", operation_id="noDanger", responses=_CONFLICT)
async def no_danger(ident: Ident, who: Handling, services: ServicesOf, body: TakeOver | None = None) -> CommandResult:
    """现场无险情: somebody has looked; proposes 误报 for the closing, a locked alarm still wants its 复位."""
    return await reply(commands.NoDanger, ident, who, services, body)


@router.post("/alarms/{ident}/comment", operation_id="comment", responses=_CONFLICT)
async def comment(ident: Ident, body: Comment, who: Handling, services: ServicesOf) -> CommandResult:
    """A remark on the record."""
    return await run(services, commands.Comment(alarm=ident, by=who.name, account=who.account, note=body.note))


@router.post("/alarms/{ident}/shelve", operation_id="shelve", responses=_CONFLICT)
async def shelve(ident: Ident, body: Pause, who: Silencing, services: ServicesOf) -> CommandResult:
    """暂停提醒: silence until an instant, with a reason."""
    command = commands.Shelve(
        alarm=ident, by=who.name, account=who.account, until=ms(body.until), reason=body.reason, one_shot=body.one_shot
    )  # fmt: skip
    return await run(services, command)


@router.post("/alarms/{ident}/unshelve", operation_id="unshelve", responses=_CONFLICT)
async def unshelve(ident: Ident, who: Silencing, services: ServicesOf) -> CommandResult:
    """End a pause early."""
    return await run(services, commands.Unshelve(alarm=ident, by=who.name, account=who.account))


@router.post("/alarms/{ident}/reset", operation_id="reset", responses=_CONFLICT)
async def reset(ident: Ident, who: Resetting, services: ServicesOf, body: Remark | None = None) -> CommandResult:
    """复位 of a locked alarm after an on-site check."""
    return await run(services, commands.Reset(alarm=ident, by=who.name, account=who.account, note=_note(body)))


@router.post("/alarms/{ident}/out-of-service", operation_id="outOfService", responses=_CONFLICT)
async def out_of_service(ident: Ident, body: Permit, who: Retiring, services: ServicesOf) -> CommandResult:
    """停用 with a permit."""
    typed = Second(body.second, body.second_password, body.second_code)
    second = await run_in_threadpool(_second, services, who, ident, typed)
    return await run(services, commands.OutOfService(alarm=ident, by=who.name, account=who.account, reason=body.reason, second=second))


def _second(services: Services, who: Principal, ident: int, typed: Second) -> str:
    with services.db.read() as session:
        unit = require_alarm(session, who, ident).unit
    return second_person(services, who, unit, typed)


@router.post("/alarms/{ident}/return-to-service", operation_id="returnToService", responses=_CONFLICT)
async def return_to_service(ident: Ident, who: Retiring, services: ServicesOf) -> CommandResult:
    """Back into service."""
    return await run(services, commands.ReturnToService(alarm=ident, by=who.name, account=who.account))


def _note(body: Remark | None) -> str:
    return "" if body is None else body.note
