"""Human load and the registered texts."""

from typing import Annotated

from fastapi import Depends, Path
from pydantic import BaseModel

from server.duty import load
from server.notify.texts import SINGLE, default_texts, segments, utf16
from server.web.api.common import PROBLEMS, From, To, span
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("duty", refusals=PROBLEMS)
UnitCode = Annotated[str, Path(max_length=12)]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]
DAY_MS = 86_400_000


class TextView(BaseModel):
    """A registered text; lengths in UTF-16 units: longest filling, and with the reply hint; `segments` at the longest."""

    name: str
    text: str
    longest: int
    with_hint: int
    segments: int


@router.get("/units/{code}/duty/load", operation_id="dutyLoad")
def duty_load(code: UnitCode, asker: Telling, services: ServicesOf, start: From = None, end: To = None) -> load.Load:
    """Alarms per hour, night wake-ups per person and the worst rules with a proposal; without times the last thirty days."""
    now = services.clock()
    since, until = span(start, end, default=(now - 30 * DAY_MS, now), longest_ms=366 * DAY_MS)
    with services.db.read() as session:
        require_unit(session, asker, code)
        return load.measure(session, code, since, until)


@router.get("/texts", operation_id="listTexts")
def list_texts(asker: Telling) -> list[TextView]:
    """The registered texts with their lengths."""
    del asker
    return all_texts()


def all_texts() -> list[TextView]:
    """Every text with the length of its longest filling."""
    catalogue = default_texts()
    found = []
    for name, text in catalogue.texts.items():
        plain, hinted = (catalogue.longest(text, reply_hint=hint) for hint in (False, True))
        found.append(TextView(name=name, text=text, longest=utf16(plain), with_hint=utf16(hinted), segments=segments(hinted)))
    assert all(view.with_hint <= SINGLE for view in found)  # noqa: S101 - checked when the file was read
    return found
