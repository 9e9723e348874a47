"""From the outbox to the provider, once: claim, send outside any transaction, record; after any doubt look up before sending again.

    queued --claim--> claimed --send--> sent              the provider's id is stored
                         | certainly not processed        -> queued, later
                         | will never work                -> failed; next channel, else next person at once
                         | in doubt, or we died           -> look up: found -> sent; not found for the grace period -> send again

A claim is a conditional update that sets `claimed_until`; that instant is also the fencing token under which the outcome is recorded, so a worker
that comes back from a long stall changes nothing. The look-up searches from the creation of the message, which is before any attempt.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Update, select, update
from sqlalchemy.orm import Session, aliased

from server.notify import receipts
from server.notify.channels import Channel, ChannelError, Failure, Message, Receipt
from server.notify.expand import Count
from server.notify.fallback import Fallback
from server.notify.receipts import FINAL, RANK
from server.notify.rows import changed
from server.notify.situation import wanted
from server.notify.texts import Catalogue, default_texts
from server.notify.throttle import THROTTLED, Cap, summarise
from server.store.session import Database
from server.store.tables import Alarm, Notification
from server.store.together import Together

log = logging.getLogger("server.notify")

Clock = Callable[[], int]
_TWIN = aliased(Notification)
_KNOWN = 500
_BUSY_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """Times in ms. `claim_ms` must be longer than a channel's own timeout; `grace_ms` longer than a provider may take over an accepted request."""

    claim_ms: int = 30_000
    grace_ms: int = 60_000
    lookup_every_ms: int = 5_000
    backoff_ms: int = 2_000
    backoff_max_ms: int = 60_000
    fallback_ms: int = 120_000
    validity_ms: int = 4 * 3_600_000


class Claim(NamedTuple):
    """A notification that is ours until `until`. mode: send it, or look it up first."""

    channel: Channel
    mode: Literal["send", "lookup"]
    message: Message
    until: int
    attempted_at: int
    before: int | None = None
    """Until when the claim lasted that this one follows."""


