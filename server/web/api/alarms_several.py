"""接手 of several alarms in one request."""

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from server.web import several
from server.web.api.common import PROBLEMS
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("alarms", refusals=PROBLEMS)


class TakeOvers(Body):
    """Which alarms, by id; the note is kept with each."""

    alarms: list[Annotated[int, Field(ge=1, lt=1 << 63)]] = Field(min_length=1, max_length=several.MOST)
    note: Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)] = ""


class EachResult(BaseModel):
    """What became of one of them; `state` is empty where it was refused and may have changed."""

    alarm: int
    ok: bool
    state: str
    sentence: str


@router.post("/alarms/acknowledge", operation_id="acknowledgeSeveral")
async def acknowledge(body: TakeOvers, who: Annotated[Principal, Depends(require(Action.HANDLE))], services: ServicesOf) -> list[EachResult]:
    """接手 of several alarms, each by its own command with its own outcome. Smoke and 特急 are only taken over one by one."""
    found = await run_in_threadpool(several.chosen, services, who, body.alarms)
    return [EachResult(**one._asdict()) for one in await several.take_over(services, who, found, body.note, "api")]
