"""登录与密钥: one's own password, second factor, sessions, keys and terminals."""

from typing import Annotated

import segno
from fastapi import Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.org import accounts, credentials, sessions
from server.store.tables import Account
from server.store.tables_security import AccountSecurity
from server.web.api.common import Asker
from server.web.auth import TERMINAL, Principal, ServicesOf, check
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.rights import ROLES, Action
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services
from server.web.whence import readable, verified_subject

router = page_router("/me/security")

Short = Annotated[str, Form(max_length=60)]
Secret = Annotated[str, Form(max_length=200)]


def own(session: Session, who: Principal) -> Account:
    """The account of whoever asks. Raises ProblemError 403 for programs and terminals, which have none."""
    if who.account is None:
        raise ProblemError(403, "这里只供本人使用。", code="no_account")
    return session.get_one(Account, who.account)


def _page(request: Request, screens: Screens, services: Services, who: Principal, **shown: str) -> Response:
    now = services.clock()
    with services.db.read() as session:
        account = own(session, who)
        row = session.get(AccountSecurity, account.id)
        context = {
            "sessions": credentials.sessions(session, account.id),
            "keys": credentials.keys(session, account.id),
            "kiosks": credentials.kiosks(session, account.unit),
            "has_totp": row is not None and row.totp_since is not None,
            "certificate": (row.certificate or "") if row is not None else "",
            "shown": verified_subject(request, services.settings.trusted_proxies),
            "has_pin": row is not None and bool(row.pin_hash),
            "changed_at": None if row is None else row.password_changed_at,
            "actions": sorted(ROLES.get(who.role, ())),
            "lasting": _lasting(who),
            "readable": readable,
        }
    blank = {"key": "", "qr": "", "address": "", "error": ""}
    page = screens.page(
        request, "security.html", 422 if shown.get("error") else 200, who=who, at=now, days=credentials.PASSWORD_DAYS, **context, **blank | shown
    )
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def _back() -> Response:
    return RedirectResponse("/me/security", 303)


@router.get("")
def overview(request: Request, screens: ScreensOf, services: ServicesOf, who: Asker) -> Response:
    """Everything about one's own sign-in."""
    return _page(request, screens, services, who)


def _proven(services: Services, who: Principal, password: str) -> str:
    """Why this is not his password, "" when it is: whoever finds an open browser changes nothing of the sign-in."""
    if who.account is None:
        raise ProblemError(403, "这里只供本人使用。", code="no_account")
    try:
        sessions.reprove(services.db, who.account, password, services.clock(), services.settings.limits)
    except sessions.SignInRefusedError as refused:
        return str(refused)
    return ""


def _lasting(who: Principal) -> bool:
    """Whether he may leave something behind that outlives his sign-in; neither a visit nor an emergency may."""
    return not who.visitor and who.emergency_until is None


def _require_lasting(who: Principal) -> None:
    if not _lasting(who):
        raise ProblemError(403, "访客和应急授权期间不能生成密钥或设终端。", code="not_lasting")


@router.post("/password")
def password(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Asker, old: Secret = "", new: Secret = "", again: Secret = ""
) -> Response:
    """A new password; all sessions end, this one too."""
    error = _proven(services, who, old) or ("" if new == again else "两次输入的新密码不一样。")
    if not error:
        try:
            with services.db.write() as session:
                accounts.set_password(session, own(session, who), new, services.clock())
        except credentials.WeakPasswordError as weak:
            error = str(weak)
    return _page(request, screens, services, who, error=error) if error else RedirectResponse("/login?said=password", 303)


@router.post("/pin")
def pin(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Asker, old: Secret = "", new: Annotated[str, Form(max_length=12)] = ""
) -> Response:
    """A PIN for acting at a terminal; the password says that it is he himself who sets it."""
    error = _proven(services, who, old)
    if not error:
        try:
            with services.db.write() as session:
                accounts.set_pin(session, own(session, who), new, services.clock())
        except credentials.WeakPasswordError as weak:
            error = str(weak)
    return _page(request, screens, services, who, error=error) if error else _back()


