"""Limits: which one holds and why, tightening one with a preview from history, taking it back; back-tests of whole rule sets."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from alarms.model import Level, Rule, RuleSet
from alarms.rules import RuleError, parse_rules
from server.backtest import backtest, summary
from server.instants import day_name
from server.store import audit, holidays, limits, rooms
from server.store.limits import effective_rules
from server.store.places import Place, places
from server.store.tables_alarms import LimitChange
from server.web.api.common import PROBLEMS, Cursor, From, Instant, Limit, To, Viewer, at, at_or_none, decode_id, ms, page, span
from server.web.api.history import DAY_MS
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.i18n import Words
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("limits", refusals=PROBLEMS)

PREVIEW_DAYS = 30
LONGEST_BACKTEST_MS = 92 * DAY_MS
Setter = Annotated[Principal, Depends(require(Action.LIMITS))]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^\w+$")]
Why = Annotated[str, StringConstraints(min_length=2, max_length=200, strip_whitespace=True)]


class Tightening(Body):
    """A tighter limit for one level of one rule, in a room or in a unit and everything below it. It can never loosen anything."""

    rule: Name
    unit: str = Field("", description="unit code")
    room: str = Field("", description="room code; with it the change holds for this room alone")
    level: Annotated[str, StringConstraints(pattern="^(warn|alarm|urgent|critical)$")]
    limit: float | None = Field(None, description="in the unit of the rule; null keeps the limit")
    on_delay_s: float | None = Field(None, ge=0, le=86_400, description="null keeps the on-delay")
    why: Why
    until: Instant | None = Field(None, description="null: until somebody takes it back")


class LimitView(BaseModel):
    """A changed limit. `in_force` tells whether it holds now."""

    id: int
    rule: str
    unit: str
    room: str | None
    level: str
    limit: float | None
    on_delay_s: float | None
    by: str
    why: str
    since: datetime
    until: datetime | None
    revoked_at: datetime | None
    revoked_by: str
    in_force: bool


class Preview(BaseModel):
    """What the rule would have raised in the last days, as it stands and with the change."""

    rule: str
    days: int
    before: int
    after: int
    before_h: float = Field(description="hours in which the condition would have held")
    after_h: float = Field(description="the same with the change: few alarms may mean one that never ends")
    per_day: dict[str, int] = Field(description="alarms with the change, by day (Beijing)")
    sentence: str


class Backtest(Body):
    """A rule file to be judged on stored history."""

    rules: Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
    unit: str
    after: Annotated[str, Field(max_length=16, description="only rooms behind this code: `next` of the answer before")] = ""
    most: Annotated[int | None, Field(ge=1, le=200, description="at most so many rooms in one answer; by default all of them")] = None


@router.get("/limits", operation_id="listLimits")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(description="unit code; changes in it and below it")] = "",
    room: Annotated[str, Query(max_length=16)] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[LimitView]:
    """Changed limits, newest first, also those that are over."""
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        rows = limits.page(session, unit or who.unit, room=room, before=decode_id(cursor), limit=limit + 1)
        found = [_view(row, services.clock()) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.post("/limits", operation_id="tightenLimit")
def tighten(body: Tightening, who: Setter, services: ServicesOf) -> LimitView:
    """Tighten a limit. Refused when it would change nothing: a lower level can only tighten what the upper ones ask."""
    now = services.clock()
    with services.db.read() as session:  # the rules of a province are compared beside the watch, which has to write meanwhile
        change = _change(body, who, services, now)
        before = effective_rules(session, services.rulebook.base, now, services.workdays.given)
        after = effective_rules(session, services.rulebook.base, now, services.workdays.given, [change])
    _check(before, after, change, services)
    with services.db.write() as session:
        session.add(change)
        session.flush()
        subject = change.room or change.unit
        audit.append(session, who.name, "limit.tighten", subject, body.model_dump(mode="json") | {"id": change.id}, now)
        view = _view(change, now)
    services.rulebook.run_once(now)
    return view


@router.post("/limits/preview", operation_id="previewLimit")
def preview(body: Tightening, who: Setter, services: ServicesOf, request: Request) -> Preview:
    """What the change would have meant in the last 30 days. `sentence` is in the language that the asker has chosen (`?lang=`, else cookie)."""
    now = services.clock()
    with services.db.read() as session:
        change = _change(body, who, services, now)
        before = effective_rules(session, services.rulebook.base, now, services.workdays.given).named(body.rule)
        after = effective_rules(session, services.rulebook.base, now, services.workdays.given, [change]).named(body.rule)
    _check(before, after, change, services)
    start, found = now - PREVIEW_DAYS * DAY_MS, _places(services, change.unit, change.room)
    old, new = backtest(services.store, [before, after], found, start, now, services.pool.run)
    per_day: dict[str, int] = {}
    for alarm in new:
        per_day[day_name(alarm.at)] = per_day.get(day_name(alarm.at), 0) + 1
    before_h, after_h = (round(sum(alarm.lasted for alarm in some) / 3_600_000, 1) for some in (old, new))
    words: Words = request.app.state.screens.words(request)
    sentence = words.text(
        "过去 %(days)s 天按现行限值告警 %(before)s 次，按新限值会告警 %(after)s 次；告警状态共 %(before_h)s 小时，改后 %(after_h)s 小时。",
        days=PREVIEW_DAYS, before=len(old), after=len(new), before_h=f"{before_h:g}", after_h=f"{after_h:g}",
    )  # fmt: skip
    return Preview(
        rule=body.rule, days=PREVIEW_DAYS, before=len(old), after=len(new), before_h=before_h, after_h=after_h, per_day=per_day, sentence=sentence
    )  # fmt: skip


@router.post("/limits/{limit_id}/revoke", operation_id="revokeLimit")
def revoke(limit_id: Annotated[int, Path(ge=1, lt=1 << 63)], who: Setter, services: ServicesOf) -> LimitView:
    """Take a changed limit back; what the rules ask without it holds again."""
    now = services.clock()
    with services.db.write() as session:
        change = session.get(LimitChange, limit_id)
        if change is None:
            raise ProblemError(404, "没有这条限值调整。")
        require_unit(session, who, change.unit)
        if change.revoked_at is not None or (change.until is not None and change.until <= now):
            raise ProblemError(409, "这条限值调整已经结束。")
        change.revoked_at, change.revoked_by = now, who.name
        audit.append(session, who.name, "limit.revoke", change.room or change.unit, {"id": change.id, "rule": change.rule}, now)
        view = _view(change, now)
    services.rulebook.run_once(now)
    return view


@router.get("/rooms/{code}/limits", operation_id="explainLimits")
def explain(code: str, who: Viewer, services: ServicesOf, quantity: Annotated[str, Query(max_length=24)]) -> dict[str, Any]:
    """Which limits hold for a quantity in a room, and why: level by level, every layer that says something, and whose wins."""
    require_room(services, who, code)
    with services.db.read() as session:
        found = limits.explain_room(session, services.rulebook.current, code, quantity)
    if found is None or not found["rules"]:
        raise ProblemError(404, "这间库房的这个量没有规则。")
    return found


@router.post("/rules/backtest", operation_id="backtestRules")
def run_backtest(body: Backtest, who: Setter, services: ServicesOf, start: From = None, end: To = None) -> dict[str, Any]:
    """Alarms per room and day that a rule set would have raised on stored history, at most 92 days; by default the last 30.

    A province takes minutes: ask for some rooms at a time (`most`), and go on behind `next` until it is empty. `rooms_in_all` is their number.
    """
    now = services.clock()
    since, until = span(start, end, default=(now - PREVIEW_DAYS * DAY_MS, now), longest_ms=LONGEST_BACKTEST_MS)
    with services.db.read() as session:
        require_unit(session, who, body.unit)
    try:
        rules = parse_rules(body.rules, "rules")
    except RuleError as error:
        raise invalid(f"规则文件有误：{error}", "body.rules", str(error)) from error
    whole = _places(services, body.unit)
    behind = [place for place in whole if place.room > body.after]
    found = behind[: body.most]
    dated = holidays.filled(rules, until, services.workdays.given)
    [raised] = backtest(services.store, [dated], found, since, until, services.pool.run)
    told = {"rooms_in_all": len(whole), "next": found[-1].room if len(behind) > len(found) else ""}
    return summary(raised, rules, body.unit, since, until, found) | told


def _places(services: Services, unit: str, room: str | None = None, *, bare: bool = False) -> list[Place]:
    with services.db.read() as session:
        return places(session, unit, services.watch_settings, room, bare=bare)


def _change(body: Tightening, who: Principal, services: Services, now: int) -> LimitChange:
    """The row, checked for place and rights. Raises ProblemError."""
    with services.db.read() as session:
        if body.unit or not body.room:
            require_unit(session, who, body.unit)
        unit = body.unit
        if body.room:
            require_room(services, who, body.room)
            room = rooms.get(session, body.room)
            unit = room.unit if room is not None else ""
    if body.until is not None and ms(body.until) <= now:
        raise invalid("结束时间须晚于现在。", "body.until", "in the past")
    if body.limit is None and body.on_delay_s is None:
        raise invalid("请填写限值或持续时间。", "body.limit", "limit or on_delay_s")
    delay = None if body.on_delay_s is None else int(body.on_delay_s * 1000)
    return LimitChange(
        rule=body.rule, unit=unit, room=body.room or None, level=body.level, limit=body.limit, on_delay_ms=delay, by=who.name, why=body.why,
        created_at=now, since=now, until=None if body.until is None else ms(body.until), revoked_at=None, revoked_by="",
    )  # fmt: skip


def _check(before: RuleSet, after: RuleSet, change: LimitChange, services: Services) -> None:
    """Refuse a change of an unknown rule, one that nobody would notice, and one that no rule file could hold. Raises ProblemError 422."""
    shape: Rule | None = next((rule for rule in before.rules if rule.name == change.rule), None)
    if shape is None:
        raise invalid("没有这条规则。", "body.rule", "no such rule")
    if shape.ladder[0].side == "equals" and change.limit is not None:
        raise invalid("这条规则没有可调的限值，只能缩短持续时间。", "body.limit", "this rule compares with fixed states")
    try:
        parse_rules(after.canonical(), "limits")
    except RuleError as error:
        raise invalid(f"限值不合理：{error.reason}", "body.limit", error.reason) from error
    level = Level.of(change.level)
    for place in _places(services, change.unit, change.room, bare=True):
        old, new = (rules.effective(change.rule, place.medium, place.path, place.room) for rules in (before, after))
        if new is not None and (old is None or _asked(new, level) != _asked(old, level)):
            return
    raise invalid("这项调整不会使任何库房的限值更严：下级只能收紧，不能放宽。", "body.limit", "changes nothing")


def _asked(rule: Rule, level: Level) -> tuple[float, int] | None:
    rung = rule.rung(level)
    return None if rung is None else (rung.limit, rung.on_delay_ms)


def _view(row: LimitChange, now: int) -> LimitView:
    return LimitView(
        id=row.id, rule=row.rule, unit=row.unit, room=row.room, level=row.level, limit=row.limit,
        on_delay_s=None if row.on_delay_ms is None else row.on_delay_ms / 1000, by=row.by, why=row.why, since=at(row.since),
        until=at_or_none(row.until), revoked_at=at_or_none(row.revoked_at), revoked_by=row.revoked_by or "",
        in_force=row.revoked_at is None and row.since <= now and (row.until is None or row.until > now),
    )  # fmt: skip
