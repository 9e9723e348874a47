"""试行规则: trials of rule sets, each with both counts side by side and the alarms that differ."""

from typing import Annotated

from fastapi import Depends, Form, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from alarms.rules import default_rules
from server import trials
from server.store import rooms, units
from server.web.api.common import Viewer, at
from server.web.api.rule_trials import NewTrial, TrialId, begun, ended, found
from server.web.auth import Principal, ServicesOf, require
from server.web.pages.common import ScreensOf, signs
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()

DAYS = {1: "1 天", 7: "7 天", 30: "30 天", 0: "到手动结束为止"}
_LONGEST = 200_000
Short = Annotated[str, Form(max_length=60)]
Setting = Annotated[Principal, Depends(require(Action.LIMITS))]


@router.get("/trials")
def listing(request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """All trials, and the form for a new one with the shipped rules to begin from."""
    now = services.clock()
    with services.db.read() as session:
        shown = [(run, trials.is_active(run, now)) for run in trials.page(session, who.unit)]
        names = units.names(session, [run.unit for run, _ in shown])
    return screens.page(request, "trials.html", who=who, runs=shown, names=names, days=DAYS, rules=len(default_rules().rules))


@router.post("/trials")
async def start(services: ServicesOf, who: Setting, file: UploadFile, unit: Short = "", days: Short = "", name: Short = "") -> Response:
    """Begin a trial with an uploaded rule file."""
    content = await file.read(_LONGEST + 1)
    if not days.isascii() or not days.isdigit() or int(days) not in DAYS:
        raise invalid("请选择时长。", "days", "required")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid("规则文件须是 UTF-8 编码。", "file", "not UTF-8") from error
    if not text or len(content) > _LONGEST:
        raise invalid("规则文件是空的或太大。", "file", "empty or too large")
    until = None if days == "0" else at(services.clock() + int(days) * 86_400_000)
    body = NewTrial(name=name.strip() or str(file.filename)[:60], unit=unit.strip(), rules=text, until=until)
    made = await run_in_threadpool(begun, services, who, body)
    return RedirectResponse(f"/trials/{made.id}", 303)


@router.get("/trials/{trial_id}")
def comparison(trial_id: TrialId, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """Both counts side by side, by rule, and every alarm that differs."""
    now = services.clock()
    with services.db.read() as session:
        run = found(session, who, trial_id)
        told = trials.told(session, run, services.rulebook.current, now)
        places = rooms.names(session, [one["room"] for one in told["differences"]])
        names = units.names(session, [run.unit])
    return screens.page(
        request, "trial.html", who=who, run=run, active=trials.is_active(run, now), told=told, places=places, unit=names.get(run.unit, run.unit),
        signs=signs(services),
    )  # fmt: skip


@router.post("/trials/{trial_id}/end")
def end(trial_id: TrialId, services: ServicesOf, who: Setting) -> Response:
    """End a trial."""
    ended(services, who, trial_id)
    return RedirectResponse(f"/trials/{trial_id}", 303)
