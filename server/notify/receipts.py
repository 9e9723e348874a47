"""What became of a message after the provider accepted it: status callbacks and polling, in any order and any number of times.

A status only moves a message forward (RANK), a final one stays. Escalation does not listen to this: it runs by its own timer (reliability.md F70),
because a receipt may come late or never.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.notify.channels import Channel, ChannelError, Failure, Receipt
from server.notify.expand import Count
from server.store.session import Database
from server.store.tables import Notification

log = logging.getLogger("server.notify")

FINAL = 3
UNHANDLED = 0
_BEFORE = {"accepted": 0, "scheduled": 0, "queued": 0, "sending": 1, "sent": 2}
RANK: Mapping[str, int] = MappingProxyType(
    {**_BEFORE, "delivered": FINAL, "undelivered": FINAL, "failed": FINAL, "canceled": FINAL, "read": FINAL + 1}
)
_STATE: Mapping[str, str] = MappingProxyType(
    {"delivered": "delivered", "read": "delivered", "undelivered": "undelivered", "failed": "undelivered", "canceled": "undelivered"}
)
_PAUSE_MS, _LONGEST_PAUSE_MS = 5_000, 300_000
_GIVE_UP_MS = 24 * 3_600_000
_BATCH = 50


def apply_receipt(session: Session, provider_id: str, status: str, error_code: int | str | None, now: int) -> str:
    """Apply one status report. Returns the result: applied | repeated | stale | unknown_message | unknown_status.

    Idempotent by (provider id, status) and monotonic; delivered and undelivered are final. The caller has checked the signature and counts.
    """
    rank = RANK.get(status)
    if rank is None:
        return "unknown_status"
    query = select(Notification).where(Notification.provider_id == provider_id).with_for_update()
    row = session.scalar(query) if provider_id else None
    if row is None:
        return "unknown_message"
    if row.receipt == status:
        return "repeated"
    known = RANK.get(row.receipt, -1)
    if rank <= known or (known >= FINAL and not (row.receipt == "delivered" and status == "read")):
        return "stale"
    row.receipt, row.receipt_at = status, now
    row.state = _STATE.get(status, row.state)
    if row.state == "undelivered":
        row.claimed_until = UNHANDLED  # the dispatcher takes the next channel
        row.error = f"未送达（{error_code}）" if error_code else "未送达"
    return "applied"


class Poller:
    """Asks channels for the receipts that no callback has brought; the pace slows down with the age of a message."""

    def __init__(self, db: Database, channels: Mapping[str, Channel], count: Count) -> None:
        self._db, self._count = db, count
        self._channels = {name: channel for name, channel in channels.items() if channel.abilities.receipts}
        self._next: dict[int, int] = {}

    def run_once(self, now: int) -> int:
        """Ask for what is due, at most 50 messages. Returns the number of reports that changed something."""
        applied = 0
        for ident, channel, provider_id, sent_at in self._due(now):
            self._next[ident] = now + min(max((now - sent_at) // 2, _PAUSE_MS), _LONGEST_PAUSE_MS)
            try:
                receipt = self._channels[channel].fetch(provider_id)
            except ChannelError as error:
                log.info("channel %s: no receipt of %s: %s", channel, provider_id, error)
                if error.failure is not Failure.PERMANENT:
                    break  # the provider has trouble: do not wait for it once per message
            else:
                applied += self._apply(channel, receipt, now)
        return applied

    def _due(self, now: int) -> list[tuple[int, str, str, int]]:
        columns = (Notification.id, Notification.channel, Notification.provider_id, Notification.sent_at)
        query = select(*columns).where(Notification.state == "sent", Notification.sent_at > now - _GIVE_UP_MS)
        with self._db.read() as session:
            rows = session.execute(query.where(Notification.channel.in_(self._channels)).order_by(Notification.id)).all()
        self._next = {row[0]: self._next[row[0]] for row in rows if row[0] in self._next}
        found = ((ident, channel, provider_id, sent_at or now) for ident, channel, provider_id, sent_at in rows)
        return [row for row in found if self._next.get(row[0], row[3] + _PAUSE_MS) <= now][:_BATCH]

    def _apply(self, channel: str, receipt: Receipt, now: int) -> int:
        with self._db.write() as session:
            result = apply_receipt(session, receipt.provider_id, receipt.status, receipt.error_code, now)
        if result == "applied" and RANK[receipt.status] >= FINAL:
            self._count(channel, _STATE[receipt.status])
        return int(result == "applied")
