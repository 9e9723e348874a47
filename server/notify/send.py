"""From the outbox to the provider, once: claim, send outside any transaction, record; after any doubt look up before sending again.

    queued --claim--> claimed --send--> sent              the provider's id is stored
                         | certainly not processed        -> queued, later
                         | will never work                -> failed; next channel, else next person at once
                         | in doubt, or we died           -> look up: found -> sent; not found for the grace period -> send again
                         | no success within `fallback_ms` -> the next channel, where there is one: once it certainly is not there,
                         |                                   or when the provider cannot even be asked

A claim is a conditional update that sets `claimed_until`; that instant is also the fencing token under which the outcome is recorded, so a worker
that comes back from a long stall changes nothing. The look-up searches from the creation of the message, which is before any attempt.
"""

import logging
from collections.abc import Callable

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session, aliased

from server.notify import receipts
from server.notify.channels import Channel, ChannelError, Failure, Receipt
from server.notify.claims import Claim, Claims, SendSettings, held, own, taken
from server.notify.expand import Count
from server.notify.fallback import Fallback
from server.notify.receipts import FINAL, RANK
from server.notify.rows import changed
from server.notify.situation import wanted
from server.notify.texts import Catalogue, default_texts
from server.notify.throttle import Cap
from server.store.session import Database
from server.store.tables import Notification
from server.store.together import Together

log = logging.getLogger("server.notify")

Clock = Callable[[], int]
_TWIN = aliased(Notification)
_LOST = (  # built once, as the steps that are due are (expand.py)
    select(Notification)
    .where(Notification.state == "undelivered", Notification.claimed_until == receipts.UNHANDLED)
    .order_by(Notification.id)
    .limit(bindparam("most"))
)
_OTHER = select(_TWIN.id).where(_TWIN.provider_id == bindparam("theirs"), _TWIN.id != bindparam("mine"))
_SENT = (
    update(Notification)
    .where(Notification.id == bindparam("mine"), Notification.state == "claimed", Notification.claimed_until == bindparam("end"))
    .values(state="sent", sent_at=bindparam("at"), provider_id=bindparam("theirs"), claimed_until=None, error="")
    .execution_options(synchronize_session=False)
)
_SENT_FIRST = _SENT.where(Notification.receipt == "", ~_OTHER.exists()).values(receipt=bindparam("said"), receipt_at=bindparam("at"))
"""Also the first that is said of it, where no other message has the provider's id."""
_IN_VAIN = 8
"""So many tries without any answer that says what became of a message: the same text twice on a telephone is better than none."""


