"""Replies that no callback brings: fetched from the provider, the modem or the gateway, and acted upon like any other.

Each is on record before it is acted upon and before the modem forgets it, so that a crash neither loses one nor takes one twice. Here also ends what
a callback had brought into a process that died before it could act.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

from server.duty.answers import read
from server.notify.channels import ChannelError, Inbox
from server.store import replies
from server.store.tables import Notification
from server.store.tables_duty import Reply
from server.web import answers
from server.web.services import Services

log = logging.getLogger("server.web")

EVERY_S = 10.0
BACK_MS = 72 * 3_600_000
"""How far the first look goes back."""
SKEW_MS = 10 * 60_000
_STALE_MS = 30 * 60_000
_CALLBACK_MS = 60_000
_TOO_LATE = "你的答复来得太晚，没有照办。请看最新告警，或致电值班室。"


class Replies:
    """One thread. `inboxes` by name of their channel; `nudge` wakes the dispatcher."""

    def __init__(self, services: Services, inboxes: dict[str, Inbox], nudge: Callable[[], None]) -> None:
        self._services, self._inboxes, self._nudge = services, inboxes, nudge
        self._seen: dict[str, int] = {}

    def run(self, stop: threading.Event, clock: Callable[[], int]) -> None:
        """Look every ten seconds until `stop` is set."""
        while not stop.wait(EVERY_S):
            try:
                self.run_once(clock())
            except Exception:  # whoever answers must be heard, whatever one reply has done to the program
                log.exception("this look for replies failed; trying again")

    def run_once(self, now: int) -> int:
        """Fetch and act. Returns how many replies were acted upon."""
        for name, inbox in self._inboxes.items():
            try:
                self._fetch(name, inbox, now)
            except Exception:  # whoever answers by another way must be heard
                log.exception("channel %s: what it holds cannot be taken; trying again", name)
        with self._services.db.read() as session:
            rows = replies.waiting(session, now, _CALLBACK_MS)
        return sum(self._heard(row, now) for row in rows)

    def _fetch(self, name: str, inbox: Inbox, now: int) -> None:
        """All that came since the last look that succeeded; what overlaps is known by its id."""
        try:
            found = inbox.incoming(self._seen.get(name, now - BACK_MS) - SKEW_MS)
        except ChannelError as error:
            log.warning("channel %s: no look for replies: %s", name, error)
            return
        if found:
            with self._services.db.write() as session:
                for one in sorted(found, key=lambda one: one.at):
                    replies.take(session, one.id, one.phone, one.text, one.at, now, name)
            inbox.forget([one.id for one in found])
        self._seen[name] = now

    def _heard(self, row: Reply, now: int) -> bool:
        """Act upon one; what it does to the program keeps nobody else from being heard, and it is tried again."""
        try:
            self._act(row, now)
        except Exception:
            log.exception("reply %d cannot be acted upon; trying again", row.id)
            return False
        return True

    def _act(self, row: Reply, now: int) -> None:
        sentence = asyncio.run(act(self._services, row))
        with self._services.db.write() as session:
            if row.channel in self._inboxes and replies.was_called(session, row.phone):
                session.add(_back(row, sentence, now))
        self._nudge()


async def act(services: Services, row: Reply) -> str:
    """Act upon one reply and put down what came of it. A crash in between acts again, which changes nothing: the same person has it already.

    One that was under way for half an hour could mean another alarm than the one that is open now: without a 编号 it is not acted upon.
    """
    answer = read(row.text)
    late = services.clock() - row.said_at >= _STALE_MS and not answer.number
    sentence = _TOO_LATE if late else await answers.take(services, row.phone, answer, "sms")

    def put_down() -> None:
        with services.db.write() as session:
            replies.acted(session, row.id, sentence, services.clock())

    await asyncio.to_thread(put_down)
    return sentence


def _back(row: Reply, sentence: str, now: int) -> Notification:
    """What became of it, texted back."""
    return Notification(
        escalation_step=None, alarm=None, unit=None, number="", reason="reply", step=0, person=None, person_name="", phone=row.phone,
        channel=row.channel, text=sentence, created_at=now, due=now, state="queued",
    )  # fmt: skip


def inboxes(channels: Sequence[object]) -> dict[str, Inbox]:
    """The channels that hold replies, by name."""
    return {channel.name: channel for channel in channels if isinstance(channel, Inbox) and channel.holds_replies}
