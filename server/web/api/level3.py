"""等保三级 self-check, as evidence."""

from typing import Annotated, Any

from fastapi import Depends, Response

from server.org import chain_check, level3
from server.store import audit
from server.web.api.common import PROBLEMS
from server.web.auth import Principal, ServicesOf, require
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("audit", refusals=PROBLEMS)

Auditor = Annotated[Principal, Depends(require(Action.AUDIT))]


def running(services: Services) -> level3.Running:
    """What this server says of itself."""
    settings = services.settings
    rates = settings.rates
    return level3.Running(
        limits=settings.limits,
        rates_on=bool(rates.sign_in and rates.requests),
        https=settings.public_url.startswith("https://"),
        certificates=settings.gateway_certificates,
        now=services.clock(),
    )


@router.get("/level3", operation_id="checkLevel3")
def evidence(who: Auditor, response: Response, services: ServicesOf) -> dict[str, Any]:
    """Each line held against the running system; the download is on the audit log."""
    with services.db.read() as session:
        found = level3.document(session, running(services))
    with services.db.write() as session:
        audit.append(session, who.name, "level3_export", "level3", {"chain": found["audit_chain"][:16]}, services.clock())
    response.headers["Content-Disposition"] = 'attachment; filename="level3.json"'
    return found


@router.post("/audit/checks", operation_id="checkAuditChain", status_code=202)
def walk_all(who: Auditor, services: ServicesOf) -> dict[str, Any]:
    """Have the whole audit log walked; one that waits or runs already is the answer. Its result is in `audit_checked` of the self-check."""
    with services.db.write() as session:
        row = chain_check.ask(session, who.name, services.clock())
        return {"asked_at": row.asked_at, "asked_by": row.asked_by, "done": row.done, "total": row.total}
