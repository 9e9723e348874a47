"""Errors as RFC 9457 problem documents for programs, and as a page for people. The sentences are Chinese; `code` is for programs."""

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from server.web import kept
from server.web.faults import Fault, by_field
from server.web.offered import offered

log = logging.getLogger("server.web")

_NONE: Mapping[str, Fault] = MappingProxyType({})

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: ("bad_request", "请求有误"),
    401: ("unauthenticated", "请先登录"),
    403: ("forbidden", "没有权限"),
    404: ("not_found", "没有找到"),
    405: ("method_not_allowed", "不支持这种操作"),
    409: ("conflict", "情况已经变化"),
    413: ("too_large", "内容过大"),
    422: ("invalid", "内容不符合要求"),
    429: ("locked", "请稍后再试"),
    500: ("internal", "系统出错"),
    503: ("unavailable", "暂时不可用"),
}
NO_RIGHT = "你的账号看不到这个单位。需要时请找本单位信息员申请。"
NO_ACTION = "你的账号没有这项权限。需要时请找本单位信息员申请。"


class FieldError(BaseModel):
    """One thing that is wrong with the content."""

    where: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str = Field(description="reference that is also in the server's log")
    errors: list[FieldError] = []


class ProblemError(Exception):
    """An error that the asker shall be told about; `extra` goes into the document, `headers` onto the answer."""

    def __init__(self, status: int, detail: str, *, code: str = "", headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code, self.headers, self.extra = status, detail, code, headers, extra


def invalid(detail: str, where: str, message: str) -> ProblemError:
    """A 422 about one place of the content."""
    return ProblemError(422, detail, errors=[{"where": where, "message": message}])


def document(request: Request, status: int, detail: str, *, code: str = "", **extra: Any) -> dict[str, Any]:
    """The body of a problem; `trace_id` is new for each."""
    default, title = _TITLES.get(status, ("error", HTTPStatus(status).phrase))
    code = code or default
    body = {"type": f"urn:archivewatch:problem:{code}", "title": title, "status": status, "detail": detail, "instance": request.url.path}
    return body | {"code": code, "trace_id": uuid.uuid4().hex[:12], "errors": []} | extra


def install(app: FastAPI) -> None:
    """Register the handlers: no error leaves in another form."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ValidationError, _unfitting)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this type
    if error.status == HTTPStatus.UNAUTHORIZED and (form := await kept.packed(request)) is not None:
        again: Response = request.app.state.screens.sign_in_again(request, form)
        return again
    body = document(request, error.status, error.detail, code=error.code, **error.extra)
    named = [str(one["where"]).rpartition(".")[2] for one in body["errors"]]
    return await _to_be_mended(request, body, error.headers, {named[0]: Fault(error.detail)} if len(named) == 1 else {})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    details = {404: "没有这个地址。", 405: "这个地址不支持这种操作。", 413: "内容过大。"}
    return answer(request, document(request, error.status_code, details.get(error.status_code, str(error.detail))), error.headers)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    errors = [{"where": ".".join(str(part) for part in item["loc"]), "message": item["msg"]} for item in error.errors()]
    strange = [str(item["loc"][-1])[:60] for item in error.errors() if item["type"] == "extra_forbidden"]
    detail = f"没有这些项，请核对名称：{'、'.join(strange)}。" if strange else "内容不符合要求，请看各项说明。"
    return await _to_be_mended(request, document(request, 422, detail, errors=errors), absent=by_field(error.errors()))


async def _unfitting(request: Request, error: Exception) -> Response:
    """A page makes a body of the interface out of its form: what the body refuses is wrong in the form. Elsewhere the mistake is our own."""
    assert isinstance(error, ValidationError)  # noqa: S101 - registered for this type
    if request.method != "POST" or request.url.path.startswith("/api/"):
        return await _unexpected(request, error)
    return await _validation(request, RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]))


async def _to_be_mended(
    request: Request,
    body: dict[str, Any],
    headers: Mapping[str, str] | None = None,
    faults: Mapping[str, Fault] = _NONE,
    absent: Mapping[str, Fault] = _NONE,
) -> Response:
    """A form that cannot be taken as it is comes back with what was typed and the fields that are wrong, to be sent again; so does one of a terminal
    with a wrong PIN, or of two people of whom the second was not proven. `faults` are of fields that it may have, `absent` may be of some that it
    has not.
    """
    unproven = body["status"] == HTTPStatus.FORBIDDEN and body["code"] in ("pin_refused", "second_refused")
    mendable = body["status"] == HTTPStatus.UNPROCESSABLE_ENTITY or unproven
    if not mendable or "text/html" not in request.headers.get("accept", "") or (typed := await kept.packed(request)) is None:
        return answer(request, body, headers)
    fields, files = [pair for pair in kept.unpacked(typed) if pair[0] != kept.PAGE], await kept.files(request)
    there = {*dict(fields), *files}
    faults = {**absent, **{name: fault for name, fault in faults.items() if name in there}}
    page = await kept.page(request)
    form = {"faults": faults, "typed": fields, "secrets": await kept.secrets(request), "files": files, "offered": await offered(request, page)}
    return answer(request, body, headers, back=page, **form)


async def _unexpected(request: Request, error: Exception) -> Response:
    body = document(request, 500, "系统出错，已记录。请稍后再试，或凭参考号联系管理员。")
    log.error("unexpected error, trace %s, %s %s", body["trace_id"], request.method, request.url.path, exc_info=error)
    return answer(request, body)


def answer(request: Request, body: dict[str, Any], headers: Mapping[str, str] | None = None, **form: Any) -> Response:
    """A problem for whoever asks: a document for programs, a page for people, the sign-in for strangers with a browser. `form`: see Screens.error."""
    status = int(body["status"])
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(body, status, dict(headers or {}), media_type=MEDIA_TYPE)
    if str(body["code"]).startswith("first_"):
        return RedirectResponse("/me/security", 303)
    if status == HTTPStatus.UNAUTHORIZED and request.headers.get("hx-request") == "true":
        return Response(status_code=status, headers={"HX-Redirect": "/login"})
    if status == HTTPStatus.UNAUTHORIZED:
        return RedirectResponse(f"/login?next={request.url.path}", 303)
    page: Response = request.app.state.screens.error(request, body, **{"back": kept.came_from(request), **form})
    page.headers.update(headers or {})
    return page
