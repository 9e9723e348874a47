"""Calls and replies from the provider that act: keys of a voice call, status of a call, replies by SMS. Signed like callbacks.py."""

import logging
from typing import Annotated

from fastapi import Path
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from server.duty import looks
from server.duty.answers import AGAIN, NOT_UNDERSTOOD, Answer
from server.notify.receipts import apply_receipt
from server.store.tables import Alarm, Notification
from server.web import answers
from server.web.auth import ServicesOf
from server.web.callbacks import Signed
from server.web.routers import bare_router
from server.web.services import Services

log = logging.getLogger("server.web")
router = bare_router("callbacks", "/callbacks/voice")


@router.post("/status", include_in_schema=False)
async def status(form: Signed, services: ServicesOf) -> Response:
    """A call has ended, or not begun: the same report any number of times has the same effect."""
    from server.notify.channels.twilio_voice import status_word  # noqa: PLC0415 - the provider's client costs 0.15 s: only where it is used

    def apply() -> str:
        with services.db.write() as session:
            return apply_receipt(session, form.get("CallSid", ""), status_word(form.get("CallStatus", "")), None, services.clock())

    log.info("status report of a call: %s", await run_in_threadpool(apply))
    return Response(status_code=204)


@router.post("/{notification}", include_in_schema=False)
async def key(notification: Annotated[int, Path(ge=1, lt=1 << 63)], form: Signed, services: ServicesOf) -> Response:
    """A key was pressed: 9 reads the text again, the others answer. What is said back is one sentence."""
    from server.notify.channels.twilio_voice import twiml  # noqa: PLC0415

    digits, phone = form.get("Digits", ""), form.get("To", "")
    words, action = await run_in_threadpool(_call, services, notification, phone)
    if digits != str(AGAIN):
        digit = int(digits) if digits in ("1", "2", "3", "4", "5") else None
        sentence = await answers.take(services, phone, Answer(digit), "voice", notification)
        again = sentence in (NOT_UNDERSTOOD, looks.NOT_UNDERSTOOD)
        words, action = sentence, action if again else ""
    return Response(twiml(words, action), media_type="text/xml")


def _call(services: Services, notification: int, phone: str) -> tuple[str, str]:
    """What the call said, and where its keys go. A call of another number says nothing."""
    from server.notify.channels.twilio_voice import spoken  # noqa: PLC0415

    with services.db.read() as session:
        row = session.get(Notification, notification)
        if row is None or row.phone != phone:
            return NOT_UNDERSTOOD, ""
        alarm = session.get(Alarm, row.alarm) if row.alarm is not None else None
        words = spoken(row.text, row.number, reason=row.reason, drill=alarm is not None and alarm.drill)
    return words, f"{services.settings.public_url.rstrip('/')}/callbacks/voice/{notification}"
