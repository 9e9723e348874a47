"""Whether a provider takes our messages at all: seen in the outbox alone, so that it holds over restarts and for every process that looks."""

from collections.abc import Iterable

from sqlalchemy import Select, and_, distinct, func, or_, select
from sqlalchemy.orm import Session

from server.notify.throttle import THROTTLED
from server.store.tables import Notification

AFTER_MS = 60_000
_TRIES, _PHONES, _LOST_PHONES = 3, 2, 3
_LATELY_MS = 86_400_000
_IN_DOUBT_MS = 30_000
"""A refusal comes with the answer to the request; what was given up so long after it was looked for in vain."""
_GIVEN_UP = ("failed", "dropped")
_KEPT, _KEPT_MS = ("accepted", "scheduled", "queued"), 10 * 60_000
"""Words of a provider that has not handed a message on; a long code sends one a second, so some minutes of it are no outage."""


def outages(session: Session, channels: Iterable[str], now: int, *, tell: Iterable[str] = ()) -> dict[str, int]:
    """Channels by which nothing has gone since something failed a minute ago or earlier, and since when (UTC ms).

    One message is enough while it is still tried: at night there may be only one to be told. Of what was given up one refusal may be the number's
    fault: there it takes two numbers, three tries, or a look for it in vain. It holds until something is sent: that nobody tried is no recovery.
    Of channels that `tell` what became of a text: also those that take everything and deliver nothing, to three numbers one after the other, or that
    keep it to themselves.
    """
    found = {channel: since for channel in tell if (since := _undelivered(session, channel, now)) is not None}
    for channel in channels:
        mine = Notification.channel == channel
        sent = session.scalar(select(func.max(Notification.sent_at)).where(mine)) or 0
        tried = and_(
            mine, Notification.created_at > sent, Notification.attempts > 0, Notification.error.not_in(("", THROTTLED)),
            Notification.state.in_(("queued", "claimed", *_GIVEN_UP)),
        )  # fmt: skip
        facts = func.min(Notification.created_at), func.sum(Notification.attempts), func.count(distinct(Notification.phone))
        since, tries, phones = session.execute(select(*facts).where(tried)).one()
        if since is None or now - since < AFTER_MS:
            continue
        if tries >= _TRIES or phones >= _PHONES or _in_vain(session, select(Notification.id).where(tried), now):
            found[channel] = int(since)
    return found


def _in_vain(session: Session, tried: Select[int], now: int) -> bool:
    """Whether one of the messages is still tried after a minute, or was given up without a refusal."""
    waits = and_(Notification.state.not_in(_GIVEN_UP), Notification.created_at <= now - AFTER_MS)
    lost = and_(Notification.state == "failed", Notification.due - Notification.claimed_at >= _IN_DOUBT_MS)
    return session.scalar(tried.where(or_(waits, lost)).limit(1)) is not None


def _undelivered(session: Session, channel: str, now: int) -> int | None:
    """Since when nothing that a channel took has arrived: it says so, or still keeps it long after it took it."""
    kept = and_(Notification.state == "sent", Notification.receipt.in_(_KEPT), Notification.sent_at <= now - _KEPT_MS)
    lost = select(Notification.phone, Notification.sent_at).where(Notification.channel == channel, or_(Notification.state == "undelivered", kept))
    rows = session.execute(lost.where(Notification.sent_at > now - _LATELY_MS)).all()
    if len({phone for phone, _ in rows}) < _LOST_PHONES:
        return None
    arrived = select(func.max(Notification.sent_at)).where(Notification.channel == channel, Notification.state == "delivered")
    last = session.scalar(arrived.where(Notification.sent_at > now - _LATELY_MS)) or 0
    since = {phone: sent for phone, sent in rows if sent is not None and sent > last}
    return min(since.values()) if len(since) >= _LOST_PHONES else None
