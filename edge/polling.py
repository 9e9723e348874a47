"""One loop per bus: who is asked next, what becomes of the answer, and who is left alone for a while.

A device that fails is asked again soon, then quarantined: it is probed at growing
distances, one probe at a time, and only when no healthy device is waiting. So a silent device costs its neighbours one timeout now and then. Trouble
is logged when it begins and when it ends, not in between.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contract.readings import Reading
from contract.writing import Order
from edge.drivers import Arrival, Driver, DriverError
from edge.health import Health, failed, goes_offline
from edge.intake import Intake, Report
from edge.orders import Orders
from edge.plan import Device
from edge.schedule import Schedule, Turn

_log = logging.getLogger("edge.polling")

_AGAIN_MS: Final = 1_000  # soonest second try of a device that failed once
_SILENT_INTERVALS: Final = 3  # of a device that speaks by itself
_SILENT_MS: Final = 60_000
_IDLE_MS: Final = 1_000
_BUS_REASON: Final = "bus_unreachable"  # told of the bus once, not of each device

Sink = Callable[[Sequence[Report]], None]
StillSink = Callable[[Device, Arrival, int, float], None]
Rehearse = Callable[[str, Sequence[Reading], int], list[Report]]


@dataclass(slots=True)
class Counters:
    """Of one bus since start."""

    reads: int = 0
    failures: int = 0
    late: int = 0  # turns that began more than a period after they were due
    bus_failures: int = 0


class BusLoop:
    """The devices of one bus behind one driver. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(
        self,
        name: str,
        driver: Driver,
        devices: Sequence[Device],
        intake: Intake,
        sink: Sink,
        *,
        speaks: bool = False,
        noise: random.Random | None = None,
        stills: StillSink | None = None,
        orders: Orders | None = None,
        rehearse: Rehearse = lambda _device, _readings, _now: [],
    ) -> None:
        self.name = name
        self.counters = Counters()
        self.health = {device.name: Health() for device in devices}
        self.trouble = ""
        self._driver, self._intake, self._sink, self._speaks, self._stills = driver, intake, sink, speaks, stills
        self._orders, self._ordered = orders, asyncio.Event()
        self._rehearse = rehearse
        self._devices = {device.name: device for device in devices}
        self._schedule = Schedule(() if speaks else devices, noise or random.Random(), self.health.__getitem__)  # noqa: S311
        self._failing: set[str] = set()  # and nobody was told yet
        self._heard: dict[str, float] = {}  # of devices that speak: mono of the last message
        self._started: float | None = None

    # ------------------------------------------------------------------------------------------------------------------------------ running

    def order(self, order: Order, now: int, mono: float) -> None:
        """Queue a write; it comes before every reading."""
        if self._orders is not None:
            self._orders.take(order, now, mono)
            self._ordered.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not when a write is ordered."""
        if self._orders is None:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._ordered.wait()
        except TimeoutError:
            return
        self._ordered.clear()

    async def run_once(self, clock: Callable[[], tuple[int, float]]) -> float:
        """Serve the turn that is due, if any, or wait for the next message. `clock` gives (now, mono). Returns when to come back (mono)."""
        now, mono = clock()
        if self._started is None:
            self._started = mono
            self._schedule.start(mono)
        self._report(self._intake.tick(now, mono))
        if self._speaks:
            await self.hear_once(clock)
            self._notice_silent(*clock())
            return clock()[1]
        if self._orders is not None and self._orders.due <= mono:
            self._arrived(await self._orders.serve(self._driver, clock), *clock(), 0)
        elif (turn := self._schedule.take(mono)) is not None:
            try:
                await self._serve(turn, clock)
            finally:
                self._schedule.put(turn)
        now, mono = clock()
        self._notice_offline(now, mono)
        ordered = float("inf") if self._orders is None else self._orders.due
        due = self._schedule.next_due()
        return max(mono, min(ordered, mono + _IDLE_MS if math.isinf(due) else due))

    async def _serve(self, turn: Turn, clock: Callable[[], tuple[int, float]]) -> None:
        job, started = turn.job, clock()[1]
        period = job.period_s * 1000
        self.counters.late += started - self._schedule.due_at(turn) > period
        turn.serve(started, self._started or 0.0)
        self.counters.reads += 1
        try:
            arrivals = await self._driver.read(job)
        except DriverError as error:
            self._failed(turn, error, *clock())
        else:
            self._bus_works()
            self._arrived(arrivals, *clock(), period)

    # ------------------------------------------------------------------------------------------------------------------------------- success

    def _arrived(self, arrivals: Sequence[Arrival], now: int, mono: float, period_ms: float) -> None:
        for arrival in arrivals:
            if arrival.available is False:
                self._gone(arrival.device, "device_offline", now, mono, stale=True)
            elif arrival.available is None or arrival.readings:
                self._well(arrival.device, now, mono)
                self._report(self._intake.take(arrival.device, arrival.readings, now, mono, event=arrival.taken_at, period_ms=period_ms))
                self._report(self._rehearse(arrival.device, arrival.readings, now))
            if arrival.still and self._stills is not None:
                self._stills(self._devices[arrival.device], arrival, now, mono)

    def _well(self, device: str, now: int, mono: float) -> None:
        self._heard[device] = mono
        health = self.health[device]
        if health == Health():
            return
        if health.told and health.failing_since is not None:
            level = logging.DEBUG if health.kind in (_BUS_REASON, "unreachable") else logging.INFO
            _log.log(level, "设备 %s 恢复应答（中断 %.0f 秒）", device, (mono - health.failing_since) / 1000)
            self._intake.woke(device, now)
        self.health[device] = Health()
        self._failing.discard(device)

    def _bus_works(self) -> None:
        if self.trouble:
            _log.info("总线 %s 恢复", self.name)
            self.trouble = ""

    # ------------------------------------------------------------------------------------------------------------------------------ failure

    def _failed(self, turn: Turn, error: DriverError, now: int, mono: float) -> None:
        device, health = turn.job.device, self.health[turn.job.device.name]
        rule = device.profile.health
        if error.bus:
            self._bus_failed(error)
        if error.answered:
            self._refused(turn, error, now, mono)
            return
        self.counters.failures += 1
        self.health[device.name] = failed(health, rule, error.kind, mono, error.wait_s * 1000, backoff=not error.bus)
        self._failing.add(device.name)
        if health.failures < rule.offline_failures:
            turn.due = min(turn.due, mono + max(_AGAIN_MS, error.wait_s * 1000))
        _log.debug("%s", error)

    def _bus_failed(self, error: DriverError) -> None:
        self.counters.bus_failures += 1
        if not self.trouble:
            _log.warning("%s；设备读数暂停", error)
        self.trouble = str(error)

    def _refused(self, turn: Turn, error: DriverError, now: int, mono: float) -> None:
        """It answers, so it is not silent; but what it should tell is BAD."""
        device = turn.job.device
        if self.health[device.name].kind != error.kind:
            _log.warning("%s", error)
        self.health[device.name] = replace(Health(), kind=error.kind)
        self._failing.discard(device.name)
        self._heard[device.name] = mono
        blocks = [block for read in turn.job.reads for block, _ in read.blocks]
        self._report(self._intake.refused(device, blocks, error.kind, now, mono, turn.job.period_s * 1000))

    def _notice_offline(self, now: int, mono: float) -> None:
        for name in list(self._failing):
            health = self.health[name]
            if goes_offline(health, self._devices[name].profile.health, mono):
                reason = _BUS_REASON if health.kind == "unreachable" else f"device_{health.kind}"
                self._gone(name, reason, now, mono)

    def _gone(self, device: str, reason: str, now: int, mono: float, *, stale: bool = False) -> None:
        """Tell once that a device is lost; from now on its silence speaks."""
        health = self.health[device]
        if health.told:
            return
        since = mono if health.failing_since is None else health.failing_since
        self._failing.discard(device)
        self.health[device] = replace(health, told=True, failing_since=since, kind=reason)
        _log.log(logging.DEBUG if reason == _BUS_REASON else logging.WARNING, "设备 %s 失联（%s）", device, reason)
        self._report(self._intake.lost(device, reason, now, mono, stale=stale))

    def _report(self, reports: Sequence[Report]) -> None:
        if reports:
            self._sink(reports)

    # ----------------------------------------------------------------------------------------------------------------- devices that speak

    async def hear_once(self, clock: Callable[[], tuple[int, float]]) -> None:
        """Wait for messages, at most a second."""
        try:
            async with asyncio.timeout(_IDLE_MS / 1000):
                arrivals = await self._driver.read(None)
        except TimeoutError:
            arrivals = ()
        except DriverError as error:
            self._bus_failed(error)
            await asyncio.sleep(_IDLE_MS / 1000)
            arrivals = ()
        else:
            self._bus_works()
        now, mono = clock()
        self._arrived(arrivals, now, mono, 0)

    def _notice_silent(self, now: int, mono: float) -> None:
        """Look who of those that speak by themselves has said nothing for too long."""
        for name, device in self._devices.items():
            silence = mono - self._heard.get(name, self._started or mono)
            if silence >= max(_SILENT_INTERVALS * device.interval_s * 1000, _SILENT_MS):
                self._gone(name, "device_silent", now, mono)
