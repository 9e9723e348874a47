"""What people say about a room: its stage, and that they are in it and have looked."""

from typing import Annotated, Literal

from fastapi import Depends
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from server.watch import commands
from server.watch.commands import STAGES
from server.web import door
from server.web.api.common import PROBLEMS
from server.web.api.models import Body, CommandResult
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.rights import Action
from server.web.routers import api_router
from server.web.second import Second, second_person

__all__ = ["STAGES", "ReportBody", "StageBody", "report", "router", "stage"]

router = api_router("rooms", refusals=PROBLEMS)


class StageBody(Body):
    """阶段 with the reason for the change. A room with smoke is retired by two people: `second` is the other one's login, with his own password."""

    stage: Literal["not_connected", "commissioning", "trial", "in_use", "retired"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    second: Annotated[str, StringConstraints(max_length=60, strip_whitespace=True)] = ""
    second_password: Annotated[str, StringConstraints(max_length=200)] = ""
    second_code: Annotated[str, StringConstraints(max_length=8)] = ""


class ReportBody(Body):
    """现场报告."""

    note: Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)] = ""


Deciding = Annotated[Principal, Depends(require(Action.OUT_OF_SERVICE))]


@router.post("/rooms/{code}/stage", operation_id="setStage")
async def stage(code: str, body: StageBody, who: Deciding, services: ServicesOf) -> CommandResult:
    """未接入 → 调试 → 试运行 → 在用 → 停用. Only 在用 counts in percentages; before it nobody outside is troubled by the room's alarms."""
    require_room(services, who, code)
    typed = Second(body.second, body.second_password, body.second_code)
    second = await run_in_threadpool(second_person, services, who, code[:12], typed)
    command = commands.SetStage(room=code, by=who.name, account=who.account, via="api", stage=body.stage, reason=body.reason, second=second)
    outcome = await door.submit(services, command)
    return CommandResult(room=code, state=outcome.state, sentence=door.sentence(command, outcome))


@router.post("/rooms/{code}/report", operation_id="reportRoom")
async def report(code: str, body: ReportBody, who: Annotated[Principal, Depends(require(Action.HANDLE))], services: ServicesOf) -> CommandResult:
    """人工值守: a person is in the room and has looked. A blind room counts as watched by a person for an hour; `state` is its coverage now."""
    require_room(services, who, code)
    command = commands.Report(room=code, by=who.name, account=who.account, via="api", note=body.note)
    outcome = await door.submit(services, command)
    return CommandResult(room=code, state=outcome.state, sentence=door.sentence(command, outcome))
