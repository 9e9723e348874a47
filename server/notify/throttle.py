"""How many messages one phone gets: a cap in a window, never for 特急 or smoke; the rest goes out as one summary. Alarms are never held back."""

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.orm import Session

from alarms.builtin import ALWAYS_HEARD
from server.notify.situation import CALLS, GONE, wanted
from server.notify.texts import Catalogue
from server.store.tables import Alarm, Notification

THROTTLED = "限频，等待汇总"
_AHEAD = select(func.count()).where(
    Notification.phone == bindparam("to"), Notification.id != bindparam("mine"),
    or_(and_(Notification.state.in_(GONE), Notification.claimed_at > bindparam("after")), Notification.state == "queued"),
)  # fmt: skip
"""Built once, as in rows.py."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` messages to one phone within `window_ms`, 特急 and smoke excepted; the others wait until the oldest has left it."""

    limit: int
    window_ms: int

    def until(self, session: Session, row: Notification, now: int) -> int | None:
        """Asked before a first send, in the transaction that claims it: the instant until which a message waits, or None."""
        if self._never(session, row):
            return None
        gone = select(Notification.claimed_at).where(Notification.phone == row.phone, Notification.state.in_(GONE))
        gone = gone.where(Notification.claimed_at > now - self.window_ms).order_by(Notification.claimed_at.desc())
        recent = session.scalars(gone.limit(self.limit)).all()
        return (recent[-1] or now) + self.window_ms if len(recent) >= self.limit else None

    def is_far(self, session: Session, row: Notification, now: int) -> bool:
        """Whether the cap is not reached even with everything that waits for this phone, so that nothing need be asked when it is claimed."""
        if self._never(session, row):
            return True
        ahead = session.scalar(_AHEAD, {"to": row.phone, "mine": row.id, "after": now - self.window_ms}) or 0
        return ahead < self.limit

    @staticmethod
    def _never(session: Session, row: Notification) -> bool:
        if row.alarm is None:
            return True
        alarm = session.get_one(Alarm, row.alarm)
        return alarm.level == "critical" or alarm.quantity in ALWAYS_HEARD


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
