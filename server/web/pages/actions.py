"""Commands from forms: dialogs for scripts, plain posts without them. Each ends in the same door as the API."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from server.watch import commands
from server.web import door, in_place, labels
from server.web.api.common import Viewer
from server.web.auth import Principal, ServicesOf, require_alarm
from server.web.behalf import said
from server.web.pages.common import ScreensOf, by_script
from server.web.pages.rows import RIGHTS, AlarmRow, rows, with_called
from server.web.problems import NO_ACTION, ProblemError, invalid
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.second import Second, second_person
from server.web.services import Services

router = page_router()

Ident = Annotated[int, Path(ge=1)]
Build = Callable[[dict[str, Any], FormData, int], commands.AlarmCommand]


def _text(form: FormData, name: str, longest: int = 500) -> str:
    value = form.get(name, "")
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > longest:
        raise invalid(f"最多 {longest} 个字。", name, f"at most {longest} characters")
    return text


def note_of(form: FormData) -> str:
    """Ticked notes and free text in one line."""
    ticked = [value for value in form.getlist("canned") if isinstance(value, str) and value in labels.NOTES]
    return "；".join([*ticked, *filter(None, [_text(form, "note")])])


def _behalf(form: FormData) -> str:
    """For whom the desk takes over: one of the called, or a name typed in."""
    return _text(form, "behalf", 60) or _text(form, "on_behalf_of", 60)


def _reason(form: FormData) -> str:
    reason = _text(form, "reason", 200)
    if not reason:
        raise invalid("请填写原因。", "reason", "required")
    return reason


def _until(form: FormData, now: int, offered: Mapping[int, str]) -> int:
    minutes = _text(form, "minutes", 4)
    if not minutes.isascii() or not minutes.isdigit() or int(minutes) not in offered:
        raise invalid("请选择时长。", "minutes", "required")
    return now + int(minutes) * 60_000


BUILD: Mapping[str, Build] = {
    "acknowledge": lambda base, form, _: commands.Acknowledge(**base, note=note_of(form), on_behalf_of=_behalf(form)),
    "unacknowledge": lambda base, _, __: commands.Unacknowledge(**base),
    "decline": lambda base, form, _: commands.Decline(**base, note=note_of(form)),
    "progress": lambda base, form, _: commands.Progress(**base, note=note_of(form)),
    "assist": lambda base, form, _: commands.Assist(**base, note=note_of(form)),
    "no-danger": lambda base, form, _: commands.NoDanger(**base, note=note_of(form)),
    "comment": lambda base, form, _: commands.Comment(**base, note=note_of(form)),
    "shelve": lambda base, form, now: commands.Shelve(
        **base, until=_until(form, now, labels.SHELVES), reason=_reason(form), one_shot=form.get("one_shot") == "1"
    ),
    "unshelve": lambda base, _, __: commands.Unshelve(**base),
    "reset": lambda base, form, _: commands.Reset(**base, note=note_of(form)),
    "out-of-service": lambda base, form, _: commands.OutOfService(**base, reason=_reason(form)),
    "return-to-service": lambda base, _, __: commands.ReturnToService(**base),
}
"""How each button's form becomes a command."""

ANSWERS = ("acknowledge", "progress", "assist", "no-danger", "decline")
"""What somebody may have said by phone: the desk records it for him."""


def _row(services: Services, who: Principal, ident: int, *, called: bool = False) -> AlarmRow:
    with services.db.read() as session:
        alarm = require_alarm(session, who, ident)
        [row] = rows(session, services, [alarm], who, services.clock())
        return with_called(session, row) if called else row


def _command(services: Services, request: Request, who: Principal, ident: int, action: str, form: FormData) -> commands.AlarmCommand:
    _row(services, who, ident)  # what a terminal does not show cannot be done at it
    who = in_place.person_at(services, request, who, form, RIGHTS[action])
    if not who.may(RIGHTS[action]):
        raise ProblemError(403, NO_ACTION)
    row = _row(services, who, ident)
    if action == "out-of-service":
        typed = Second(_text(form, "second", 60), _text(form, "second_password", 200), _text(form, "second_code", 8))
        second = second_person(services, who, row.alarm.unit, typed)
        return commands.OutOfService(alarm=ident, by=who.name, account=who.account, via="page", reason=_reason(form), second=second)
    base: dict[str, Any] = {"alarm": ident, "by": who.name, "account": who.account, "via": "page"}
    if action in ANSWERS and (name := _behalf(form)):
        speaker = said(services, who, ident, name, "")
        base["person_id"] = speaker.person
        if action != "acknowledge":  # a take-over keeps both names by itself
            base |= {"by": speaker.by(who), "account": None}
    return BUILD[action](base, form, services.clock())


@router.get("/alarms/{ident}/dialog/{action}")
def dialog(ident: Ident, action: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """The form of one command, for the dialog of a page."""
    row = _row(services, who, ident, called=True)
    if action not in BUILD:
        raise ProblemError(404, "没有这个地址。")
    if not row.offers(action):
        raise ProblemError(403, NO_ACTION)
    return screens.page(request, "_dialog.html", who=who, row=row, action=action)


@router.post("/alarms/{ident}/{action}")
async def act(ident: Ident, action: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """Carry a form's command out: a short message for scripts, else back to the alarm."""
    if action not in BUILD:
        raise ProblemError(404, "没有这个地址。")
    form = await request.form()
    try:
        command = await run_in_threadpool(_command, services, request, who, ident, action, form)
        outcome = await door.submit(services, command)
    except ProblemError as problem:
        if not by_script(request):
            raise
        return _refused(screens, request, who, problem, in_dialog=form.get("from") == "dialog")
    if not by_script(request):
        return RedirectResponse(f"/alarms/{ident}?done={type(command).__name__}", 303)
    row = await run_in_threadpool(_row, services, who, ident)
    answer = screens.page(request, "_toast.html", who=who, row=row, sentence=door.sentence(command, outcome))
    answer.headers["HX-Trigger"] = json.dumps({"aw-done": {"alarm": ident}})
    return answer


def _refused(screens: Screens, request: Request, who: Principal, problem: ProblemError, *, in_dialog: bool) -> Response:
    answer = screens.page(request, "_message.html", problem.status, who=who, sentence=problem.detail)
    if in_dialog:  # a message outside of an open dialog would lie behind it
        answer.headers["HX-Retarget"] = "#dialog-message"
    return answer
