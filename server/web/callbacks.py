"""Calls from the SMS provider: status reports and replies. Nobody signs in here; the provider's signature over address and form is the key.

The address that counts is the public one that the provider calls, which a proxy in front may have changed: it comes from the settings, never from
the request. Without it, or without the provider's token, these routes answer 404.
"""

import logging
from collections.abc import Mapping
from typing import Annotated
from xml.sax.saxutils import escape

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from server.notify.receipts import apply_receipt
from server.store import replies
from server.store.tables_duty import Reply
from server.web import inbox
from server.web.auth import ServicesOf
from server.web.problems import ProblemError
from server.web.routers import bare_router
from server.web.services import Services

log = logging.getLogger("server.web")
router = bare_router("callbacks", "/callbacks/sms")

STATUS, INBOUND = "/callbacks/sms/status", "/callbacks/sms/inbound"
_EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
Form = Mapping[str, str]


async def signed(request: Request, services: ServicesOf) -> Form:
    """Dependency: the form of a call that the provider has signed. Raises ProblemError 404 when no provider is set up, 403 for a bad signature."""
    from server.notify.channels.twilio_sms import signed_by_provider  # noqa: PLC0415 - the provider's client costs 0.15 s: only where it is used

    settings = services.settings
    if not settings.provider_token or not settings.public_url:
        raise ProblemError(404, "没有配置短信服务商的回调。")
    posted = await request.form()
    form = {name: [value for value in posted.getlist(name) if isinstance(value, str)] for name in posted}
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"{settings.public_url.rstrip('/')}{request.url.path}{query}"
    if not signed_by_provider(settings.provider_token, url, form, request.headers.get("x-twilio-signature")):
        log.warning("refused a call of the SMS provider with a wrong signature on %s", request.url.path)
        raise ProblemError(403, "签名不对。", code="bad_signature")
    return {name: values[0] if values else "" for name, values in form.items()}


Signed = Annotated[Form, Depends(signed)]


@router.post("/status", include_in_schema=False)
async def status(form: Signed, services: ServicesOf) -> Response:
    """A status report; the same one any number of times, in any order, has the same effect."""

    def apply() -> str:
        with services.db.write() as session:
            sid, error = form.get("MessageSid", ""), form.get("ErrorCode")
            return apply_receipt(session, sid, form.get("MessageStatus", ""), error, services.clock())

    result = await run_in_threadpool(apply)
    log.info("status report of the SMS provider: %s", result)
    return Response(status_code=204)


@router.post("/inbound", include_in_schema=False)
async def inbound(form: Signed, services: ServicesOf) -> Response:
    """A reply by SMS: on the record once, then it acts like any other answer; what became of it is texted back."""
    row = await run_in_threadpool(_taken, form, services)
    if row is None:
        return Response(_EMPTY, media_type="text/xml")
    sentence = await inbox.act(services, row)
    return Response(_EMPTY.replace("<Response>", f"<Response><Message>{escape(sentence)}</Message>"), media_type="text/xml")


def _taken(form: Form, services: Services) -> Reply | None:
    """The reply, on record now; None when it was before."""
    now = services.clock()
    with services.db.write() as session:
        ident = replies.take(session, form.get("MessageSid", ""), form.get("From", ""), form.get("Body", ""), now, now)
    with services.db.read() as session:
        return session.get(Reply, ident) if ident is not None else None
