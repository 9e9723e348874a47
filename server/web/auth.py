"""Who is asking: a browser by its session cookie, a program by its bearer key. And what that lets him see."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from server.org import credentials, gateway_access, sessions
from server.store import alarms as alarm_queries
from server.store import audit, units
from server.store import gateway_access as gateway_queries
from server.store.tables import Alarm
from server.web import problems, rights
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.services import Services

COOKIE = "aw_session"
TERMINAL = "aw_terminal"
DUTY_PATHS = ("/me/security", "/logout", "/api/v1/session")
DUTIES = {"password": "请先更换密码。", "totp": "管理员请先登记动态码验证器。"}
"""What somebody must do before anything else; only the pages for it are open to him."""
_LOOKING = ("/roles/view-as/end", "/logout", "/api/v1/session")
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The asker. `unit` is the top of what he may see, None for all; `account` is None for programs."""

    name: str
    role: str
    unit: str | None
    account: int | None = None
    login: str = ""
    expires_at: int | None = None
    session: str = ""
    """Public part of the session's or key's hash: enough to tell one from another in the audit log, useless to sign in with."""

    only: frozenset[str] | None = None
    """A key's actions: never more than its owner's role has."""
    duty: str = ""
    visitor: bool = False
    own_role: str = ""
    """Set while he looks around as another role: he sees what it sees and changes nothing."""
    emergency_until: int | None = None

    def may(self, action: Action) -> bool:
        """Whether his role has an action."""
        return rights.allows(self.role, action) and (self.only is None or action in self.only)

    def offers(self, action: Action) -> bool:
        """Whether he may, or somebody may at this terminal who proves who he is (in_place.py)."""
        return self.may(action) or (self.role == "kiosk" and action in rights.AT_TERMINAL)


async def services(request: Request) -> Services:
    """The services of the application that serves this request. No thread's work, like all dependencies that only look: a hop costs more."""
    return services_of(request)


def services_of(request: Request) -> Services:
    """The same for whoever is no dependency."""
    found: Services = request.app.state.services
    return found


ServicesOf = Annotated[Services, Depends(services)]


def principal(request: Request) -> Principal:
    """The asker. Raises ProblemError 401."""
    found = principal_or_none(request)
    if found is None:
        raise ProblemError(401, "请先登录，或附上有效的密钥。", headers={"WWW-Authenticate": "Bearer"})
    if found.duty and not request.url.path.startswith(DUTY_PATHS):
        raise ProblemError(403, DUTIES[found.duty], code=f"first_{found.duty}")
    if found.own_role and request.method not in _SAFE and request.url.path not in _LOOKING:
        raise ProblemError(403, "正在以别的角色查看，只能看不能改。先结束查看。", code="viewing_as")
    origin = audit.origin()
    origin.session, origin.unit = found.session, found.unit or ""
    return found


def principal_or_none(request: Request, *, active: bool = True) -> Principal | None:
    """The asker, None for a stranger. `active` False when nobody does anything: a stream that is still open."""
    provided = services_of(request)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        digest = provided.settings.digest(key.strip())
        token = provided.settings.tokens.get(digest)
        if token is None:
            return _by_gateway(provided, key.strip()) if key.startswith(gateway_access.TOKEN_PREFIX) else _by_key(provided, key.strip())
        return Principal(name=token.name, role=token.role, unit=token.unit, session=digest[:12])
    cookie = request.cookies.get(COOKIE)
    who = sessions.identify(provided.db, cookie, provided.clock(), provided.settings.limits, active=active) if cookie else None
    if who is None or not cookie:
        return _by_terminal(provided, request.cookies.get(TERMINAL, ""))
    if who.view_role and rights.allows(who.role, Action.VIEW_AS):
        return Principal(
            name=who.name, role=who.view_role, unit=who.view_unit, account=who.account, login=who.login, expires_at=who.expires_at,
            session=provided.settings.digest(cookie)[:12], only=rights.as_role(who.role, who.view_role), own_role=who.role, duty=who.duty,
        )  # fmt: skip
    return Principal(
        name=who.name, role=who.role, unit=who.unit, account=who.account, login=who.login, expires_at=who.expires_at,
        session=provided.settings.digest(cookie)[:12], duty=who.duty, visitor=who.visitor, emergency_until=who.emergency_until,
    )  # fmt: skip


def _by_key(provided: Services, key: str) -> Principal | None:
    with provided.db.read() as session:
        found = credentials.key_owner(session, key, provided.clock())
        if found is None:
            return None
        row, owner = found
        return Principal(
            name=f"{row.name}（{owner.display_name}）", role=owner.role, unit=row.unit, only=frozenset(row.actions), session=row.digest[:12]
        )


def _by_gateway(provided: Services, key: str) -> Principal | None:
    with provided.db.read() as session:
        digest = provided.settings.digest(key)
        code = gateway_queries.of_token(session, digest)
        return None if code is None else Principal(name=code, role="gateway", unit=None, session=digest[:12])


def _by_terminal(provided: Services, token: str) -> Principal | None:
    if not token:
        return None
    with provided.db.read() as session:
        row = credentials.kiosk(session, token)
        return None if row is None else Principal(name=row.name, role="kiosk", unit=row.unit, session=row.digest[:12])


@dataclass(frozen=True, slots=True)
class Require:
    """Dependency: the asker, who must have an action. `action` can be read off a route: the rights test walks all of them."""

    action: Action

    async def __call__(self, who: Annotated[Principal, Depends(principal)]) -> Principal:
        """The asker. Raises ProblemError 401 or 403."""
        return check(who, self.action)


def check(who: Principal, action: Action) -> Principal:
    """The asker again. Raises ProblemError 403 when he may not."""
    if not who.may(action):
        raise ProblemError(403, problems.NO_ACTION)
    return who


def require(action: Action) -> Require:
    """The dependency that asks for an action."""
    return Require(action)


def require_unit(session: Session, who: Principal, code: str) -> None:
    """Refuse a unit outside the asker's subtree. Raises ProblemError 404 or 403."""
    if not units.path(session, code):
        raise ProblemError(404, "没有这个单位。")
    if not units.within(session, code, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)


def require_room(provided: Services, who: Principal, code: str) -> None:
    """Refuse a room that does not exist or lies outside the asker's subtree. Raises ProblemError 404 or 403."""
    path = provided.board.room_path(code)
    if not path:
        raise ProblemError(404, "没有这间库房。")
    if who.unit is not None and who.unit not in path:
        raise ProblemError(403, problems.NO_RIGHT)


def require_alarm(session: Session, who: Principal, ident: int) -> Alarm:
    """An alarm that the asker may see. Raises ProblemError 404 or 403."""
    alarm = alarm_queries.get(session, ident) if ident < 1 << 63 else None
    if alarm is None:
        raise ProblemError(404, "没有这条告警。")
    if not units.within(session, alarm.unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return alarm
