"""Planned work in a room."""

from typing import Annotated

from fastapi import APIRouter, Depends

from server.watch import commands
from server.web import door
from server.web.api.alarms import Work
from server.web.api.common import PROBLEMS, ms
from server.web.api.models import CommandResult
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.rights import Action

router = APIRouter(tags=["rooms"], responses=PROBLEMS)


@router.post("/rooms/{code}/maintenance", operation_id="setMaintenance")
async def maintenance(code: str, body: Work, who: Annotated[Principal, Depends(require(Action.SILENCE))], services: ServicesOf) -> CommandResult:
    """维护 of a room until an instant; one that has passed ends it. Smoke stays heard."""
    require_room(services, who, code)
    command = commands.Maintenance(
        room=code, by=who.name, account=who.account, via="api", until=ms(body.until), reason=body.reason, person=body.person
    )
    outcome = await door.submit(services, command)
    return CommandResult(room=code, state=outcome.state, sentence=door.sentence(command, outcome))
