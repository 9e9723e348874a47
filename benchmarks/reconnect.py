"""A province comes back after its server was killed: `python -m benchmarks.reconnect FOLDER [GATEWAYS]`, as JSON; exit 1 when anything is wrong.

A real server process behind a real broker; the gateways (24 points each, read every ten seconds) are this process, with a spool each and one
connection for all. The server gets kill -9 and stays away for twenty seconds, in which three rooms begin to burn. When it is back, all gateways are
born again within ten seconds, in any order, and send what they have kept. Then every room must be watched, each sample stored once, the three fires
raised, and nothing else.
"""

import heapq
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from sqlalchemy import func, select

from benchmarks import load
from benchmarks.latency import POINTS, prepare
from contract.batch import Outbox, PointDeclaration, node_birth, node_data, read_command
from contract.sample import PointKey, Sample
from contract.sparkplug import Payload, decode, encode
from contract.topics import Kind, Topic, parse, read_state
from server.app import Parts
from server.settings import Settings
from server.store.session import Database
from server.store.tables import Alarm, CoverageSpan, Journal, Room
from simulators.broker import Broker, free_port

EVERY_S, AWAY_S, WITHIN_S, RESEND_S, AFTER_S = 10.0, 20.0, 10.0, 15.0, 30.0
PATIENCE_S = 240.0
FIRES = 3
EPOCH = 77


class Gate:
    """One gateway: its session and its spool."""

    def __init__(self, number: int) -> None:
        self.code, self.metrics = load.gateway(number), load.metrics(POINTS)
        self.declared = [PointDeclaration(name, n, load.room(number, n), "", EVERY_S) for n, name in enumerate(self.metrics)]
        self._aliases = {name: n for n, name in enumerate(self.metrics)}
        self.born, self.burns = False, False
        self.written = self._seq = 0
        self.spool: deque[tuple[int, int, int]] = deque()  # first, last, taken at

    def _topic(self, kind: Kind) -> str:
        return str(Topic(load.GROUP, kind, self.code))

    def birth(self, now: int) -> tuple[str, bytes]:
        self.born, self._seq = True, 0
        first = self.spool[0][0] if self.spool else self.written + 1
        return self._topic(Kind.NBIRTH), encode(node_birth(self.declared, now=now, bd_seq=0, outbox=Outbox(EPOCH, first, self.written)))

    def measure(self, now: int) -> None:
        self.spool.append((self.written + 1, self.written + POINTS, now))
        self.written += POINTS

    def message(self, place: int, now: int) -> tuple[str, bytes]:
        first, last, taken = self.spool[place]
        values = [1.0 if self.burns and "/smoke" in name else load.CALM.get(PointKey.of("-", name).quantity, 0.0) for name in self.metrics]
        samples = [Sample(PointKey.of(self.code, name), taken, value) for name, value in zip(self.metrics, values, strict=True)]
        self._seq = (self._seq + 1) % 256
        late = now - taken > 2_000 * EVERY_S
        payload: Payload = node_data(samples, self._aliases, now=now, seq=self._seq, outbox=Outbox(EPOCH, first, last), historical=late)
        return self._topic(Kind.NDATA), encode(payload)

    def forget(self, upto: int) -> None:
        while self.spool and self.spool[0][1] <= upto:
            self.spool.popleft()


