"""Many gateways without devices: Sparkplug edge nodes, each with its own MQTT connection, all in one thread around one selector.

For load and for the rooms of the demo that are not simulated down to the wire. The protocol is in fleet_node.py, the connection in fleet_link.py, the
values in fleet_source.py.
"""

import argparse
import heapq
import json
import random
import resource
import secrets
import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from contract.sample import Sample
from simulators.fleet_link import Link, Target
from simulators.fleet_node import Counters, EdgeNode, Node
from simulators.fleet_plain import PlainNode
from simulators.fleet_source import LedgerSource, PlantSource, Source, synthetic
from simulators.province_rows import Point, load_points, load_rooms, write_points
from simulators.signals import stop_event

_TIMERS_MS = 200  # how often nodes without news are looked at
_KEEPALIVE_MS = 1_000


def _clock() -> int:
    return time.time_ns() // 1_000_000


class Fleet:
    """Nodes with their connections and their timetable. `now` and all instants are UTC ms.

    Each node measures its points at its own phase of their interval, on whole seconds from 5 s on. `trace` gets a line per accepted reading, in the
    form that `ledger` reads.
    """

    def __init__(
        self, nodes: Sequence[Node], source: Source, target: Target, *, now: int, trace: TextIO | None = None, clock: Callable[[], int] = _clock
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self.links = [Link(node, target, self._selector, clock, random.Random(node.code)) for node in nodes]
        self.sampling = True
        self._source, self._trace = source, trace
        self._agenda = [entry for index, link in enumerate(self.links) for entry in self._timetable(index, link.node, now)]
        heapq.heapify(self._agenda)
        self._dirty = set(self.links)
        self._timers_at = self._keepalive_at = now
        for _, index, _, points in self._agenda:  # the first reading at once: a birth has values
            self._measure(self.links[index], points, now - now % 1000, now)

    def _timetable(self, index: int, node: Node, now: int) -> Iterable[tuple[int, int, int, tuple[Point, ...]]]:
        """(next instant, node, interval in ms, points) for each interval of the node."""
        for interval_s, points in groupby(sorted(node.points, key=lambda p: p.interval_s), key=lambda p: p.interval_s):
            interval = interval_s * 1000
            phase = interval * index // len(self.links) if index else 0
            phase -= phase % 1000 if interval >= 5000 else 0
            yield now - (now - phase) % interval + interval, index, interval, tuple(points)

    @property
    def born(self) -> int:
        """How many nodes have been born at least once."""
        return sum(link.node.counters.births > 0 for link in self.links)

    @property
    def unacknowledged(self) -> int:
        """Readings that wait for an acknowledgement."""
        return sum(link.node.unacknowledged for link in self.links)

    def totals(self) -> dict[str, int]:
        """The counters of all nodes together."""
        every = [asdict(link.node.counters) for link in self.links]
        return {name: sum(c[name] for c in every) for name in asdict(Counters())}

    def run_once(self, now: int) -> None:
        """Measure what is due, send what is due."""
        while self.sampling and self._agenda[0][0] <= now:
            at, index, interval, points = self._agenda[0]
            at += (now - at) // interval * interval  # an instant that was slept through is not made up for
            self._measure(self.links[index], points, at, now)
            heapq.heapreplace(self._agenda, (at + interval, index, interval, points))
        if now >= self._timers_at:
            self._timers_at = now + _TIMERS_MS
            self._dirty |= {link for link in self.links if (due := link.due(now)) is not None and due <= now}
        dirty, self._dirty = self._dirty, set()
        for link in dirty:
            link.run_once(now)
        if now >= self._keepalive_at:
            self._keepalive_at = now + _KEEPALIVE_MS
            for link in self.links:
                link.misc()
            if self._trace is not None:
                self._trace.flush()

    def wait(self, timeout_s: float) -> None:
        """Handle the sockets until something came or the time is over."""
        for key, mask in self._selector.select(timeout_s):
            key.data.ready(mask)
            self._dirty.add(key.data)

    def pause_s(self, now: int) -> float:
        """How long `wait` may take."""
        next_at = min(self._timers_at, self._agenda[0][0] if self.sampling else self._timers_at)
        return max(next_at - now, 0) / 1000

    def close(self, now: int) -> None:
        """Every node says its death and disconnects."""
        for link in self.links:
            link.leave(now)
        self._selector.close()

    def _measure(self, link: Link, points: Sequence[Point], at: int, now: int) -> None:
        samples = self._source.read(points, at)
        link.node.sample(samples, now)
        self._dirty.add(link)
        if self._trace is not None:
            self._trace.writelines(_line(sample) for sample in samples)


def _line(sample: Sample) -> str:
    return json.dumps({"point": str(sample.point), "taken_at": sample.taken_at, "value": sample.value, "quality": sample.quality, "seq": 0}) + "\n"


def nodes(points: Sequence[Point], host_id: str, *, plain: bool = False) -> list[Node]:
    """One node per gateway, each with a new epoch (its outbox is new) and a new bdSeq."""
    made: list[Node] = []
    for code, group in groupby(sorted(points, key=lambda p: p.gateway), key=lambda p: p.gateway):
        bd_seq = secrets.randbelow(256)
        if plain:
            made.append(PlainNode(list(group), host_id, bd_seq))
        else:
            made.append(EdgeNode(list(group), host_id, bd_seq, epoch=secrets.randbits(64), rng=random.Random(code)))
    return made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim fleet`."""
    parser.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--gateways", type=int, default=10)
    parser.add_argument("--points", type=int, default=10, help="per gateway")
    parser.add_argument("--interval", type=int, default=10, metavar="S", help="whole seconds between readings of a point")
    parser.add_argument("--devices", type=Path, metavar="devices.csv", help="take gateways and points from this file (and rooms.csv beside it)")
    parser.add_argument("--feed", default="fleet,weather", help="which rows of the file: fleet, weather, edge")
    parser.add_argument("--values", choices=("ledger", "plant"), help="default: plant with --devices, else ledger")
    parser.add_argument("--duration", type=float, metavar="S", help="end after this time (default: on SIGTERM)")
    parser.add_argument("--drain", type=float, default=30.0, metavar="S", help="how long to wait for acknowledgements at the end")
    parser.add_argument("--host-id", default="aw", help="host application to wait for; '' = publish at once")
    parser.add_argument("--plain", action="store_true", help="a foreign make: DBIRTH and DDATA, no outbox")
    parser.add_argument("--group", default="350100", help="Sparkplug group of synthetic gateways")
    parser.add_argument("--prefix", default="FL", help="how their codes begin")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the synthetic points as devices.csv and end")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="append a JSON line per accepted reading, for `ledger`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1, help="of the subscriptions")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)


def main(args: argparse.Namespace) -> int:
    """Run the fleet: one JSON line when all nodes are born, one with the totals at the end. 2 for options that do not fit, 3 for a missing file."""
    try:
        points = _points(args)
        if args.export is not None:
            write_points(points, args.export)
            return 0
        source = _source(args, points)
        host, _, port = args.broker.rpartition(":")
        password = args.password_file.read_text("utf-8").strip() if args.password_file else None
        target = Target(host or "127.0.0.1", int(port), args.username, password, qos=args.qos)
    except OSError as error:
        return _complain(str(error), 3)
    except (ValueError, TypeError, KeyError) as error:
        return _complain(str(error), 2)
    _allow_files(len({p.gateway for p in points}))
    trace = args.trace.open("a", encoding="utf-8") if args.trace else None
    try:
        fleet = Fleet(nodes(points, args.host_id, plain=args.plain), source, target, now=_clock(), trace=trace)
        _run(fleet, None if args.duration is None else args.duration * 1000, args.drain * 1000)
    finally:
        if trace is not None:
            trace.close()
    return 0


def _run(fleet: Fleet, duration_ms: float | None, drain_ms: float) -> None:
    """The loop: until a signal or the end of the duration, then until everything is acknowledged or the time for that is over."""
    ended, began, told = stop_event(), _clock(), False
    stop_at: float | None = None
    while True:
        now = _clock()
        fleet.run_once(now)
        if not told and fleet.born == len(fleet.links):
            told = True
            _print(
                {"ready": True, "gateways": len(fleet.links), "points": sum(len(x.node.points) for x in fleet.links), "after_s": (now - began) / 1000}
            )
        if stop_at is None and (ended.is_set() or (duration_ms is not None and now - began >= duration_ms)):
            fleet.sampling, stop_at = False, now + (0 if ended.is_set() else drain_ms)
        if stop_at is not None and (now >= stop_at or ended.is_set() or not fleet.unacknowledged):
            break
        fleet.wait(min(fleet.pause_s(now), 0.2))
    left = fleet.unacknowledged
    fleet.close(_clock())
    _print({"ended": True, "seconds": (_clock() - began) / 1000, "unacknowledged": left, **fleet.totals()})


def _points(args: argparse.Namespace) -> list[Point]:
    if args.devices is None:
        return synthetic(args.gateways, args.points, args.interval, group=args.group, prefix=args.prefix)
    feeds = args.feed.split(",")
    points = [p for p in load_points(args.devices) if p.feed in feeds]
    if not points:
        raise ValueError(f"{args.devices} has no points with feed {args.feed}")
    return points


def _source(args: argparse.Namespace, points: Sequence[Point]) -> Source:
    if (args.values or ("plant" if args.devices else "ledger")) == "ledger":
        return LedgerSource()
    if args.devices is None:
        raise ValueError("--values plant needs --devices: only real rooms have a climate")
    rooms = load_rooms(args.devices.with_name("rooms.csv"))
    return PlantSource(points, rooms, seed=args.seed, start=_clock())


def _allow_files(connections: int) -> None:
    """paho keeps three descriptors per client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * connections + 256
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))


def _complain(sentence: str, code: int) -> int:
    _print({"ready": False, "error": sentence})
    return code


def _print(fields: dict[str, Any]) -> None:
    print(json.dumps(fields, ensure_ascii=False), flush=True)
