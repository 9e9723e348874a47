"""Acting at a terminal, whose board belongs to nobody: whoever acts proves on the spot who he is, for this one act, by PIN or certificate."""

from fastapi import Request

from server.org import accounts
from server.store import audit, units
from server.web import problems
from server.web.auth import Principal
from server.web.problems import ProblemError
from server.web.services import Services
from server.web.whence import verified_subject

ACTS = ("acknowledge", "decline", "progress", "assist", "comment", "reset")
"""What can be done at a terminal; what weakens the watch needs a sign-in."""


def person_at(services: Services, request: Request, terminal: Principal, login: str, pin: str) -> Principal:
    """Who acts: the asker himself, or at a terminal whoever proves to be there. Raises ProblemError 403, or 429 while his account is locked."""
    if terminal.role != "kiosk":
        return terminal
    now = services.clock()
    subject = verified_subject(request, services.settings.trusted_proxies)
    try:
        if subject and not login:
            found = accounts.holder(services.db, subject, now)
        else:
            found = accounts.vouch(services.db, login.strip(), pin, now, services.settings.limits, by_pin=True)
    except accounts.SignInRefusedError as refusal:
        locked = refusal.locked_until is not None
        raise ProblemError(429 if locked else 403, str(refusal), code="pin_refused") from refusal
    with services.db.read() as session:
        reaches = terminal.unit is not None and units.within(session, terminal.unit, found.unit)
    if not reaches or found.visitor or found.duty:
        raise ProblemError(403, problems.NO_RIGHT, code="pin_refused")
    audit.origin().unit = found.unit
    return Principal(name=found.name, role=found.role, unit=found.unit, account=found.account, login=found.login, session=terminal.session)