class Province:
    """All gateways on one connection."""

    def __init__(self, broker: Broker, gateways: int) -> None:
        self.gates = {gate.code: gate for gate in map(Gate, range(gateways))}
        self.online = False
        self._dice = random.Random(gateways)
        began = time.monotonic()
        self._agenda: list[tuple[float, str, str]] = [(began + EVERY_S * self._dice.random(), "measure", code) for code in self.gates]
        heapq.heapify(self._agenda)
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="province")
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._heard
        self._client.on_connect = lambda client, *_: client.subscribe([("spBv1.0/STATE/aw", 1), (f"spBv1.0/{load.GROUP}/NCMD/+", 0)])
        self._client.connect(broker.host, broker.port)

    def _heard(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        topic = parse(message.topic)
        if topic.kind is Kind.STATE:
            self.online = read_state(message.payload)[0]
            return
        gate, command = self.gates.get(topic.node), read_command(decode(message.payload))
        if gate is not None and command.rebirth:
            self._return(gate)
        if gate is not None and command.ack is not None:
            gate.forget(command.ack.upto)

    def come(self) -> None:
        """Everybody is born at his own moment of the next ten seconds."""
        for code in self.gates:
            heapq.heappush(self._agenda, (time.monotonic() + WITHIN_S * self._dice.random(), "return", code))

    def leave(self) -> None:
        for gate in self.gates.values():
            gate.born = False

    def _return(self, gate: Gate) -> None:
        now = load.now_ms()
        self._client.publish(*gate.birth(now), qos=0)
        for place in range(len(gate.spool)):
            self._client.publish(*gate.message(place, now), qos=0)

    def _due(self, what: str, gate: Gate) -> None:
        now = load.now_ms()
        if what == "return":
            self._return(gate)
        else:
            gate.measure(now)
            heapq.heappush(self._agenda, (time.monotonic() + EVERY_S, what, gate.code))
            unanswered = [place for place, (_, _, taken) in enumerate(gate.spool) if now - taken > 1_000 * RESEND_S]
            for place in [*unanswered, len(gate.spool) - 1] if gate.born else ():
                self._client.publish(*gate.message(place, now), qos=0)

    def run(self, seconds: float, until: Any = lambda: False) -> bool:
        """Live on for so long, or until something holds (asked once a second); whether it came to hold."""
        end, asked = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            if now - asked >= 1.0:
                asked = now
                if until():
                    return True
            while self._agenda[0][0] <= now:
                _, what, code = heapq.heappop(self._agenda)
                self._due(what, self.gates[code])
            self._client.loop(max(min(self._agenda[0][0] - time.monotonic(), 0.05), 0.001))
        return False


class Witness:
    """What the server's database says."""

    def __init__(self, url: str) -> None:
        self._db = Database(url)

    def green(self) -> bool:
        """Whether every room with points is watched."""
        with self._db.read() as session:
            rooms = session.scalar(select(func.count()).select_from(Room).where(~Room.code.like("%-90")))
            watched = select(func.count()).select_from(CoverageSpan).where(CoverageSpan.until.is_(None), CoverageSpan.state == "watched")
            return rooms == session.scalar(watched)

    def alarms(self) -> list[tuple[str, str]]:
        with self._db.read() as session:
            return sorted((alarm.room or alarm.subject, alarm.rule) for alarm in session.scalars(select(Alarm)))

    def stored(self) -> int:
        with self._db.read() as session:
            return session.scalar(select(func.sum(Journal.count))) or 0


def _serve(folder: Path, broker: Broker) -> "subprocess.Popen[bytes]":
    config = folder / "server.yaml"
    config.write_text(json.dumps({"listen": f"127.0.0.1:{free_port()}", "data_dir": str(folder / "server"),
                                  "broker": {"host": broker.host, "port": broker.port}}), "utf-8")  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "server", "serve", "--config", str(config)], stderr=(folder / "server.log").open("ab"))


def measure(folder: Path, gateways: int) -> dict[str, Any]:
    """Times in seconds from the start of the second server process; `wrong` is empty when all is well. Raises TimeoutError."""
    (folder / "server").mkdir(parents=True)
    parts = Parts(Settings(data_dir=folder / "server"))
    prepare(parts, gateways, POINTS, 0)
    url = parts.settings.database_url
    parts.store.close()
    parts.db.close()
    with Broker(folder / "broker") as broker:
        province, witness = Province(broker, gateways), Witness(url)
        server = _serve(folder, broker)
        try:
            return _act(province, witness, server, lambda: _serve(folder, broker))
        finally:
            server.kill()


def _wait(province: Province, what: str, true: Any) -> None:
    if not province.run(PATIENCE_S, true):
        raise TimeoutError(what)


def _act(province: Province, witness: Witness, server: "subprocess.Popen[bytes]", again: Any) -> dict[str, Any]:
    _wait(province, "the server never came online", lambda: province.online)
    province.come()
    _wait(province, "not every room was ever watched", witness.green)
    server.send_signal(signal.SIGKILL)
    server.wait()
    province.leave()
    province.run(AWAY_S / 2)
    burning = list(province.gates.values())[:: max(len(province.gates) // FIRES, 1)][:FIRES]
    for gate in burning:
        gate.burns = True
    province.run(AWAY_S / 2)
    province.online = False
    began, server = time.monotonic(), again()
    try:
        _wait(province, "the server never came back", lambda: province.online)
        online = time.monotonic()
        province.come()
        province.run(WITHIN_S)
        _wait(province, "not every room is watched again", witness.green)
        green = time.monotonic()
        _wait(province, "spools are never empty", lambda: not any(len(gate.spool) > 1 for gate in province.gates.values()))
        empty = time.monotonic()
        province.run(AFTER_S)
        expected = [(gate.declared[n].room, "smoke") for gate in burning for n, name in enumerate(gate.metrics) if "/smoke" in name]
        written = sum(gate.written for gate in province.gates.values())
        waiting = sum(last - first + 1 for gate in province.gates.values() for first, last, _ in gate.spool)
        alarms, stored = witness.alarms(), witness.stored()
    finally:
        server.terminate()
        server.wait(30)
    raised, due = Counter(alarms), Counter(expected)
    wrong = {"alarms": list((raised - due).elements()), "not_raised": list((due - raised).elements())}
    if not written - waiting <= stored <= written:
        wrong["samples"] = [("written", str(written)), ("stored", str(stored))]
    times = {"online_s": online - began, "green_s": green - began, "spools_empty_s": empty - began}
    return {"gateways": len(province.gates), **{name: round(value, 1) for name, value in times.items()}, "samples": stored,
            "wrong": {name: found for name, found in wrong.items() if found}}  # fmt: skip


def main() -> int:
    folder, *more = sys.argv[1:]
    found = measure(Path(folder), int(more[0]) if more else 1_300)
    print(json.dumps(found, ensure_ascii=False))
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
