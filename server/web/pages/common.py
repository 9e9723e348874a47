"""What the pages share."""

from typing import Annotated

from fastapi import Depends, Request

from server.web.screens import Screens


async def screens(request: Request) -> Screens:
    """The renderer of the application; no thread's work, see auth.services."""
    found: Screens = request.app.state.screens
    return found


ScreensOf = Annotated[Screens, Depends(screens)]


def by_script(request: Request) -> bool:
    """Whether htmx asks, for a part of a page."""
    return request.headers.get("hx-request") == "true"
