"""Sample received → alarm committed, through the whole server: broker, transport, decoding, watch, database, live board, history; all its threads.

The server's parts run in this process as `serve` runs them (without the web server), the load in another (load.py), the broker in a third. The
instant of receipt is the one that the transport stamps on the message, that of the commit is taken when the watch publishes, which it does behind
its commit. Both are of one clock. The commit is durable: SQLite, WAL, synchronous FULL.
"""

import asyncio
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import select

import alarms
from benchmarks import load
from benchmarks.figures import row, spread
from server.app import Parts
from server.interpreter import tune
from server.live.facts import AlarmFact, Fact, ReadingFact
from server.settings import BrokerSettings, Settings
from server.store.tables import Gateway, Person, Point, Room, Unit
from simulators.broker import Broker

GATEWAYS, POINTS, INTERVAL_S = 1_300, 24, 1.0
"""31,200 points a second: 1,300 units × 3 rooms × 8 points, each once a second."""
RULES = Path(alarms.__file__).with_name("default-rules.yaml")
PROBE_RULE = """
  - {name: probe_high, kind: threshold, quantity: co2, ladder: {urgent: {above: 3000, on_delay: 0s}}, deadband: 1}
"""
CITIES = 9


class Witness:
    """Stands before the hub and notes when the alarm of each point was committed."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._through = parts, parts.watch.publish
        self.received: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        parts.watch.publish = self

    def __call__(self, facts: Sequence[Fact], now: int) -> None:
        committed = time.time_ns() // 1_000_000
        new = {f.subject for f in facts if type(f) is AlarmFact and f.annunciate and f.subject not in self.committed}
        if new:
            self.committed |= dict.fromkeys(new, committed)
            found = ((f"point:{fact.point_id}", fact) for fact in facts if type(fact) is ReadingFact)
            self.received |= {subject: fact.received_at for subject, fact in found if subject in new}
        self._through(facts, now)


def prepare(parts: Parts, gateways: int, points: int, probes: int) -> None:
    """Units, rooms and claimed gateways."""
    units = max(gateways, probes)
    with parts.db.write() as session:
        session.add(Unit(code="350000000000", level=1, name="省", short_name="省"))
        session.flush()
        cities = [f"{350100 + n * 100}000000" for n in range(CITIES)]
        session.add_all(Unit(code=code, parent="350000000000", level=2, name=f"市{code}", short_name=code[2:4]) for code in cities)
        session.flush()
        names = [load.unit(n) for n in range(units)]
        stations = [code for code in names if code not in cities]
        session.add_all(Unit(code=code, parent=f"{code[:6]}000000", level=3, name=f"分局{code}", short_name=code[-4:]) for code in stations)
        session.flush()
        rooms = {load.room(n, p) for n in range(gateways) for p in range(points)} | {load.probe_room(n) for n in range(probes)}
        wanted = ["temperature", "humidity"]
        session.add_all(
            Room(code=code, unit=code[:12], name="库", short_name="库", sms_place="库", demanded=[] if code.endswith("-90") else wanted)
            for code in sorted(rooms)
        )
        session.flush()
        session.add_all(Person(code=f"P{c}", name=f"责任人{c}", phone="+8613900000001", unit=c, duty="person_in_charge") for c in names)
        session.add_all(
            Gateway(code=code, group_id=load.GROUP, unit=owner, changed_at=0, online=False)
            for code, owner in [
                *((load.gateway(n), load.unit(n)) for n in range(gateways)),
                *((code, "350000000000") for code in load.PROBES.values()),
            ]
        )


class Server:
    """The parts of the server, running until the end of the block."""

    def __init__(self, folder: Path, broker: Broker, gateways: int, points: int, probes: int) -> None:
        folder.mkdir()
        rules = folder / "rules.yaml"
        rules.write_text(RULES.read_text("utf-8") + PROBE_RULE, "utf-8")
        self.parts = Parts(Settings(data_dir=folder, rules=rules, broker=BrokerSettings(host=broker.host, port=broker.port)))
        prepare(self.parts, gateways, points, probes)
        self.witness = Witness(self.parts)
        self._loop = asyncio.new_event_loop()
        self._hub = threading.Thread(target=self._loop.run_forever, name="hub", daemon=True)

    def __enter__(self) -> Self:
        tune()
        self.parts.start()
        self._hub.start()
        self._sending = asyncio.run_coroutine_threadsafe(self.parts.hub.run(self.parts.clock), self._loop)
        while not self.parts.transport.connected:
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.stop()
        self._sending.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._hub.join(5)
        self._loop.close()

    def counters(self) -> dict[str, float]:
        """What the server counted."""
        wanted = ("samples_accepted_total", "refused_total", "commits_total", "commit_failures_total", "rebirth_requests_total")
        samples = [one for family in self.parts.metrics.registry.collect() for one in family.samples]
        return {
            "/".join([one.name.removeprefix("archivewatch_"), *one.labels.values()]): one.value
            for one in samples
            if one.name.removeprefix("archivewatch_") in wanted
        }

    def names(self) -> dict[str, str]:
        """Subject of each probe -> its metric."""
        with self.parts.db.read() as session:
            found = session.scalars(select(Point).where(Point.gateway.in_(load.PROBES.values()))).all()
        return {f"point:{row.id}": f"{row.device}/{row.quantity}" for row in found}


def measure(folder: Path, *, gateways: int, points: int, probes: int, seconds: float) -> dict[str, Any]:
    """ms from receipt (`received`) and from sending (`sent`) to the commit, by lane; what the load and the server say of themselves."""
    options = {"gateways": gateways, "points": points, "interval": INTERVAL_S, "probes": probes, "seconds": seconds}
    if gateways:
        options["warm"], options["settle"] = 3, 10
    folder.mkdir(parents=True, exist_ok=True)
    with Broker(folder / "broker") as broker, Server(folder / "server", broker, gateways, points, probes) as server:
        command = [sys.executable, "-m", "benchmarks.load", "--broker", broker.address]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        subjects, witness, busy = server.names(), server.witness, thread_seconds()
        told = server.counters()
    lines = [json.loads(line) for line in said]
    sent = {line["probe"]: line["sent"] for line in lines if "probe" in line}
    return {
        "lanes": _lanes(subjects, witness, sent),
        "load": {**lines[-1], **next((one for one in lines if "settled_s" in one), {})},
        "server": told,
        "cpu_s": busy,
    }


def thread_seconds() -> dict[str, float]:
    """CPU seconds of each of our threads so far (Linux; empty elsewhere)."""
    spent = {}
    for thread in threading.enumerate():
        told = Path(f"/proc/self/task/{thread.native_id}/stat")
        if told.exists():
            fields = told.read_text("utf-8").rpartition(")")[2].split()
            spent[thread.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def _lanes(subjects: dict[str, str], witness: Witness, sent: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for lane, ending in (("urgent", "/smoke"), ("climate", "/co2")):
        mine = [subject for subject, name in subjects.items() if name.endswith(ending) and name in sent]
        done = [subject for subject in mine if subject in witness.committed]
        found[lane] = {
            "received": spread([witness.committed[s] - witness.received[s] for s in done]) if done else {},
            "sent": spread([witness.committed[s] - sent[subjects[s]] for s in done]) if done else {},
            "missing": len(mine) - len(done),
        }
    return found


IDLE, LOADED = "idle", "at 31,200 points/s"
GOALS = {(IDLE, "urgent"): 20, (IDLE, "climate"): 60, (LOADED, "urgent"): 50, (LOADED, "climate"): 250}
"""ms, p99, from the receipt of the sample to the durable commit of its alarm."""
LANES = {"urgent": "smoke", "climate": "climate"}


def rows(folder: Path, quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The four figures with their goals, and everything behind them."""
    probes, seconds = (60, 10) if quick else (400, 180)
    found = {
        IDLE: measure(folder / "idle", gateways=0, points=POINTS, probes=probes, seconds=seconds),
        LOADED: measure(folder / "loaded", gateways=GATEWAYS, points=POINTS, probes=probes, seconds=seconds),
    }
    made = []
    for (load_, lane), goal in GOALS.items():
        taken = found[load_]["lanes"][lane]
        name = f"sample received → alarm committed, {LANES[lane]}, {load_}: p99"
        value = taken["received"].get("p99", math.inf)
        made.append(row(name, value, "ms", "goal", goal, spread=taken["received"], from_sending=taken["sent"], missing=taken["missing"]))
    return made, found


def main() -> None:
    """python -m benchmarks.latency FOLDER GATEWAYS PROBES SECONDS: one measurement, as JSON."""
    folder, gateways, probes, seconds = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    print(json.dumps(measure(Path(folder), gateways=int(gateways), points=POINTS, probes=int(probes), seconds=float(seconds)), indent=1))


if __name__ == "__main__":
    main()
