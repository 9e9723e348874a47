"""The load of a province, made cheaply: `python -m benchmarks.load`, a process of its own that speaks Sparkplug through a real broker.

All gateways share one connection (what is measured is the server, and 1,300 clients would cost the machine more than the server does). Each sends
its points once an interval, every gateway at its own phase; messages are kept and only their instants, values and sequences are changed. Two probe
gateways raise one alarm after the other: a smoke detector that trips, and a reading of the air above a limit without delay.

Prints one JSON object a line: {"births_s": …}, {"born": true}, {"settled_s": …}, then {"probe": metric, "sent": UTC ms} for each probe, at the end
{"sent": messages, "acknowledged": …, "lag_ms": how far behind its timetable it was at worst}.
"""

import argparse
import heapq
import json
import os
import random
import time
from typing import Any

import paho.mqtt.client as paho

from contract.batch import Outbox, PointDeclaration, node_birth, node_data
from contract.sample import PointKey, Sample
from contract.sparkplug import encode
from contract.sparkplug_schema import payload_class
from contract.topics import Kind, Topic

GROUP = "350100"
PROBES = {"smoke": "GW-PROBE-S", "co2": "GW-PROBE-C"}
"""A gateway for each lane: what hurries takes along what waits of its own gateway, so that a shared one would hide how long climate waits."""
QUANTITIES = ("temperature", "humidity", "smoke", "door", "leak", "motion", "temperature", "humidity")
"""The points of one room, in turn."""
PATIENCE_S = 180
CALM = {"temperature": 20.0, "humidity": 52.0}


def metrics(points: int) -> list[str]:
    """Metric names of one gateway's points: eight to a room."""
    return [f"d{n}/{QUANTITIES[n % len(QUANTITIES)]}" for n in range(points)]


def gateway(number: int) -> str:
    return f"GW-LOAD-{number:04}"


def unit(number: int) -> str:
    """One unit a gateway, over nine cities."""
    return f"{350100 + number % 9 * 100}{number:06}"


def room(number: int, point: int) -> str:
    return f"{unit(number)}-{point // len(QUANTITIES) + 1:02}"


def probe_metrics(probes: int) -> list[str]:
    return [f"p{n}/{'smoke' if n % 2 else 'co2'}" for n in range(probes)]


def probe_room(number: int) -> str:
    """Probes stand in many units, so that they are many alarms and not one common cause."""
    return f"{unit(number)}-90"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Talker:
    """One gateway's message, built once and changed in place."""

    def __init__(self, number: int, points: int, interval_s: float) -> None:
        self.code, self.points = gateway(number), points
        self.declared = [PointDeclaration(name, n, room(number, n), "", interval_s) for n, name in enumerate(metrics(points))]
        self._values = [CALM.get(PointKey.of("-", name).quantity) for name in metrics(points)]
        self._topic = str(Topic(GROUP, Kind.NDATA, self.code))
        samples = [Sample(PointKey.of(self.code, d.metric), 1, value or 0.0) for d, value in zip(self.declared, self._values, strict=True)]
        aliases = {d.metric: n for n, d in enumerate(self.declared)}
        self._message = payload_class().FromString(encode(node_data(samples, aliases, now=1, seq=0, outbox=Outbox(77, 1, points))))
        self._sent = 0

    def birth(self, now: int) -> tuple[str, bytes]:
        payload = node_birth(self.declared, now=now, bd_seq=0, outbox=Outbox(77, 1, 0))
        return str(Topic(GROUP, Kind.NBIRTH, self.code)), encode(payload)

    def data(self, now: int, dice: random.Random) -> tuple[str, bytes]:
        message, first = self._message, self._sent * self.points + 1
        self._sent += 1
        message.timestamp, message.seq = now, self._sent % 256
        shift = dice.random()
        for index, metric in enumerate(message.metrics):
            metric.timestamp = now
            if index == 1:
                metric.long_value = first
            elif index == 2:
                metric.long_value = first + self.points - 1
            elif index > 2 and (value := self._values[index - 3]) is not None:
                metric.double_value = value + shift
        return self._topic, message.SerializeToString()


class Probe:
    """A gateway of its own whose points of one quantity trip one after the other."""

    def __init__(self, probes: int, quantity: str) -> None:
        self._code = PROBES[quantity]
        self.names = [name for name in probe_metrics(probes) if name.endswith(quantity)]
        self._aliases = {name: n for n, name in enumerate(self.names)}
        self._sequence = self._messages = 0

    def birth(self, now: int) -> tuple[str, bytes]:
        points = [PointDeclaration(name, n, probe_room(int(name[1:].partition("/")[0])), "", 600.0) for n, name in enumerate(self.names)]
        return str(Topic(GROUP, Kind.NBIRTH, self._code)), encode(node_birth(points, now=now, bd_seq=0, outbox=Outbox(77, 1, 0)))

    def say(self, names: list[str], now: int, tripped: bool) -> tuple[str, bytes]:
        samples = [Sample(PointKey.of(self._code, name), now, float(tripped) if name.endswith("smoke") else 500.0 + 3000 * tripped) for name in names]
        first, self._sequence = self._sequence + 1, self._sequence + len(names)
        box = Outbox(77, first, self._sequence)
        self._messages += 1
        payload = node_data(samples, self._aliases, now=now, seq=self._messages % 256, outbox=box)
        return str(Topic(GROUP, Kind.NDATA, self._code)), encode(payload)