class Sender:
    """Delivers one notification at a time; used from several threads. `channels` in order of preference."""

    def __init__(
        self, db: Database, channels: dict[str, Channel], settings: SendSettings, count: Count, throttle: Cap | None = None,
        texts: Catalogue | None = None,
    ) -> None:  # fmt: skip
        self._db, self._settings, self._count = db, settings, count
        self._together, self._fallback = Together(db), Fallback(channels)
        self._claims = Claims(channels, settings, count, throttle, texts or default_texts(), self._fallback)

    def deliver(self, ident: int, clock: Clock) -> bool:
        """Take one notification a step on. False when it was not due any more or belongs to another worker."""
        now = clock()
        with self._db.read() as session:
            plain = self._claims.plain(session, ident, now)
        if plain is None:
            with self._db.write() as session:
                claim = self._claims.take(session, ident, now)
        else:
            claim = self._together.write(lambda session: plain if taken(session, plain) else False)
        if isinstance(claim, bool):
            return claim
        if claim.mode == "send":
            self._send(claim, clock)
        else:
            self._look_up(claim, clock)
        return True

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
        stored = self._together.write(lambda session: self._record(session, claim, receipt, now))
        if stored:
            self._count(claim.channel.name, result)
        return stored

    @staticmethod
    def _record(session: Session, claim: Claim, receipt: Receipt, now: int) -> bool:
        mine = {"mine": claim.message.id, "theirs": receipt.provider_id}
        values = mine | {"end": claim.until, "at": now}
        plain = RANK.get(receipt.status, FINAL) < FINAL  # nearly all: one statement, behind which the alarms wait
        if plain and changed(session, _SENT_FIRST, values | {"said": receipt.status}):
            return True
        if session.scalar(_OTHER, mine) is not None:
            log.error("notification %d: %s is already the id of another one", claim.message.id, receipt.provider_id)
            return False
        if not changed(session, _SENT, values):
            log.error("notification %d was sent as %s after its claim was lost", claim.message.id, receipt.provider_id)
        receipts.apply_receipt(session, receipt.provider_id, receipt.status, receipt.error_code, now)
        return True

    def _failed(self, claim: Claim, error: ChannelError, now: int) -> None:
        log.warning("channel %s: notification %d: %s", claim.channel.name, claim.message.id, error)
        if error.failure is Failure.AMBIGUOUS:
            self._in_doubt(claim, str(error), now)
            return
        with self._db.write() as session:
            row = own(session, claim)
            if row is None:
                return
            if error.failure is Failure.PERMANENT:
                self._claims.give_up(session, row, str(error), now)
            elif not self._passed_on(session, row, str(error), now):
                row.state, row.claimed_until, row.error = "queued", None, str(error)[:200]
                row.due = now + self._backoff(row)
                self._count(claim.channel.name, "retry")

    def _in_doubt(self, claim: Claim, sentence: str, now: int) -> None:
        """Keep the claim, so that nobody sends by this channel, until the next look-up; beyond its validity it is not worth a second message."""
        with self._db.write() as session:
            row = own(session, claim)
            if row is None:
                return
            if now - row.created_at >= self._settings.validity_ms:
                self._claims.give_up(session, row, f"结果不明：{sentence}", now)
                return
            if claim.mode == "lookup":
                row.attempts += 1  # asking in vain is a try as well
            if row.attempts >= _IN_VAIN and self._passed_on(session, row, f"结果不明：{sentence}", now):
                return
            row.claimed_until, row.error = now + self._settings.lookup_every_ms, sentence[:200]
        self._count(claim.channel.name, "ambiguous")

    def _passed_on(self, session: Session, row: Notification, sentence: str, now: int) -> bool:
        """To the next channel when this one has had its time, where there is another one."""
        if now - row.created_at < self._settings.fallback_ms or not wanted(session, row) or self._fallback.following(session, row) is None:
            return False
        self._claims.give_up(session, row, sentence, now)
        return True

    def _wait(self, claim: Claim, now: int) -> None:
        """Not found yet: look again soon, and at the end of the grace period."""
        until = min(now + self._settings.lookup_every_ms, claim.attempted_at + self._settings.grace_ms)
        with self._db.write() as session:
            changed(session, held(claim).values(claimed_until=until))

    def _reclaim(self, claim: Claim, now: int) -> Claim | None:
        """Certainly not there: claim it anew for another send, unless it is not wanted any more."""
        with self._db.write() as session:
            row = own(session, claim)
            if row is None:
                return None
            if not self._claims.worth(session, row, now):
                self._claims.discard(session, row, now)
                return None
            if row.error and self._passed_on(session, row, row.error, now):  # without an error it was we who fell silent
                return None
            row.claimed_at, row.claimed_until, row.attempts = now, now + self._settings.claim_ms, row.attempts + 1
        self._count(claim.channel.name, "resent")
        return claim._replace(mode="send", until=now + self._settings.claim_ms, attempted_at=now)

    def fall_backs(self, now: int, limit: int = 50) -> int:
        """Messages that the provider took and could not deliver: the next channel to the same person, once. Returns how many there were."""
        with self._db.read() as session:
            if session.scalar(_LOST, {"most": 1}) is None:
                return 0
        with self._db.write() as session:
            rows = session.scalars(_LOST, {"most": limit}).all()
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
