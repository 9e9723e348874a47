"""How many messages one phone gets: a cap in a window, never for 特急; what is beyond it goes out as one summary. Alarms are never held back."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.notify.situation import CALLS, GONE, wanted
from server.notify.texts import Catalogue
from server.store.tables import Alarm, Notification

Throttle = Callable[[Session, Notification, int], int | None]
"""Asked before a first send: the instant until which a message waits, or None. It must never hold back 特急."""
THROTTLED = "限频，等待汇总"


def cap_per_phone(limit: int, window_ms: int) -> Throttle:
    """At most `limit` messages to one phone within the window, 特急 excepted; the others wait until the oldest has left it."""

    def throttle(session: Session, row: Notification, now: int) -> int | None:
        if row.alarm is None or session.get_one(Alarm, row.alarm).level == "critical":
            return None
        gone = select(Notification.claimed_at).where(Notification.phone == row.phone, Notification.state.in_(GONE))
        recent = session.scalars(gone.where(Notification.claimed_at > now - window_ms).order_by(Notification.claimed_at.desc()).limit(limit)).all()
        return (recent[-1] or now) + window_ms if len(recent) >= limit else None

    return throttle


def summarise(session: Session, row: Notification, texts: Catalogue, now: int) -> None:
    """What was held back for one phone goes out as one message with their number (S15); a single one goes out as it is."""
    same = select(Notification).where(Notification.phone == row.phone, Notification.channel == row.channel, Notification.state == "queued")
    held = session.scalars(same.where(Notification.error == THROTTLED, Notification.id != row.id)).all()
    others = [one for one in held if wanted(session, one)]
    row.error = ""
    if not others or row.alarm is None:
        return
    minutes = max((now - min(one.created_at for one in [row, *others])) // 60_000, 1)
    row.text = texts.summary(minutes, len(others) + 1, row.number)
    row.reason = "summary" if row.reason in CALLS else row.reason
    for one in others:
        one.state, one.text, one.error = "merged", row.text, ""
