"""The demo's own processes under fire, and the judge: what the spools accepted against what the server stored, alarmed and sent."""

import fcntl
import json
import os
import random
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from contract.sample import PointKey
from server.history import History
from server.series.choose import open_store
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Notification, Point, Watermark
from simulators.demo import Demo, Site, prepare
from simulators.demo_site import PORTS
from simulators.ledger import Ledger, Stored, check
from simulators.ledger_events import Due, check_messages

TRACE = {"trace_accepted": "accepted.jsonl"}
QUICK_EDGE = {"uplink": {"flush_ms": 200, "resend_s": 2, "urgent_resend_s": 1}}


class Slice:
    """A demo in a folder of its own, with short resend times, traced spools and no history."""

    def __init__(self, folder, ports, template, *, edge=None, environment=None, only=None):
        self.folder, self.only = folder, only
        shutil.copytree(template, folder)
        self.site: Site = prepare(folder, ports, lambda _text: None, days=0)
        self.site.write(edge={key: QUICK_EDGE.get(key, {}) | (edge or {}).get(key, {}) for key in ("uplink", "spool")} | TRACE, interval_s=1)
        self.demo = Demo(self.site, fleet=only is None, environment=environment)
        if only is not None:
            self.demo.edges = {only: self.demo.edges[only]}

    @property
    def gateways(self):
        return list(self.site.gateways) if self.only is None else [self.only]

    def state(self, room, quantity, value):
        """Set what the simulated sensors of a room measure; None lets the physics go on."""
        reply = httpx.post(f"{self.site.control_url}/rooms/{room}/override", json={"quantity": quantity, "value": value}, timeout=10)
        reply.raise_for_status()

    def accepted(self, *, upto=None):
        """What the spools accepted, by gateway; `upto` cuts at line counts taken earlier."""
        ledger = Ledger()
        for gateway in self.gateways:
            path = self.folder / gateway / "accepted.jsonl"
            lines = path.read_bytes().splitlines() if path.exists() else []
            ledger.read_lines(lines if upto is None else lines[: upto[gateway]])
        return ledger

    def lines(self):
        counts = {}
        for gateway in self.gateways:
            path = self.folder / gateway / "accepted.jsonl"
            counts[gateway] = len(path.read_bytes().splitlines()) if path.exists() else 0
        return counts

    def last_sequences(self):
        """The highest sequence each spool's trace has reached."""
        reached = {}
        for gateway in self.gateways:
            path = self.folder / gateway / "accepted.jsonl"
            numbers = []
            for line in path.read_bytes().splitlines() if path.exists() else []:
                try:
                    numbers.append(json.loads(line)["seq"])
                except ValueError:
                    continue
            reached[gateway] = max(numbers, default=0)
        return reached

    def watermarks(self):
        """Highest watermark of each gateway, read from the running server's database."""
        with sqlite3.connect(f"file:{self.folder / 'server/data/archivewatch.db'}?mode=ro", uri=True, timeout=30) as connection:
            return dict(connection.execute("SELECT gateway, max(upto) FROM watermark GROUP BY gateway"))

    def drained(self, wanted, seconds, still=None):
        """Wait until the server holds everything up to the given sequences; False if it does not come to it, or nothing moved for `still` seconds."""
        deadline = time.monotonic() + seconds
        moved, before = time.monotonic(), None
        while time.monotonic() < deadline:
            held = self.watermarks()
            if all(held.get(gateway, 0) >= last for gateway, last in wanted.items()):
                return True
            if held != before:
                moved, before = time.monotonic(), held
            if still is not None and time.monotonic() - moved > still:
                return False
            threading.Event().wait(0.1)
        return False

    def stored(self):
        """Every row of the series store of the edges' points, after the server has stopped and the journal is drained."""
        db = Database(f"sqlite:///{self.folder / 'server/data/archivewatch.db'}")
        store = open_store("embedded", self.folder / "server/data/series")
        try:
            history = History(db, store)
            while history.run_once(2**41):
                pass
            with db.read() as session:
                points = {p.id: str(PointKey(p.gateway, p.device, p.quantity, p.channel)) for p in session.scalars(select(Point))}
            mine = [ident for ident, key in points.items() if key.split("/")[0] in self.gateways]
            return [Stored(points[row.point_id], row.taken_at, row.value) for row in store.raw(mine, 0, 4_102_444_000_000)]
        finally:
            store.close()
            db.close()

    def rows(self, table):
        db = Database(f"sqlite:///{self.folder / 'server/data/archivewatch.db'}")
        try:
            with db.read() as session:
                return list(session.scalars(select(table)))
        finally:
            db.close()

    def lost_sequences(self):
        return sum(mark.lost for mark in self.rows(Watermark))

    def messages(self):
        return httpx.get(f"{self.site.sms_url}/control/messages", timeout=10).json()

    def judge_samples(self, counts, killed_at=(), **options):
        """LOST, DUP, WRONG, GHOST of everything that the spools accepted up to `counts`, after the server has stopped."""
        accepted = self.accepted(upto=counts)
        newest = max(sample.taken_at for sample in accepted)
        stored = [row for row in self.stored() if row.taken_at <= newest]
        # A kill between the spool's commit and the trace leaves samples without a trace line; they are noted, not GHOST.
        return accepted, check(accepted, stored, untraced=[(at - 15_000, at + 15_000) for at in killed_at], **options)

    def judge_messages(self, messages):
        """Each notification that left is one message at the gateway, and none waits."""
        due = [Due(row.phone, (row.text,)) for row in self.rows(Notification) if row.state in ("sent", "delivered", "undelivered")]
        verdict = check_messages(due, messages)
        waiting = [row for row in self.rows(Notification) if row.state in ("queued", "claimed", "failed")]
        return verdict, waiting

    def judge_steps(self):
        """No step of the escalation has two messages to one number."""
        seen = [(row.escalation_step, row.phone) for row in self.rows(Notification)]
        return [key for key in seen if seen.count(key) > 1], [row for row in self.rows(EscalationStep) if row.state == "done"]

    def open_alarms(self, rule):
        return [alarm for alarm in self.rows(Alarm) if alarm.rule == rule]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A loaded province without history, made once for all workers: the import commands are tested elsewhere and take seconds each."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "province" / "slice"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder.parent / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(folder, dict(PORTS), lambda _text: None, days=0)
            (folder.parent / "ready").touch()
    return folder


@pytest.fixture
def make_slice(tmp_path, port_factory, template):
    made = []

    def make(**options):
        # AF_UNIX and pseudo-terminal links have short names; the folder of the test is deep enough to matter nowhere else.
        created = Slice(Path(tmp_path) / f"slice{len(made)}", {name: port_factory() for name in PORTS}, template, **options)
        made.append(created)
        return created

    yield make
    for each in made:
        each.demo.stop()


def until(true, seconds, what):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.1)


@pytest.fixture
def wait_until():
    return until


@pytest.fixture
def dice():
    return random.Random(20261122)