class Load:
    """The connection and the timetable."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._dice, self.acknowledged, self._ready = options, random.Random(7), 0, False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="load")
        self._client.max_queued_messages_set(0)
        self._client.on_connect = lambda client, *_: client.subscribe(f"spBv1.0/{GROUP}/NCMD/+", 0)
        self._client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        self._client.on_message = self._heard
        host, _, port = options.broker.rpartition(":")
        self._client.connect(host, int(port))

    def _heard(self, *_: Any) -> None:
        self.acknowledged += 1

    def _turn(self, timeout: float) -> None:
        self._client.loop(max(timeout, 0.0001))

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._turn(left)

    def _say(self, message: tuple[str, bytes]) -> None:
        self._client.publish(*message, qos=0)

    def run(self) -> None:
        options = self._options
        while not self._ready:
            self._turn(0.1)
        talkers = [Talker(n, options.points, options.interval) for n in range(options.gateways)]
        probes = [Probe(options.probes, quantity) for quantity in PROBES]
        for one in (*talkers, *probes):
            self._say(one.birth(now_ms()))
            self._pause(0.002)
        began = time.monotonic()
        while self.acknowledged < len(talkers) + len(probes) and time.monotonic() < began + PATIENCE_S:  # each birth is answered behind its commit
            self._turn(0.05)
        print(json.dumps({"births_s": round(time.monotonic() - began, 1), "answered": self.acknowledged}), flush=True)
        for probe in probes:
            self._say(probe.say(probe.names, now_ms(), False))
        print(json.dumps({"born": True}), flush=True)
        self._pause(options.warm if talkers else 1.0)
        before = self.acknowledged
        sent, lag = self._send(talkers, {name: probe for probe in probes for name in probe.names})
        self._pause(2)
        print(json.dumps({"sent": sent, "acknowledged": self.acknowledged - before, "lag_ms": round(lag * 1000)}), flush=True)

    def _send(self, talkers: list[Talker], probes: dict[str, Probe]) -> tuple[int, float]:
        """Until every probe has tripped."""
        options, began = self._options, time.monotonic()
        agenda = [(began + options.interval * n / max(len(talkers), 1), n) for n in range(len(talkers))]
        order = list(probes)
        self._dice.shuffle(order)
        trips: list[float] = []
        sent, lag, before = 0, 0.0, self.acknowledged
        while order:
            now = time.monotonic()
            if not trips and (sent - (self.acknowledged - before) <= len(talkers) / 2 or now > began + PATIENCE_S) and now > began + options.settle:
                # Every point's first sample costs the server many times its later ones: what is measured is a province at work, not one that begins.
                print(json.dumps({"settled_s": round(now - began, 1)}), flush=True)
                settled = now
                trips = sorted(now + options.seconds * self._dice.random() for _ in probes)
            if trips and trips[0] <= now:
                trips.pop(0)
                name = order.pop()
                stamp = now_ms()
                self._say(probes[name].say([name], stamp, True))
                print(json.dumps({"probe": name, "sent": stamp}), flush=True)
            while agenda and agenda[0][0] <= now:
                due, number = agenda[0]
                heapq.heapreplace(agenda, (due + options.interval, number))
                self._say(talkers[number].data(now_ms(), self._dice))
                sent, lag = sent + 1, max(lag, now - due) if trips and now > settled else lag
            coming = [trips[0]] if trips else []
            self._turn(min([0.05, *(at - time.monotonic() for at in coming), *(entry[0] - time.monotonic() for entry in agenda[:1])]))
        return sent, lag


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--gateways", type=int, default=0)
    parser.add_argument("--points", type=int, default=24, help="of a gateway")
    parser.add_argument("--interval", type=float, default=1.0, metavar="S")
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--warm", type=float, default=1.0, metavar="S", help="between the births and the first message")
    parser.add_argument(
        "--settle", type=float, default=5.0, metavar="S", help="of load before the first probe, at least: until the server has caught up"
    )
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="over which the probes trip")
    os.nice(10)  # the gateways have processors of their own: what measures does not go before what is measured
    Load(parser.parse_args()).run()


if __name__ == "__main__":
    main()
