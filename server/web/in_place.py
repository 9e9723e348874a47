"""Acting at a terminal, whose board belongs to nobody: whoever acts proves on the spot who he is, for this one act, by PIN or certificate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from server.org import sessions
from server.store import audit, units
from server.web import problems
from server.web.auth import Principal, principal
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.services import Services
from server.web.whence import verified_subject


@dataclass(frozen=True, slots=True)
class Acting:
    """Dependency: the asker, who must have an action, or a terminal at which somebody may prove that he has (then `person_at` asks who)."""

    action: Action

    async def __call__(self, who: Annotated[Principal, Depends(principal)]) -> Principal:
        """The asker. Raises ProblemError 401 or 403."""
        if not who.offers(self.action):
            raise ProblemError(403, problems.NO_ACTION)
        return who


def person_at(services: Services, request: Request, asker: Principal, form: Mapping[str, Any], action: Action) -> Principal:
    """Who acts: the asker himself, or at a terminal whoever proves to be there (`actor_login`, `actor_pin`) and may do this.

    Raises ProblemError 403, or 429 while his PIN is locked.
    """
    if asker.role != "kiosk":
        return asker
    found = _proven(services, request, str(form.get("actor_login", ""))[:60].strip(), str(form.get("actor_pin", ""))[:12])
    with services.db.read() as session:
        reaches = asker.unit is not None and units.within(session, asker.unit, found.unit)
    if not reaches or found.visitor or found.duty:
        raise ProblemError(403, problems.NO_RIGHT, code="pin_refused")
    person = Principal(name=found.name, role=found.role, unit=found.unit, account=found.account, login=found.login, session=asker.session)
    if not person.may(action) or not asker.offers(action):
        raise ProblemError(403, problems.NO_ACTION)
    audit.origin().unit = found.unit
    return person


def _proven(services: Services, request: Request, login: str, pin: str) -> sessions.Identity:
    now = services.clock()
    subject = verified_subject(request, services.settings.trusted_proxies)
    if not login and not subject:
        raise ProblemError(403, "请填写自己的登录名和 PIN。", code="pin_refused")
    try:
        if subject and not login:
            return sessions.holder(services.db, subject, now)
        return sessions.vouch_by_pin(services.db, login, pin, now, services.settings.limits)
    except sessions.SignInRefusedError as refusal:
        locked = refusal.locked_until is not None
        raise ProblemError(429 if locked else 403, str(refusal), code="pin_refused") from refusal
