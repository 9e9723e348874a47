"""Whether a provider takes our messages at all: seen in the outbox alone, so that it holds over restarts and for every process that looks."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.store.tables import Notification

AFTER_MS = 60_000
TRIES = 3
_RECENT_MS = 15 * 60_000


def outages(session: Session, channels: Iterable[str], now: int) -> dict[str, int]:
    """Channels that have failed for a minute and several tries with nothing sent since, and since when (UTC ms)."""
    found = {}
    for channel in channels:
        mine = Notification.channel == channel
        tried = select(func.min(Notification.created_at), func.sum(Notification.attempts)).where(
            mine, Notification.state.in_(("queued", "claimed", "failed")), Notification.attempts > 0, Notification.error != "",
            Notification.created_at > now - _RECENT_MS,
        )  # fmt: skip
        sent = session.scalar(select(func.max(Notification.sent_at)).where(mine)) or 0
        since, tries = session.execute(tried.where(Notification.created_at > sent)).one()
        if since is not None and now - since >= AFTER_MS and (tries or 0) >= TRIES:
            found[channel] = int(since)
    return found
