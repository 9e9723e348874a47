"""A message of the outbox is claimed before it is sent: by one worker, until an instant, and only while it still makes sense.

A claim is a conditional update that sets `claimed_until`; that instant is also the fencing token under which the outcome is recorded (send.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Update, bindparam, select, update
from sqlalchemy.orm import Session

from server.notify.channels import Channel, Message
from server.notify.expand import Count
from server.notify.fallback import Fallback
from server.notify.rows import changed
from server.notify.situation import wanted
from server.notify.texts import Catalogue
from server.notify.throttle import THROTTLED, Cap, summarise
from server.store.tables import Alarm, Notification

_KNOWN = 500
_BUSY_MS = 1_000
# Built once, as in rows.py. No object of the session is brought up to date with them: none is read afterwards.
_MINE = update(Notification).where(Notification.id == bindparam("mine")).execution_options(synchronize_session=False)
_TAKE = _MINE.where(Notification.state == "queued").values(
    state="claimed", claimed_at=bindparam("begin"), claimed_until=bindparam("end"), attempts=Notification.attempts + 1
)
_FOLLOW = _MINE.where(Notification.state == "claimed", Notification.claimed_until == bindparam("before")).values(claimed_until=bindparam("end"))
_IDS = (
    select(Notification.provider_id)
    .where(Notification.phone == bindparam("to"), Notification.provider_id != "")
    .order_by(Notification.id.desc())
    .limit(_KNOWN)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """Times in ms. `claim_ms` must be longer than a channel's own timeout; `grace_ms` longer than a provider may take over an accepted request.
    After `fallback_ms` without success the next channel has its turn, where there is one."""

    claim_ms: int = 30_000
    grace_ms: int = 60_000
    lookup_every_ms: int = 5_000
    backoff_ms: int = 2_000
    backoff_max_ms: int = 60_000
    fallback_ms: int = 60_000
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


class Claims:
    """Takes them, and sets aside what is not to be sent. Everything within the caller's session."""

    def __init__(
        self, channels: Mapping[str, Channel], settings: SendSettings, count: Count, throttle: Cap | None, texts: Catalogue, fallback: Fallback
    ) -> None:
        self._channels, self._settings, self._count, self._throttle = channels, settings, count, throttle
        self._texts, self._fallback = texts, fallback

    def take(self, session: Session, ident: int, now: int) -> Claim | bool:
        """The claim; or whether the row was dealt with otherwise."""
        row = session.get(Notification, ident)
        if row is None or not _is_due(row, now):
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
        return claim if taken(session, claim) else False

    def plain(self, session: Session, ident: int, now: int) -> Claim | None:
        """A claim that asks for no look at other messages, read without the writers' turn: a call that is not wanted any more is dropped by whoever
        takes the alarm over, so that taking it fails then."""
        row = session.get(Notification, ident)
        if row is None or row.state != "queued" or row.due > now or row.channel not in self._channels or row.error == THROTTLED:
            return None
        _held = session.get(Alarm, row.alarm) if row.alarm is not None else None  # a session knows a row as long as somebody holds it
        if not self._channels[row.channel].abilities.tells_apart or not self.worth(session, row, now):
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
            self.give_up(session, row, "通道已停用", now)
            return True
        if row.state != "queued":
            return False
        if not self.worth(session, row, now):
            self.discard(session, row, now)
            return True
        later = self._throttle.until(session, row, now) if self._throttle is not None else None
        if later is not None:
            row.due, row.error = later, THROTTLED
            self._count(row.channel, "throttled")
        elif row.error == THROTTLED:
            summarise(session, row, self._texts, now)
        return later is not None

    def worth(self, session: Session, row: Notification, now: int) -> bool:
        """Whether it still makes sense, and is not too late."""
        return wanted(session, row) and now - row.created_at < self._settings.validity_ms

    def _message(self, session: Session, row: Notification, now: int) -> Message:
        alarm = session.get(Alarm, row.alarm) if row.alarm is not None else None
        return Message(
            id=row.id, phone=row.phone, text=row.text, number=row.number, since=row.created_at, now=now,
            validity_s=max(row.created_at + self._settings.validity_ms - now, 1000) // 1000,
            level=alarm.level if alarm is not None else "", reason=row.reason, drill=alarm.drill if alarm is not None else False,
            known=frozenset(session.scalars(_IDS, {"to": row.phone})),
        )  # fmt: skip

    def discard(self, session: Session, row: Notification, now: int) -> None:
        """Not sent and not wanted any more, or too late to be worth sending."""
        if wanted(session, row):
            self.give_up(session, row, "过了有效期仍未发出", now)
        else:
            row.state, row.claimed_until = "dropped", None
            self._count(row.channel, "dropped")

    def give_up(self, session: Session, row: Notification, sentence: str, now: int) -> None:
        """It will never go by this channel: the next one, else the next person. `due` says from then on when it was given up."""
        row.state, row.claimed_until, row.error, row.due = "failed", None, sentence[:200], now
        self._count(row.channel, "failed")
        if wanted(session, row):
            self._fallback.go_on(session, row, now, late=now - row.created_at >= self._settings.validity_ms)


def _is_due(row: Notification, now: int) -> bool:
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


def taken(session: Session, claim: Claim) -> bool:
    """Take the claim, if the row is still as it was seen."""
    values = {"mine": claim.message.id, "end": claim.until}
    if claim.mode == "lookup":
        return changed(session, _FOLLOW, values | {"before": claim.before})
    return changed(session, _TAKE, values | {"begin": claim.attempted_at})


def held(claim: Claim) -> Update:
    """The row as long as the claim on it is ours."""
    return update(Notification).where(Notification.id == claim.message.id, Notification.state == "claimed", Notification.claimed_until == claim.until)


def own(session: Session, claim: Claim) -> Notification | None:
    """The same, locked for changing it."""
    row = session.get_one(Notification, claim.message.id, with_for_update=True)
    return row if row.state == "claimed" and row.claimed_until == claim.until else None
