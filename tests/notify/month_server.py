"""The server of the month, to be killed: all its parts as the product wires them, from the message of the broker to the request at the provider.

Only three things are the test's: the clock, the line to the broker (a pipe to the world of the test), and the people, who answer twenty minutes after
they were told. It dies of SIGKILL at the n-th commit or request, counted while something is going on.
"""

import gc
import os
import random
import signal
import tempfile
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import event, func, select

from alarms.rules import default_rules
from server.app import Parts, tune
from server.duty.cards import default_cards
from server.duty.escalation import default_escalation
from server.ingest.frames import Settled
from server.ingest.mqtt import Incoming
from server.ingest.reader import Reader
from server.notify.channels import ChannelSettings, open_channel
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.texts import default_texts
from server.settings import Settings
from server.store import gateways as store
from server.store.tables import Alarm, EscalationStep, Notification
from server.watch import gateways
from server.watch.commands import Acknowledge, Reset
from tests import shared_statements

MINUTE = 60_000
ANSWER_MS, ANSWERING = 20 * MINUTE, 0.67
LOOK_MS = 5 * MINUTE
"""The incidents' job looks every two seconds in the product; here after every message, and so often."""
QUIET_MS = 50 * 60 * MINUTE
"""The gateways of the month report once a day instead of each minute; so much longer they may be silent."""


@dataclass(frozen=True)
class Orders:
    """What a life begins with. `fuse`: the commit or request at which it ends, 0 = never."""

    settings: Settings
    now: int
    fuse: int
    seed: int


class Beat(NamedTuple):
    """Time has come so far; these messages came from the gateways. `armed`: the fuse burns."""

    now: int
    messages: list[tuple[str, bytes]]
    armed: bool


class Reply(NamedTuple):
    """Commands to the gateways, and when there is something to do again."""

    commands: list[tuple[str, bytes]]
    due: int | None


class Pipe:
    """Stands for the line to the broker."""

    connected = True

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    def send(self, topic: str, payload: bytes) -> None:
        self.said.append((topic, payload))

    def settle(self, settled: Settled) -> None:
        self.send(*settled.command())


