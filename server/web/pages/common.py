"""What the pages share."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select

from server.store.tables import Unit
from server.web.auth import Principal, require_unit
from server.web.screens import Screens
from server.web.services import Services


async def screens(request: Request) -> Screens:
    """The renderer of the application; no thread's work, see auth.services."""
    found: Screens = request.app.state.screens
    return found


ScreensOf = Annotated[Screens, Depends(screens)]


def signs(services: Services) -> dict[str, tuple[str, str]]:
    """(kind, quantity) of each rule in force by its name, for Words.rule."""
    return {rule.name: (str(rule.kind), str(rule.quantity)) for rule in services.rulebook.current.rules}


def by_script(request: Request) -> bool:
    """Whether htmx asks, for a part of a page."""
    return request.headers.get("hx-request") == "true"


def unit_asked(services: Services, who: Principal, code: str) -> Unit:
    """The unit that a page is about: the asked one, else the asker's own, else the top. Raises ProblemError 404, 403."""
    with services.db.read() as session:
        wanted = code or who.unit or session.scalar(select(Unit.code).where(Unit.parent.is_(None)).order_by(Unit.code).limit(1)) or ""
        require_unit(session, who, wanted)
        return session.get_one(Unit, wanted)
