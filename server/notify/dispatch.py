"""The dispatcher: due steps become messages, messages go out, each exactly once; a slow provider delays nobody but its own messages.

It lives from two tables alone, so it may be killed at any instant and started again, or run in a process of its own.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select

from server.duty.calendar import Workdays
from server.duty.escalation import EscalationTable
from server.notify.channels import Channel
from server.notify.claims import SendSettings
from server.notify.expand import Count, Expander, worst_first
from server.notify.forecast import Forecast
from server.notify.lines import Broadcast, Lines
from server.notify.receipts import Poller
from server.notify.send import Clock, Sender
from server.notify.situation import Knowledge
from server.notify.steps import Steps
from server.notify.texts import Catalogue, default_texts
from server.notify.throttle import Cap
from server.store.session import Database
from server.store.tables import Alarm, Notification

log = logging.getLogger("server.notify")

_ROUNDS = 1_000
_POLL_EVERY_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """`workers` threads per channel; `idle_s` how long the loop sleeps when nobody nudges it; `poll_receipts` asks providers for receipts."""

    send: SendSettings = field(default_factory=SendSettings)
    workers: int = 4
    idle_s: float = 1.0
    poll_receipts: bool = True
    reply_hint: bool = False


def no_count(_channel: str, _result: str) -> None:
    """For whoever keeps no counters."""


class Dispatcher:
    """Expands and sends. `channels` in order of preference; the second is used when the first fails for good or for too long.

    `count(channel, result)`: sent, found (by look-up), resent, retry, ambiguous, failed, dropped, throttled, repeated, no_recipient, nobody, broken,
    delivered, undelivered. Raises ValueError without a channel.
    """

    def __init__(
        self,
        db: Database,
        channels: Sequence[Channel],
        table: EscalationTable,
        texts: Catalogue | None = None,
        *,
        settings: DispatchSettings | None = None,
        broadcasts: Sequence[Broadcast] = (),
        workdays: Workdays | None = None,
        count: Count = no_count,
        knowledge: Knowledge | None = None,
        throttle: Cap | None = None,
    ) -> None:
        if not channels:
            raise ValueError("a dispatcher needs at least one channel")
        self._db, self._count, self._settings = db, count, settings or DispatchSettings()
        self._channels = {channel.name: channel for channel in channels}
        catalogue = texts or default_texts()
        lines = Lines(
            channel=_first(channels, "sms"),
            voice=_first(channels, "voice"),
            email=_first(channels, "email"),
            broadcasts=tuple(broadcasts),
            reply_hint=self._settings.reply_hint,
        )
        self.forecast = Forecast(table, lines, workdays or Workdays())
        expander = Expander(table, catalogue, lines, knowledge=knowledge, workdays=workdays)
        self._steps = Steps(db, expander, count, next(iter(self._channels)))
        self._sender = Sender(db, self._channels, self._settings.send, count, throttle, catalogue)
        self._poller = Poller(db, self._channels, count)
        self._pools = {name: ThreadPoolExecutor(self._settings.workers, f"notify-{name}") for name in self._channels}
        self._polling = ThreadPoolExecutor(1, "notify-receipts")
        self._busy: dict[int, str] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()

    def run_once(self, now: int) -> int:
        """Do everything that is due at `now` and wait for it. Returns how many steps and messages were dealt with."""
        done = 0
        for _ in range(_ROUNDS):
            progress = self._steps.run_once(now) + self._sender.fall_backs(now) + sum(future.result() for future in self._submit(lambda: now))
            if not progress:
                break
            done += progress
        return done

    def poll_receipts(self, now: int) -> int:
        """Ask providers what became of messages without a final receipt. Returns how many reports changed something."""
        return self._poller.run_once(now)

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels, in order of preference."""
        return tuple(self._channels.values())

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order of preference."""
        return tuple(self._channels)

    def oldest_waiting_ms(self, now: int) -> int:
        """Age of the oldest message that should have left already; 0 when there is none."""
        waiting = or_(and_(Notification.state == "queued", Notification.due <= now), Notification.state == "claimed")
        with self._db.read() as session:
            oldest = session.scalar(select(func.min(Notification.due)).where(waiting))
        return 0 if oldest is None else max(now - int(oldest), 0)

    def nudge(self) -> None:
        """Something was committed: look now instead of at the end of the nap. Safe from any thread."""
        self._wake.set()

    def run(self, stop: threading.Event, clock: Clock) -> None:
        """Until `stop` is set (nudge to be noticed at once). Sends run in the pools; the loop itself never waits for a provider."""
        polled, polling = 0, None
        while not stop.is_set():
            self._wake.clear()
            now = clock()
            try:
                if self._steps.run_once(now) + self._sender.fall_backs(now):
                    self._wake.set()
            except Exception:  # the thread that tells people must not die of anything
                log.exception("this pass over the escalation failed; trying again")
            try:  # what is in the outbox already goes out in any case
                self._submit(clock)
            except Exception:
                log.exception("this pass over the outbox failed; trying again")
            if self._settings.poll_receipts and now - polled >= _POLL_EVERY_MS and (polling is None or polling.done()):
                polled, polling = now, self._polling.submit(self._poll, now)
            self._wake.wait(self._settings.idle_s)
        self.close()

    def close(self) -> None:
        """Let sends in progress end and record themselves; then let the channels go."""
        for pool in (*self._pools.values(), self._polling):
            pool.shutdown(wait=True, cancel_futures=True)
        for channel in self._channels.values():
            channel.close()

    # -- messages -----------------------------------------------------------------------------------------------------------------------------

    def _submit(self, clock: Clock) -> list[Future[bool]]:
        """Hand due messages to the pools, the worst alarms first; never more than a pool can soon work off, so that a worse one can overtake."""
        futures = []
        for name, pool in self._pools.items():
            for ident in self._due(name, clock()):
                with self._lock:
                    self._busy[ident] = name
                futures.append(pool.submit(self._work, ident, clock))
        return futures

    def _due(self, channel: str, now: int) -> Sequence[int]:
        with self._lock:
            busy = dict(self._busy)
        free = 2 * self._settings.workers - sum(name == channel for name in busy.values())
        if free <= 0:
            return ()
        first = channel == next(iter(self._channels))
        values = {"channel": channel, "now": now, "busy": list(busy), "most": free}
        with self._db.read() as session:
            if not first:
                return session.scalars(_WAITING, values).all()
            return session.scalars(_WAITING_OR_NOBODYS, values | {"channels": list(self._channels)}).all()

    def _work(self, ident: int, clock: Clock) -> bool:
        try:
            worked = self._sender.deliver(ident, clock)
        except Exception:
            log.exception("notification %d: it stays in the outbox; if it was claimed, the claim runs out and it is looked up", ident)
            raise
        finally:
            with self._lock:
                self._busy.pop(ident, None)
        if worked:
            self.nudge()
        return worked

    def _poll(self, now: int) -> None:
        try:
            self.poll_receipts(now)
        except Exception:
            log.exception("polling of receipts failed; trying again")


def _waiting(whose: ColumnElement[bool]) -> Select[int]:
    """Built once, as the steps that are due are (expand.py): messages that wait, the worst alarms first."""
    queued = and_(Notification.state == "queued", Notification.due <= bindparam("now"))
    forgotten = and_(Notification.state == "claimed", Notification.claimed_until <= bindparam("now"))
    free = Notification.id.not_in(bindparam("busy", expanding=True))
    query = select(Notification.id).outerjoin(Alarm, Alarm.id == Notification.alarm).where(whose, or_(queued, forgotten), free)
    return query.order_by(worst_first(), Notification.id).limit(bindparam("most"))


_WAITING = _waiting(Notification.channel == bindparam("channel"))
_WAITING_OR_NOBODYS = _waiting(or_(Notification.channel == bindparam("channel"), Notification.channel.not_in(bindparam("channels", expanding=True))))
"""The first channel also sends what was meant for one that is no longer there."""


def _first(channels: Sequence[Channel], way: str) -> str:
    """The name of the first channel that goes a way, '' when there is none."""
    return next((channel.name for channel in channels if channel.abilities.way == way), "")