@dataclass
class Life:
    """One life of the server."""

    orders: Orders
    now: int = 0
    armed: bool = False
    left: int = 0
    polled: int = 0
    looked: int = 0
    line: Pipe = field(default_factory=Pipe)

    def open(self) -> None:
        gateways.SILENCE_MS = QUIET_MS
        self.now, self.left = self.orders.now, self.orders.fuse
        self.parts = Parts(self.orders.settings, clock=lambda: self.now, line=lambda *_: self.line)
        if self.parts.db.engine.dialect.name == "sqlite":
            event.listen(self.parts.db.engine, "connect", careless)
            self.parts.db.engine.dispose()
        self.parts.watch.open(self.now)
        with self.parts.db.read() as session:
            births = store.last_births(session)
        self.reader = Reader(self.parts.acceptor.take, self.line.send, self.parts.acceptor.count, births)
        for moment in ("commit", "checkin"):  # before a commit, and behind it
            event.listen(self.parts.db.engine, moment, self.burn)
        send = TwilioSms.send

        def sent(channel, message):
            self.burn()
            receipt = send(channel, message)
            self.burn()
            return receipt

        TwilioSms.send = sent

    def burn(self, *_: object) -> None:
        self.left -= self.armed
        if self.left == 0 and self.armed:
            os.kill(os.getpid(), signal.SIGKILL)

    def beat(self, beat: Beat) -> Reply:
        self.now, self.armed = beat.now, beat.armed
        for topic, payload in beat.messages:
            self.reader.accept(Incoming(topic, payload, self.now, 1))
        self.reader.tick(self.now)
        while self.parts.acceptor.keep():
            pass
        self.judge()
        if self.answer():
            self.judge()
        self.parts.dispatcher.run_once(self.now)
        if self.now - self.polled >= 6 * 60 * MINUTE:
            self.polled = self.now
            self.parts.dispatcher.poll_receipts(self.now)
        if beat.messages or self.now - self.looked >= LOOK_MS:
            self.looked = self.now
            self.parts.incidents.run_once(self.now)
        said, self.line.said = self.line.said, []
        return Reply(said, self.next())

    def judge(self) -> None:
        watch = self.parts.watch
        while True:
            watch.run_once(lambda: self.now)
            if not len(watch.inbox):
                return

    def answer(self) -> bool:
        """Two people in three take over what they were told of twenty minutes ago, and reset what is over."""
        told = select(Alarm.id).join(Notification, Notification.alarm == Alarm.id).where(Alarm.state.in_(("active_unacked", "latched_unacked")))
        with self.parts.db.read() as session:
            due = session.scalars(told.group_by(Alarm.id).having(func.min(Notification.sent_at) <= self.now - ANSWER_MS)).all()
        for alarm in due:
            if random.Random(f"{self.orders.seed}{alarm}").random() < ANSWERING:
                self.parts.watch.submit(Acknowledge(alarm=alarm, by="王仓"))
        with self.parts.db.read() as session:
            over = session.scalars(select(Alarm.id).where(Alarm.state == "latched_acked")).all()
        for alarm in over:
            self.parts.watch.submit(Reset(alarm=alarm, by="王仓"))
        return bool(self.parts.watch.inbox)

    def next(self) -> int | None:
        waits = Notification.state.in_(("queued", "claimed"))
        told = select(func.min(Notification.sent_at)).join(Alarm, Alarm.id == Notification.alarm).where(Alarm.state == "active_unacked")
        with self.parts.db.read() as session:
            step = session.scalar(select(func.min(EscalationStep.due)).where(EscalationStep.state == "pending"))
            note = session.scalar(select(func.min(func.coalesce(Notification.claimed_until, Notification.due))).where(waits))
            answer = session.scalar(told.where(Notification.sent_at > self.now - ANSWER_MS))
        timer = self.parts.watch._world.timers._heap[:1]
        times = [step, note, answer and answer + ANSWER_MS, timer[0][0] if timer else None]
        return min((at for at in times if at), default=None)


def careless(connection, _record: object) -> None:
    """A killed process loses nothing that the system has taken; only a power cut would."""
    connection.execute("PRAGMA synchronous=OFF")


def warm() -> None:
    """Lives are forked from a process that has read what the product ships with, has loaded the provider's client and has opened the parts once.

    What it has compiled of SQL they find compiled.
    """
    tune()
    shared_statements.share()
    for ships in (default_rules, default_escalation, default_texts, default_cards):
        ships()
    for kind in ("twilio", "twilio_voice"):
        open_channel(kind, ChannelSettings(account_sid="AC0", token="t", sender="+8613900009999")).close()
    with tempfile.TemporaryDirectory() as folder:
        parts = Parts(Settings(data_dir=Path(folder)), clock=lambda: 0, line=lambda *_: Pipe())
        parts.watch.open(0)
        parts.dispatcher.run_once(0)
        parts.incidents.run_once(0)
        parts.store.close()
        parts.db.close()
    gc.collect()
    gc.freeze()  # a child's collector would look at, and so copy, all that it was forked with


def serve(connection: Connection, orders: Orders) -> None:
    """The process."""
    life = Life(orders)
    life.open()
    connection.send("ready")
    while True:
        try:
            beat = connection.recv()
        except EOFError:
            return
        connection.send(life.beat(beat))


def settings(folder: Path, url: str, sms) -> Settings:
    """The server's settings: the provider by SMS and by voice."""
    token = folder / "token"
    token.write_text(sms.token)
    provider = {"account_sid": sms.account, "token_file": token, "sender": "+8613900009999", "base_url": sms.url}
    return Settings.model_validate({
        "data_dir": folder / "data", "database": url, "sms": {"kind": "twilio", **provider},
        "channels": [{"kind": "twilio_voice", "name": "voice", **provider}],
    })  # fmt: skip
