"""Edits of the organisation as pages and API make them: administrators' are applied, data keepers' proposed; the watch then reads the rows again."""

import logging
from collections.abc import Mapping
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass

from server.org import changes
from server.org.changes import Asked, Asker
from server.org.checks import CheckError
from server.store import units
from server.store.tables_org import ChangeRequest
from server.watch.commands import Reload
from server.web import problems
from server.web.auth import Principal
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.services import Services

log = logging.getLogger("server.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of an edit: done | proposed, with the id of the proposal."""

    state: str
    request: int | None
    sentence: str


def edit(services: Services, who: Principal, kind: str, key: Mapping[str, str], after: Mapping[str, str], reason: str) -> Done:
    """Carry an edit out, or keep it as a proposal when the asker may only propose. Raises ProblemError 403 and 422."""
    asked, now = Asked(kind=kind, key=key, after=after, reason=reason), services.clock()
    try:
        with services.db.write() as session:
            if _direct(who, asked):
                applied = changes.change(session, asked, _asker(who), now)
            elif who.may(Action.PROPOSE):
                row = changes.propose(session, asked, _asker(who), now)
                return Done(state="proposed", request=row.id, sentence="已提交，等上一级审批。")
            else:
                raise ProblemError(403, problems.NO_ACTION)
    except CheckError as error:
        raise invalid(f"{error}。", "after", "not accepted") from error
    reload(services, who.name, applied.touched)
    return Done(state="done", request=None, sentence="已保存。")


def _direct(who: Principal, asked: Asked) -> bool:
    """System administrators change the books; appointing people to roles alone is the security administrator's."""
    return who.may(Action.ORGANISE) or (who.may(Action.GRANT) and asked.kind == "people" and set(asked.after) == {"roles"})


def _asker(who: Principal) -> Asker:
    return Asker(name=who.name, unit=who.unit, grants=who.may(Action.GRANT))


def decide(services: Services, who: Principal, ident: int, *, approve: bool, remark: str) -> Done:
    """Approve or refuse a proposal of a unit below the decider's own. Raises ProblemError 403, 404, 409, 422."""
    try:
        with services.db.write() as session:
            row = session.get(ChangeRequest, ident) if ident < 1 << 63 else None
            if row is None or not units.within(session, row.unit, who.unit):
                raise ProblemError(404 if row is None else 403, "没有这份申请。" if row is None else problems.NO_RIGHT)
            if who.unit == row.unit and len(units.path(session, row.unit)) > 1:
                raise ProblemError(403, "由上一级审批。", code="not_allowed")
            applied = changes.decide(session, row, _asker(who), services.clock(), approve=approve, remark=remark)
    except changes.StaleError as error:
        raise ProblemError(409, str(error), code="conflict") from error
    except CheckError as error:
        raise invalid(f"{error}。", "remark", "not accepted") from error
    if applied is not None:
        reload(services, who.name, applied.touched)
    return Done(state=changes.APPROVED if approve else changes.REFUSED, request=ident, sentence="已批准并生效。" if approve else "已退回。")


def reload(services: Services, by: str, touched: Mapping[str, set[str]]) -> None:
    """Have the watch read changed rows again, and wait for it. When it is late the rows are written all the same: it reads them as soon as it can."""
    points = tuple(int(ident) for ident in touched.get("point", ()))
    names = {kind: tuple(sorted(touched.get(kind, ()))) for kind in ("unit", "room", "gateway")}
    if not points and not any(names.values()):
        return
    command = Reload(by=by, units=names["unit"], rooms=names["room"], gateways=names["gateway"], points=points)
    try:
        services.watch.submit(command).result(services.settings.command_timeout_s)
    except LateError:
        log.warning("the watch has not read changed rows again yet: %s", names)