@router.post("/certificate")
def certificate(request: Request, screens: ScreensOf, services: ServicesOf, who: Asker, old: Secret = "") -> Response:
    """Bind the client certificate that this browser has just shown to the proxy to one's own account, or, when it shows none, let go of it."""
    subject = verified_subject(request, services.settings.trusted_proxies)
    error = _proven(services, who, old)
    if not error:
        with services.db.write() as session:
            bound = accounts.set_certificate(session, own(session, who), subject, services.clock())
        error = "" if bound else "这张证书已经属于另一个账号。"
    return _page(request, screens, services, who, error=error) if error else _back()


@router.post("/totp")
def enrol(request: Request, screens: ScreensOf, services: ServicesOf, who: Asker, old: Secret = "") -> Response:
    """A new secret as a QR code, shown once; it counts after its first code, and until then the one before."""
    if error := _proven(services, who, old):
        return _page(request, screens, services, who, error=error)
    with services.db.write() as session:
        address = credentials.enrol(session, own(session, who), services.clock())
    qr = segno.make(address, error="m").svg_inline(scale=5, dark="#000", light="#fff")
    return _page(request, screens, services, who, qr=qr, address=address)


@router.post("/totp/confirm")
def confirm(request: Request, screens: ScreensOf, services: ServicesOf, who: Asker, code: Annotated[str, Form(max_length=8)] = "") -> Response:
    """The first code switches the second factor on."""
    with services.db.write() as session:
        done = credentials.confirm(session, own(session, who), code, services.clock())
    return _back() if done else _page(request, screens, services, who, error="动态码不对，请重新登记后再试。")


@router.post("/revoke")
def revoke(services: ServicesOf, who: Asker, public: Short = "") -> Response:
    """End one of one's sessions, or all of them."""
    with services.db.write() as session:
        credentials.revoke(session, own(session, who), public, services.clock())
    return _back()


@router.post("/key")
async def make_key(request: Request, screens: ScreensOf, services: ServicesOf, who: Asker) -> Response:
    """A key with some of one's own actions, shown this once."""
    _require_lasting(who)
    form = await request.form()
    chosen = [action for action in form.getlist("actions") if isinstance(action, str) and action in ROLES.get(who.role, ())]
    name, days = str(form.get("name", "")).strip(), str(form.get("days", "90"))
    if not name or not days.isascii() or not days.isdigit() or not 1 <= int(days) <= credentials.LONGEST_KEY_DAYS:
        raise invalid("请填写名称和 1 至 366 天的期限。", "name", "required")
    with services.db.write() as session:
        key = credentials.make_key(session, own(session, who), name=name, actions=chosen, days=int(days), now=services.clock())
    return _page(request, screens, services, who, key=key)


@router.post("/key/revoke")
def revoke_key(services: ServicesOf, who: Asker, key: Annotated[int, Form(ge=1)]) -> Response:
    """End a key."""
    with services.db.write() as session:
        credentials.revoke_key(session, own(session, who), key, services.clock())
    return _back()


@router.post("/terminal")
def make_terminal(request: Request, services: ServicesOf, who: Asker, name: Short = "") -> Response:
    """Turn this browser into a terminal of one's unit: it reads, has no time-out, and whoever wants to act signs in on top."""
    check(who, Action.VIEW)
    _require_lasting(who)
    if not name.strip():
        raise invalid("请填写终端名称。", "name", "required")
    with services.db.write() as session:
        token = credentials.make_kiosk(session, own(session, who), name=name.strip(), now=services.clock())
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(TERMINAL, token, httponly=True, samesite="strict", secure=secure, path="/", max_age=10 * 365 * 86_400)
    return answer


@router.post("/terminal/end")
def end_terminal(services: ServicesOf, who: Asker, terminal: Annotated[int, Form(ge=1)]) -> Response:
    """End a terminal of one's unit."""
    with services.db.write() as session:
        credentials.end_kiosk(session, own(session, who), terminal, services.clock())
    return _back()
