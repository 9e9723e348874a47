"""The writer: one thread runs batches, ticks and commands in turn, a group of them to one transaction.

What makes a group is said in inbox.py. Answers and facts leave only after the commit. When a commit fails, memory is read back from the database,
nobody is acknowledged, and the gateways send again.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import select

from alarms.rules import RuleSet
from server.metrics import Metrics
from server.settings import WatchSettings
from server.store import audit, rule_sets
from server.store.session import Database
from server.store.tables import Alarm, Refused
from server.watch import conditions, floods
from server.watch.commands import Command, NewRules, Outcome
from server.watch.commit import Transaction, alarm_fact
from server.watch.facts import standing_facts
from server.watch.inbox import Entry, Inbox, Item, weight
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath, Receipt
from server.watch.judge import Judge
from server.watch.loading import load
from server.watch.obey import obey
from server.watch.state import World
from server.watch.told import Publish, Told

log = logging.getLogger("server.watch")

TICK_MS = 250
EXPIRE_EVERY_MS = 1_000
CAREFUL_MS = 60_000
"""After a failure every input has a transaction of its own for so long: what cannot be judged then fails alone."""
FROZEN_MS = 10_000
"""A writer that comes to itself after so long was held up (a stopped process, a virtual machine on hold): nobody watched meanwhile."""
REFUSED_KEPT = 500


def _plain(text: str) -> str:
    """Without what a database does not take: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Watch:
    """Owns all alarm state. `publish(facts, now)` and `nudge()` are called after each commit and must not block."""

    def __init__(
        self, db: Database, rules: RuleSet, settings: WatchSettings, metrics: Metrics, *, publish: Publish, nudge: Callable[[], None] = lambda: None
    ) -> None:
        self._db, self._rules, self.settings, self._metrics = db, rules, settings, metrics
        self.publish, self._nudge = publish, nudge
        self.inbox = Inbox(settings.gather_ms)
        self._world: World | None = None
        self._owed: Told | None = None
        self._expired_at = self._careful_until = 0

    # -- doors (any thread) ---------------------------------------------------------------------------------------------------------------

    def offer(self, item: GatewayBirth | GatewayData | GatewayDeath) -> "Future[Receipt]":
        """Queue an input from ingest."""
        return self.inbox.put(item)

    def submit(self, command: Command) -> "Future[Outcome]":
        """Queue a person's command."""
        return self.inbox.put(command)

    def backlog(self) -> int:
        """How many inputs wait."""
        return len(self.inbox)

    def adopt(self, rules: RuleSet) -> "Future[Outcome]":
        """Judge by another rule set from the next transaction on, also after memory was read back."""
        self._rules = rules
        return self.submit(NewRules(by="", rules=rules))

    def set_aside(self, topic: str, payload: bytes, reason: str, detail: str, now: int) -> None:
        """Keep poison for a person to look at; only the newest REFUSED_KEPT are kept."""
        with self._db.write() as session:
            session.add(Refused(at=now, topic=_plain(topic)[:200], reason=reason, detail=_plain(detail)[:400], payload=payload[:65536]))
            session.flush()
            newest = session.scalar(select(Refused.id).order_by(Refused.id.desc()).limit(1)) or 0
            session.query(Refused).filter(Refused.id <= newest - REFUSED_KEPT).delete()

    # -- the writer -------------------------------------------------------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Read memory back and publish everything that stands."""
        with self._db.write() as session:
            rule_sets.keep(session, self._rules, now)
        before, self._world = self._world, load(self._db, self._rules, self.settings, now)
        with self._db.write() as session:
            judge = Judge(self._world, Transaction(session, self._world, now), self._metrics)
            judge.resume()
            judge.finish()
        with self._db.read() as session:
            alarms = [alarm_fact(alarm) for alarm in session.scalars(select(Alarm).where(Alarm.open_key.is_not(None)))]
            self.publish([*standing_facts(self._world, session), *alarms, *floods.standing(self._world, before)], now)

    def run(self, stop: threading.Event, clock: Callable[[], int], *, frozen_ms: float = FROZEN_MS) -> None:
        """The writer thread. `frozen_ms`: so long a step of the clock is a standstill; for ever where a test moves the clock by hand."""
        ran_at = clock()
        while not stop.is_set():
            try:
                self.inbox.wait(TICK_MS)
                before, ran_at = ran_at, clock()
                if ran_at - before > frozen_ms:
                    # As after a restart: what could not be heard is nobody's silence, and the ledger says who did not watch.
                    log.error("the server stood still for %.0f s; memory is read back", (ran_at - before) / 1000)
                    self.open(ran_at)
                self.run_once(clock)
            except Exception:  # whatever it was: a writer that has died watches nobody
                log.exception("a transaction failed; memory is read back and the gateways will send again")
                self._metrics.commit_failures.inc()
                self._careful_until = clock() + CAREFUL_MS
                self._recover(stop, clock)
        if self._owed is not None:
            self._owed.tell(self.publish)

    def wake(self) -> None:
        """Let the writer thread see at once that it is to stop."""
        self.inbox.wake()

    def run_once(self, clock: Callable[[], int], *, wait_ms: int = 0) -> int:
        """Gather one group, judge it and time itself, commit, answer. Returns the number of samples committed."""
        group = self.inbox.take(wait_ms, alone=clock() < self._careful_until)
        try:
            answers, samples, tx = self._commit(group, clock)
        except BaseException as error:
            for _, future in group:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            raise
        self._count(tx, samples, clock())
        self._tell(Told(tx.facts, answers, tx.now))
        if tx.escalation.asked:
            self._nudge()
        return samples

    def _tell(self, new: Told) -> None:
        """What a commit means for others. While something hurries waits, the readings on the board and the receipts of gateways wait for it: with a
        full group they take as long as an alarm."""
        before, self._owed = self._owed, None
        if self.inbox.hurried():
            new, self._owed = new.halves()
        new.tell(self.publish)
        if before is not None:
            before.tell(self.publish)

    def _commit(self, group: list[Entry], clock: Callable[[], int]) -> tuple[list[tuple["Future[Any]", Any]], int, Transaction]:
        assert self._world is not None, "open() first"  # noqa: S101 - a programming error, not an input
        with self._db.write(first=True) as session:
            tx = Transaction(session, self._world, clock())
            judge = Judge(self._world, tx, self._metrics)
            answers = self._judge(group, judge, tx, clock)
            judge.tick()
            if tx.now - self._expired_at >= EXPIRE_EVERY_MS:
                self._expired_at = tx.now
                conditions.expire(self._world, tx)
            samples = judge.finish()
        return answers, samples, tx

    def _judge(self, group: list[Entry], judge: Judge, tx: Transaction, clock: Callable[[], int]) -> list[tuple["Future[Any]", Any]]:
        answers: list[tuple[Future[Any], Any]] = []
        while len(answers) < len(group):
            item, future = group[len(answers)]
            answers.append((future, self._one(item, judge, tx)))
            if self.inbox.pressing(weight(item)):
                self.inbox.let_in(group, len(answers))
                tx.now = max(tx.now, clock())  # what was let in came after the transaction's beginning
        return answers

    def _one(self, item: Item, judge: Judge, tx: Transaction) -> Any:
        match item:
            case GatewayData():
                return judge.data(item)
            case GatewayBirth():
                return judge.birth(item)
            case GatewayDeath():
                return judge.death(item)
            case _:
                assert self._world is not None  # noqa: S101 - for the type checker
                with audit.acting(item.origin):
                    return obey(self._world, tx, judge, item)

    def _count(self, tx: Transaction, samples: int, committed: int) -> None:
        if samples:
            self._metrics.samples_accepted.inc(samples)
        self._metrics.commits.inc()
        for at in tx.raised:
            self._metrics.sample_to_alarm.observe(max(committed - at, 0) / 1000)

    def _recover(self, stop: threading.Event, clock: Callable[[], int]) -> None:
        while not stop.wait(1):
            try:
                self.open(clock())
            except Exception:
                log.exception("memory still cannot be read back; trying again")
            else:
                return
