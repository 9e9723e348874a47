"""When a channel has failed for good: the next channel to the same person in the order that the person wants, else the next person at once."""

from collections.abc import Iterator, Mapping

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.duty.routing import WAYS, addresses
from server.notify.channels import Channel
from server.notify.rows import changed, has_step
from server.notify.situation import CALLS, REACHED
from server.store.tables import EscalationStep, Notification, Person


class Fallback:
    """Knows the channels in the order of the settings and the ways of each person."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    def first(self, way: str) -> str | None:
        """The channel that goes a way: a row may name the way, "sms" or "voice", instead of a channel."""
        return next(self._of(way), None)

    def go_on(self, session: Session, row: Notification, now: int, *, late: bool = False) -> None:
        """The next channel to the same person, else (also when it is too `late` for that) the next person."""
        following = None if late else self.following(session, row)
        if following is None:
            hand_over(session, row, now)
            return
        channel, address = following
        successor = Notification(
            escalation_step=row.escalation_step, alarm=row.alarm, unit=row.unit, reason=row.reason, step=row.step, person=row.person,
            person_name=row.person_name, phone=address, channel=channel, number=row.number, text=row.text, created_at=now, due=now, state="queued",
        )  # fmt: skip
        session.add(successor)

    def following(self, session: Session, row: Notification) -> tuple[str, str] | None:
        """(channel, address) behind the one that failed, unless the same step has used it already."""
        found = self._behind(session, row)
        return next((one for one in found if not self._used(session, row, *one)), None)

    def _behind(self, session: Session, row: Notification) -> Iterator[tuple[str, str]]:
        """Other channels of the same way, then the person's further ways. A group has only its own; the first way where the channel is gone."""
        person = session.get(Person, row.person) if row.person is not None else None
        ways = tuple(person.ways) if person is not None and person.ways else WAYS
        there = addresses(person.phone, person.email) if person is not None else dict.fromkeys(("sms", "voice"), row.phone)
        mine = self._channels[row.channel].abilities.way if row.channel in self._channels else ""
        if mine:
            names = list(self._of(mine))
            yield from ((name, row.phone) for name in names[names.index(row.channel) + 1 :])
        for way in ways[ways.index(mine) + 1 :] if mine in ways else () if mine else ways:
            if (address := there.get(way)) is not None:
                yield from ((name, address) for name in self._of(way))

    def _of(self, way: str) -> Iterator[str]:
        return (name for name, channel in self._channels.items() if channel.abilities.way == way)

    @staticmethod
    def _used(session: Session, row: Notification, channel: str, address: str) -> bool:
        same = select(Notification.id).where(Notification.escalation_step == row.escalation_step, Notification.phone == address)
        return session.scalar(same.where(Notification.channel == channel, Notification.id != row.id).limit(1)) is not None


def hand_over(session: Session, row: Notification, now: int) -> None:
    """When nobody of a step can be reached, the next step is due at once."""
    if row.escalation_step is None:
        return
    others = select(Notification.id).where(Notification.escalation_step == row.escalation_step, Notification.id != row.id)
    if row.reason not in CALLS or session.scalar(others.where(Notification.state.in_(REACHED)).limit(1)) is not None:
        return
    mine = session.get_one(EscalationStep, row.escalation_step)
    pending = update(EscalationStep).where(
        EscalationStep.alarm == mine.alarm, EscalationStep.annunciation == mine.annunciation, EscalationStep.reason == "raised"
    )
    if changed(session, pending.where(EscalationStep.state == "pending").values(due=now)) or mine.reason != "raised":
        return
    if not has_step(session, mine.alarm, mine.annunciation, following := row.step + 1, "raised"):
        session.add(EscalationStep(alarm=mine.alarm, annunciation=mine.annunciation, reason="raised", step=following, due=now))