class Sender:
    """Delivers one notification at a time; used from several threads. `channels` in order of preference."""

    def __init__(
        self, db: Database, channels: dict[str, Channel], settings: SendSettings, count: Count, throttle: Cap | None = None,
        texts: Catalogue | None = None,
    ) -> None:  # fmt: skip
        self._db, self._channels, self._settings, self._count, self._throttle = db, channels, settings, count, throttle
        self._together = Together(db)
        self._texts, self._fallback = texts or default_texts(), Fallback(channels)

    def deliver(self, ident: int, clock: Clock) -> bool:
        """Take one notification a step on. False when it was not due any more or belongs to another worker."""
        now = clock()
        with self._db.read() as session:
            plain = self._plain(session, ident, now)
        if plain is None:
            with self._db.write() as session:
                claim = self._claim(session, ident, now)
        else:
            claim = self._together.write(lambda session: plain if changed(session, _taking(plain)) else False)
        if isinstance(claim, bool):
            return claim
        if claim.mode == "send":
            self._send(claim, clock)
        else:
            self._look_up(claim, clock)
        return True

    # -- claim --------------------------------------------------------------------------------------------------------------------------

    def _claim(self, session: Session, ident: int, now: int) -> Claim | bool:
        """The claim; or whether the row was dealt with otherwise."""
        row = session.get(Notification, ident)
        if row is None or not is_due(row, now):
            return False
        if self._set_aside(session, row, now):
            return True
        mode: Literal["send", "lookup"] = "send" if row.state == "queued" else "lookup"
        if mode == "send" and not self._channels[row.channel].abilities.tells_apart and (others := _under_way(session, row)):
            in_doubt = any(error for error in others)
            if in_doubt:  # aside for a moment, or a dozen of them would keep the calls to other telephones away
                row.due = now + _BUSY_MS
            return in_doubt
        claim = self._made(session, row, mode, now)
        return claim if changed(session, _taking(claim)) else False

    def _plain(self, session: Session, ident: int, now: int) -> Claim | None:
        """A claim that asks for no look at other messages, read without the writers' turn: a call that is not wanted any more is dropped by whoever
        takes the alarm over, so that taking it fails then."""
        row = session.get(Notification, ident)
        if row is None or row.state != "queued" or row.due > now or row.channel not in self._channels or row.error == THROTTLED:
            return None
        if not self._channels[row.channel].abilities.tells_apart or not self._worth(session, row, now):
            return None
        if self._throttle is not None and not self._throttle.is_far(session, row, now):
            return None
        return self._made(session, row, "send", now)

    def _made(self, session: Session, row: Notification, mode: Literal["send", "lookup"], now: int) -> Claim:
        attempted_at = now if mode == "send" else row.claimed_at or row.created_at
        message = self._message(session, row, now)
        return Claim(self._channels[row.channel], mode, message, now + self._settings.claim_ms, attempted_at, row.claimed_until)

    def _set_aside(self, session: Session, row: Notification, now: int) -> bool:
        """Deal with what is not to be sent, or not now."""
        if row.channel not in self._channels and (named := self._fallback.first(row.channel)) is not None:
            row.channel = named
            return True
        if row.channel not in self._channels:
            self._give_up(session, row, "通道已停用", now)
            return True
        if row.state != "queued":
            return False
        if not self._worth(session, row, now):
            self._discard(session, row, now)
            return True
        later = self._throttle.until(session, row, now) if self._throttle is not None else None
        if later is not None:
            row.due, row.error = later, THROTTLED
            self._count(row.channel, "throttled")
        elif row.error == THROTTLED:
            summarise(session, row, self._texts, now)
        return later is not None

    def _worth(self, session: Session, row: Notification, now: int) -> bool:
        return wanted(session, row) and now - row.created_at < self._settings.validity_ms

    def _message(self, session: Session, row: Notification, now: int) -> Message:
        alarm = session.get(Alarm, row.alarm) if row.alarm is not None else None
        others = select(Notification.provider_id).where(Notification.phone == row.phone, Notification.provider_id != "")
        return Message(
            id=row.id, phone=row.phone, text=row.text, number=row.number, since=row.created_at, now=now,
            validity_s=max(row.created_at + self._settings.validity_ms - now, 1000) // 1000,
            level=alarm.level if alarm is not None else "", reason=row.reason, drill=alarm.drill if alarm is not None else False,
            known=frozenset(session.scalars(others.order_by(Notification.id.desc()).limit(_KNOWN))),
        )  # fmt: skip

    def _discard(self, session: Session, row: Notification, now: int) -> None:
        """Not sent and not wanted any more, or too late to be worth sending."""
        if wanted(session, row):
            self._give_up(session, row, "过了有效期仍未发出", now)
        else:
            row.state, row.claimed_until = "dropped", None
            self._count(row.channel, "dropped")

    # -- act ------------------------------------------------------------------------------------------------------------------------------

    def _send(self, claim: Claim, clock: Clock) -> None:
        if clock() >= claim.until:
            return  # stalled so long that another worker may have it; whoever takes the claim over looks up first
        try:
            receipt = claim.channel.send(claim.message)
        except ChannelError as error:
            self._failed(claim, error, clock())
        except Exception:
            log.exception("channel %s: notification %d", claim.channel.name, claim.message.id)
            self._failed(claim, ChannelError("通道程序出错", Failure.AMBIGUOUS), clock())
        else:
            self._sent(claim, receipt, clock(), "sent")

    def _look_up(self, claim: Claim, clock: Clock) -> None:
        started = clock()
        found: Receipt | None = None
        try:
            found = claim.channel.lookup(claim.message) if claim.channel.abilities.lookup else None
        except ChannelError as error:
            self._in_doubt(claim, str(error), clock())
            return
        except Exception:
            log.exception("channel %s: look-up of notification %d", claim.channel.name, claim.message.id)
            self._in_doubt(claim, "查询程序出错", clock())
            return
        if found is not None and self._sent(claim, found, clock(), "found"):
            return
        if started - claim.attempted_at < self._settings.grace_ms:
            self._wait(claim, started)
        elif (again := self._reclaim(claim, clock())) is not None:
            self._send(again, clock)

    # -- record -----------------------------------------------------------------------------------------------------------------------------

    def _sent(self, claim: Claim, receipt: Receipt, now: int, result: str) -> bool:
        """Store the provider's id. False when another message already has it: then this one was not found after all."""
        taken = self._together.write(lambda session: self._record(session, claim, receipt, now))
        if taken:
            self._count(claim.channel.name, result)
        return taken

    @staticmethod
    def _record(session: Session, claim: Claim, receipt: Receipt, now: int) -> bool:
        other = select(_TWIN.id).where(_TWIN.provider_id == receipt.provider_id, _TWIN.id != claim.message.id)
        values = {"state": "sent", "sent_at": now, "provider_id": receipt.provider_id, "claimed_until": None, "error": ""}
        if RANK.get(receipt.status, FINAL) < FINAL:  # nearly all: one statement, behind which the alarms wait
            first = _held(claim).where(Notification.receipt == "", ~other.exists())
            if changed(session, first.values(**values, receipt=receipt.status, receipt_at=now)):
                return True
        if session.scalar(other.limit(1)) is not None:
            log.error("notification %d: %s is already the id of another one", claim.message.id, receipt.provider_id)
            return False
        if not changed(session, _held(claim).values(**values)):
            log.error("notification %d was sent as %s after its claim was lost", claim.message.id, receipt.provider_id)
        receipts.apply_receipt(session, receipt.provider_id, receipt.status, receipt.error_code, now)
        return True

    def _failed(self, claim: Claim, error: ChannelError, now: int) -> None:
        log.warning("channel %s: notification %d: %s", claim.channel.name, claim.message.id, error)
        if error.failure is Failure.AMBIGUOUS:
            self._in_doubt(claim, str(error), now)
            return
        with self._db.write() as session:
            row = _own(session, claim)
            if row is None:
                return
            long_enough = now - row.created_at >= self._settings.fallback_ms
            if error.failure is Failure.PERMANENT or (long_enough and self._fallback.following(session, row) is not None):
                self._give_up(session, row, str(error), now)
            else:
                row.state, row.claimed_until, row.error = "queued", None, str(error)[:200]
                row.due = now + self._backoff(row)
                self._count(claim.channel.name, "retry")

    def _in_doubt(self, claim: Claim, sentence: str, now: int) -> None:
        """Keep the claim, so that nobody sends, until the next look-up; beyond its validity it is not worth a second message."""
        with self._db.write() as session:
            row = _own(session, claim)
            if row is None:
                return
            if now - row.created_at >= self._settings.validity_ms:
                self._give_up(session, row, f"结果不明：{sentence}", now)
                return
            row.claimed_until, row.error = now + self._settings.lookup_every_ms, sentence[:200]
        self._count(claim.channel.name, "ambiguous")

    def _wait(self, claim: Claim, now: int) -> None:
        """Not found yet: look again soon, and at the end of the grace period."""
        until = min(now + self._settings.lookup_every_ms, claim.attempted_at + self._settings.grace_ms)
        with self._db.write() as session:
            changed(session, _held(claim).values(claimed_until=until))

    def _reclaim(self, claim: Claim, now: int) -> Claim | None:
        """Certainly not there: claim it anew for another send, unless it is not wanted any more."""
        with self._db.write() as session:
            row = _own(session, claim)
            if row is None:
                return None
            if not self._worth(session, row, now):
                self._discard(session, row, now)
                return None
            row.claimed_at, row.claimed_until, row.attempts = now, now + self._settings.claim_ms, row.attempts + 1
        self._count(claim.channel.name, "resent")
        return claim._replace(mode="send", until=now + self._settings.claim_ms, attempted_at=now)

    def _give_up(self, session: Session, row: Notification, sentence: str, now: int) -> None:
        row.state, row.claimed_until, row.error = "failed", None, sentence[:200]
        self._count(row.channel, "failed")
        if wanted(session, row):
            self._fallback.go_on(session, row, now, late=now - row.created_at >= self._settings.validity_ms)

    def fall_backs(self, now: int, limit: int = 50) -> int:
        """Messages that the provider took and could not deliver: the next channel to the same person, once. Returns how many there were."""
        lost = select(Notification).where(Notification.state == "undelivered", Notification.claimed_until == receipts.UNHANDLED)
        with self._db.read() as session:
            if session.scalar(lost.limit(1)) is None:
                return 0
        with self._db.write() as session:
            rows = session.scalars(lost.order_by(Notification.id).limit(limit)).all()
            for row in rows:
                row.claimed_until = None
                # Without another channel the escalation's own timer decides: a receipt may come late or never (reliability.md F70).
                if wanted(session, row) and self._fallback.following(session, row) is not None:
                    self._fallback.go_on(session, row, now, late=now - row.created_at >= self._settings.validity_ms)
        return len(rows)

    def _backoff(self, row: Notification) -> int:
        """Doubling with a spread of a quarter by id, so that a thousand messages do not come back in the same instant."""
        base = min(self._settings.backoff_ms << min(row.attempts - 1, 16), self._settings.backoff_max_ms)
        return base + base * (row.id % 16) // 64


