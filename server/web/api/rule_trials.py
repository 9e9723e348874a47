"""试行: a rule set is judged silently beside the one in force, in one unit, and compared. It raises nothing and tells nobody."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from alarms.rules import RuleError, parse_rules
from server import trials
from server.store.tables_alarms import ShadowRun
from server.web.api.common import PROBLEMS, Cursor, Instant, Limit, Viewer, at, at_or_none, decode_id, ms, page
from server.web.api.limits import Setter
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require_unit
from server.web.problems import ProblemError, invalid
from server.web.routers import api_router
from server.web.services import Services

router = api_router("limits", refusals=PROBLEMS)

TrialId = Annotated[int, Path(ge=1, lt=1 << 63)]


class NewTrial(Body):
    """A rule file to be tried in a unit and everything below it."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
    unit: str
    rules: Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
    until: Instant | None = Field(None, description="null: until somebody ends it")


class TrialView(BaseModel):
    """A trial of a rule set."""

    id: int
    name: str
    unit: str
    by: str
    since: datetime
    until: datetime | None
    active: bool
    rule_set: str


class Side(BaseModel):
    """An alarm of one side, at its worst level."""

    level: str
    raised_at: datetime
    cleared_at: datetime | None


class DifferenceView(BaseModel):
    """An alarm that only one side has, or that has another level on the other."""

    room: str
    rule: str
    now: Side | None = Field(description="under the rules in force")
    trial: Side | None = Field(description="under the rules on trial")


class RuleCount(BaseModel):
    """Alarms of one rule on either side."""

    rule: str
    now: int
    trial: int


class TrialComparison(TrialView):
    """Both sides, in the same rooms and the same time. `differences` holds the first 200 of `different`."""

    now: int
    trial: int
    rules: list[RuleCount]
    different: int
    differences: list[DifferenceView]


def begun(services: Services, who: Principal, body: NewTrial) -> TrialView:
    """Begin a trial. Raises ProblemError."""
    now = services.clock()
    try:
        rules = parse_rules(body.rules, "rules")
    except RuleError as error:
        raise invalid(f"规则文件有误：{error}", "body.rules", str(error)) from error
    with services.db.write() as session:
        require_unit(session, who, body.unit)
        until = None if body.until is None else ms(body.until)
        try:
            run = trials.start(session, name=body.name, unit=body.unit, rules=rules, until=until, by=who.name, now=now)
        except trials.TrialError as error:
            raise ProblemError(409, str(error)) from error
        return view(run, now)


def ended(services: Services, who: Principal, trial_id: int) -> TrialView:
    """End a trial. Raises ProblemError."""
    now = services.clock()
    with services.db.write() as session:
        run = found(session, who, trial_id)
        if not trials.is_active(run, now):
            raise ProblemError(409, "这次试行已经结束。")
        trials.end(session, run, who.name, now)
        return view(run, now)


def found(session: Session, who: Principal, trial_id: int) -> ShadowRun:
    """A trial within the asker's reach. Raises ProblemError 403, 404."""
    run = session.get(ShadowRun, trial_id)
    if run is None:
        raise ProblemError(404, "没有这次试行。")
    require_unit(session, who, run.unit)
    return run


def view(run: ShadowRun, now: int) -> TrialView:
    """A trial as an answer."""
    return TrialView(
        id=run.id, name=run.name, unit=run.unit, by=run.by, since=at(run.since), until=at_or_none(run.until), active=trials.is_active(run, now),
        rule_set=run.version,
    )  # fmt: skip


@router.get("/rule-trials", operation_id="listTrials")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(description="unit code; trials in it and below it")] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[TrialView]:
    """Trials, newest first, also those that are over."""
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        rows = trials.page(session, unit or who.unit, before=decode_id(cursor), limit=limit + 1)
        shown = [view(row, services.clock()) for row in rows]
    return page(request, shown, limit, shown[limit - 1].id if len(shown) > limit else "")


@router.post("/rule-trials", operation_id="startTrial")
def start(body: NewTrial, who: Setter, services: ServicesOf) -> TrialView:
    """Begin a trial: from now on the rule set is judged silently. At most three run at a time."""
    return begun(services, who, body)


@router.get("/rule-trials/{trial_id}", operation_id="getTrial")
def comparison(trial_id: TrialId, who: Viewer, services: ServicesOf) -> TrialComparison:
    """Both counts and the alarms that differ. Silence and gateways are left out on both sides."""
    now = services.clock()
    with services.db.read() as session:
        run = found(session, who, trial_id)
        told: dict[str, Any] = trials.told(session, run, services.rulebook.current, now)
        sides = [one[side] for one in told["differences"] for side in ("now", "trial") if one[side] is not None]
        for side in sides:
            side["raised_at"], side["cleared_at"] = at(side["raised_at"]), at_or_none(side["cleared_at"])
        return TrialComparison(**view(run, now).model_dump(), **told)


@router.post("/rule-trials/{trial_id}/end", operation_id="endTrial")
def end(trial_id: TrialId, who: Setter, services: ServicesOf) -> TrialView:
    """End a trial; what it has found stays."""
    return ended(services, who, trial_id)
