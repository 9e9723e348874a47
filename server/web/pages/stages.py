"""阶段 and 人工值守 from the page of a room: its next stage with a reason, and the report of a named person who is there and has looked."""

from typing import Annotated

from fastapi import Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from server.web.api import stages as api
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.in_place import Acting, person_at
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()
Short = Annotated[str, Form(max_length=60)]
Text = Annotated[str, Form(max_length=200)]


@router.post("/rooms/{code}/stage")
async def stage(
    code: str, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.OUT_OF_SERVICE))], stage: Short = "", reason: Text = "",
    second: Short = "", second_password: Text = "", second_code: Annotated[str, Form(max_length=8)] = "",
) -> Response:  # fmt: skip
    """未接入 → 调试 → 试运行 → 在用 → 停用."""
    if stage not in api.STAGES:
        raise invalid("请选择阶段。", "stage", "unknown stage")
    if not reason.strip():
        raise invalid("请填写原因。", "reason", "required")
    body = api.StageBody(stage=stage, reason=reason, second=second, second_password=second_password, second_code=second_code)
    await api.stage(code, body, who, services)
    return RedirectResponse(f"/rooms/{code}", 303)


@router.post("/rooms/{code}/report")
async def report(
    code: str, request: Request, services: ServicesOf, who: Annotated[Principal, Depends(Acting(Action.HANDLE))],
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:  # fmt: skip
    """I am in the room and have looked."""
    require_room(services, who, code)
    who = await run_in_threadpool(person_at, services, request, who, await request.form(), Action.HANDLE)
    await api.report(code, api.ReportBody(note=note), who, services)
    return RedirectResponse(f"/rooms/{code}", 303)
