"""本年改了什么: what people changed in a unit over a period, by group (limits, pauses, sensors, stages): the paper, to look through."""

from collections import Counter
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from server.reports.changes import GROUPS, MOST_ROWS, chosen, listing
from server.reports.period import local
from server.store import units
from server.web.api.common import Viewer
from server.web.api.reports import period_of
from server.web.auth import ServicesOf, require_unit
from server.web.pages.common import ScreensOf
from server.web.routers import page_router

router = page_router()
PER_PAGE = 100


@router.get("/papers/changes")
def page(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    unit: Annotated[str, Query(max_length=12)] = "",
    period: Annotated[str, Query(max_length=32)] = "",
    group: Annotated[str, Query(pattern=f"^({'|'.join(GROUPS)})?$")] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000)] = 1,
) -> Response:
    """The changes of a unit's subtree, the newest first; this year, if no period is given."""
    now = services.clock()
    span = period_of(period or str(local(now).year), now)
    with services.db.read() as session:
        top = unit or who.unit or next(iter(each.code for each in units.page(session, None, after="", limit=1)), "")
        require_unit(session, who, top)
        found = chosen(session, top, span, newest=True)
        shown = [change for change in found if group in ("", change.group)]
        changes = listing(session, shown[(number - 1) * PER_PAGE : number * PER_PAGE])
        choices = [(each.code, each.name) for each in units.page(session, who.unit, after="", limit=200)]
    return screens.page(
        request,
        "changes.html",
        who=who,
        unit=top,
        choices=choices,
        period=span,
        group=group,
        groups={key: word for key, (word, _) in GROUPS.items()},
        counts=Counter(change.group for change in found),
        whole=len(found),
        changes=changes,
        number=number,
        pages=max(1, -(-len(shown) // PER_PAGE)),
        most=MOST_ROWS,
    )
