"""Why an alarm did what it did, by the rules of its own day, and its case as a file that can be judged again."""

from typing import Any

from fastapi import Response

from server.cases import NoCaseError, bundle, explain_alarm
from server.web.api.alarms import Ident
from server.web.api.common import PROBLEMS, Viewer
from server.web.auth import ServicesOf, require_alarm
from server.web.problems import ProblemError
from server.web.routers import api_router

router = api_router("alarms", refusals=PROBLEMS)


@router.get("/alarms/{ident}/explanation", operation_id="explainAlarm")
def explanation(ident: Ident, who: Viewer, services: ServicesOf) -> dict[str, Any]:
    """Each change with value, limit, whose limit it was, and the rule as it stood in the rule set of its day."""
    with services.db.read() as session:
        require_alarm(session, who, ident)
        found = explain_alarm(session, ident)
    if found is None:
        raise ProblemError(404, "没有这条告警。")
    return found


@router.get("/alarms/{ident}/case", operation_id="getCase")
def case(ident: Ident, who: Viewer, services: ServicesOf, response: Response) -> dict[str, Any]:
    """The bundle for `archivewatch replay`: rules, limits and samples around the alarm.

    409 for drills and for conditions that are found outside of the samples.
    """
    with services.db.read() as session:
        require_alarm(session, who, ident)
        try:
            body = bundle(session, services.store, services.watch_settings, ident, services.clock())
        except NoCaseError as error:
            raise ProblemError(409, str(error)) from error
    if body is None:
        raise ProblemError(404, "没有这条告警。")
    response.headers["Content-Disposition"] = f'attachment; filename="case-{ident}.json"'
    return body
