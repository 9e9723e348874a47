"""维护 from the page of a room: now for so long, or announced from when until when."""

from typing import Annotated, Any

from fastapi import Depends, Form, Path
from starlette.responses import RedirectResponse, Response

from server.org.readings import ReadingError, instant
from server.web import labels
from server.web.api import maintenance as api
from server.web.api.common import at
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()
MINUTES = {**labels.SHELVES, 0: "现在结束"}
ENDED = "结束维护"
Silencing = Annotated[Principal, Depends(require(Action.SILENCE))]
Short = Annotated[str, Form(max_length=60)]
Text = Annotated[str, Form(max_length=200)]
Local = Annotated[str, Form(max_length=16, description="Beijing time, 2026-12-01T08:00")]


@router.post("/rooms/{code}/maintenance")
async def maintenance(
    code: str, services: ServicesOf, who: Silencing, minutes: Annotated[str, Form(max_length=4)] = "", begin: Local = "", end: Local = "",
    reason: Text = "", person: Short = "", second: Short = "", second_password: Text = "", second_code: Annotated[str, Form(max_length=8)] = "",
) -> Response:  # fmt: skip
    """登记维护 for some minutes from now, or 安排维护 from `begin` until `end`."""
    values: dict[str, Any] = {"reason": reason, "person": person.strip() or who.name}
    values |= {"second": second, "second_password": second_password, "second_code": second_code}
    if begin or end:
        values |= {"since": at(_instant(begin, "begin")), "until": at(_instant(end, "end"))}
    else:
        if not minutes.isascii() or not minutes.isdigit() or int(minutes) not in MINUTES:
            raise invalid("请选择时长。", "minutes", "required")
        values["until"] = at(services.clock() + int(minutes) * 60_000)
        values["reason"] = reason.strip() or ("" if int(minutes) else ENDED)
    await api.order(services, who, code, api.WorkOrder(**values), via="page")
    return RedirectResponse(f"/rooms/{code}", 303)


@router.post("/rooms/{code}/maintenance/{work}/cancel")
async def cancel(code: str, work: Annotated[int, Path(ge=1, lt=1 << 63)], services: ServicesOf, who: Silencing) -> Response:
    """取消 an announcement, or end what is under way."""
    await api.cancel(code, work, who, services)
    return RedirectResponse(f"/rooms/{code}", 303)


def _instant(text: str, field: str) -> int:
    try:
        return instant(text)
    except ReadingError as error:
        raise invalid(str(error), field, "not a time") from error