def is_due(row: Notification, now: int) -> bool:
    """Whether something has to be done about a notification now."""
    return (row.state == "queued" and row.due <= now) or (row.state == "claimed" and (row.claimed_until or 0) <= now)


def _under_way(session: Session, row: Notification) -> list[str]:
    """The errors of other messages to the same address that are claimed: "" is being sent at this moment, anything else is in doubt.

    Two that ask at once on PostgreSQL wait for each other at the rows, and the second sees the claim of the first.
    """
    same = select(Notification.id, Notification.state, Notification.error)
    same = same.where(Notification.channel == row.channel, Notification.phone == row.phone, Notification.state.in_(("queued", "claimed")))
    found = session.execute(same.order_by(Notification.id).with_for_update()).all()
    return [error for ident, state, error in found if state == "claimed" and ident != row.id]


def _taking(claim: Claim) -> Update:
    """Take the claim, if the row is still as it was seen."""
    row = update(Notification).where(Notification.id == claim.message.id)
    if claim.mode == "lookup":
        return row.where(Notification.state == "claimed", Notification.claimed_until == claim.before).values(claimed_until=claim.until)
    taken = {"state": "claimed", "claimed_at": claim.attempted_at, "claimed_until": claim.until, "attempts": Notification.attempts + 1}
    return row.where(Notification.state == "queued").values(**taken)


def _held(claim: Claim) -> Update:
    """The row as long as the claim on it is ours."""
    return update(Notification).where(Notification.id == claim.message.id, Notification.state == "claimed", Notification.claimed_until == claim.until)


def _own(session: Session, claim: Claim) -> Notification | None:
    """The same, locked for changing it."""
    row = session.get_one(Notification, claim.message.id, with_for_update=True)
    return row if row.state == "claimed" and row.claimed_until == claim.until else None
