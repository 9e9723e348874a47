"""The way of one alarm with its delays."""

from datetime import datetime

from pydantic import BaseModel, Field

from server.store import traces
from server.web.api.alarms import Ident
from server.web.api.common import PROBLEMS, Viewer, at
from server.web.auth import ServicesOf, require_alarm
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("alarms", refusals=PROBLEMS)


class StepView(BaseModel):
    """One step; `after_s` is the time since the first of them."""

    at: datetime
    after_s: float
    stage: str = Field(description="measured, received, a transition, step, queued, sent or receipt")
    detail: str


class TraceView(BaseModel):
    """An alarm's way from the sensor to the person."""

    alarm: int
    number: str
    room: str | None
    rule: str
    steps: list[StepView]


@router.get("/alarms/{ident}/trace", operation_id="traceAlarm")
def trace(ident: Ident, who: Viewer, services: ServicesOf) -> TraceView:
    """When the reading was taken, received and judged, and when each message was queued, sent and delivered."""
    with services.db.read() as session:
        row = require_alarm(session, who, ident)
        found = traces.read(session, row, told=who.may(Action.NOTIFICATIONS))
        first = found[0].at if found else 0
        steps = [StepView(at=at(step.at), after_s=(step.at - first) / 1000, stage=step.stage, detail=step.detail) for step in found]
        return TraceView(alarm=row.id, number=row.number, room=row.room, rule=row.rule, steps=steps)
