"""Wiring: one task per bus on the event loop, one thread for storage and uplink. No logic."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from contract import offers
from contract.drill import DRILL, drill_of
from contract.sample import Sample
from contract.siren import SOUND, SoundError, SoundOrder, read_sound
from contract.writing import Order, WriteRefusedError, read_order
from edge import drivers
from edge.clock import both, mono_ms, powered_since, wall_ms
from edge.condition import Condition, declarations
from edge.configfile import read_secret
from edge.drivers import Arrival
from edge.guard import Duty, Guard, Rules
from edge.intake import Intake, Report
from edge.link import PahoLink
from edge.logbook import Logbook
from edge.notify import Notifier, Pulse
from edge.orders import Orders
from edge.outlet import Outlet
from edge.plan import Device, Plan
from edge.polling import BusLoop
from edge.rehearsal import Rehearsal
from edge.settings import CameraBus
from edge.siren import Siren
from edge.sounder import Sounder
from edge.statefile import CountedFile, write_atomic
from edge.taken import Stamper
from edge.uplink import Identity, Uplink

if TYPE_CHECKING:  # cameras cost an HTTP client, 5 MB: loaded where there are some
    from edge.stills import Stills
    from edge.witness import Witness

_log = logging.getLogger("edge.agent")

_STATUS_S: Final = 5
_GUARD_S: Final = 1
_AFTER_ERROR_S: Final = 1
_JOIN_S: Final = 15
_STUCK_MS: Final = 60_000  # for one piece of work: the longest exchange with a device, or one round of the storage
_STILL_S: Final = 60.0  # between two pictures of one device where no camera bus says otherwise
_SAVE_EVERY: Final = 12  # status periods between two writes of the clock's progress
_LOG_EVERY: Final = 120  # and between two lines of counters in the log


class Agent:
    """Everything that runs on a gateway. Raises ConfigError for an unreadable password or token file, OSError for a data folder that cannot be."""

    def __init__(self, plan: Plan) -> None:
        settings = plan.settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._plan, self._folder = plan, settings.data_dir
        self._started_at = wall_ms()
        self._logbook = Logbook(self._folder / "logbook.json")
        self._stamper = Stamper(self._folder / "clock")
        self._intake = Intake(plan.devices, self._stamper, powered_since(self._started_at))
        self._stills = _stills(plan)
        self._rules = Rules(self._folder / "rules.json", lambda reason: self._tell("rules_refused", wall_ms(), reason=reason))
        self._guard = Guard(settings.guard, self._rules, plan.points)
        self._sounder = Sounder(self._folder / "local-alarms.jsonl", settings.guard.command)
        self._rehearsal = Rehearsal(plan.points, self._test_siren)
        self._notifier, self._pulse = Notifier(os.environ), Pulse(_STUCK_MS, mono_ms)
        self._outlet = self._storage()
        self._drivers = {name: drivers.create(plan.bus(name), devices) for name, devices in plan.buses.items() if devices}
        self._loops = [self._loop(name) for name in self._drivers]
        self._witness = self._witnesses()
        self._siren = None if settings.guard.siren is None else Siren(settings.guard.siren, self._order)
        self._running: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._outlet.run, args=(both,), name="edge-storage", daemon=True)

    def _storage(self) -> Outlet:
        settings, wake = self._plan.settings, threading.Event()
        identity = Identity(settings.group, settings.gateway, settings.host_id)
        points = [*(point.declaration for point in self._plan.points), *declarations(self._plan.room)]
        link = PahoLink(settings.broker, settings.gateway, identity.subscriptions, wake.set)
        counted = CountedFile(self._folder / "bdseq")
        latest: dict[str, Sample] = {}
        rules = self._rules
        uplink = Uplink(
            identity,
            settings.uplink,
            link,
            points,
            counted.next,
            values=lambda: latest,
            rules_version=lambda: rules.version,
            on_rules=rules.take,
            on_write=self._ordered,
            on_others={DRILL: lambda text: self._rehearsal.order(text, wall_ms()), SOUND: self._asked_to_sound},
            logbook=self._logbook,
            offers=offers.dump(offers.offers_of((device.name, device.profile, device.settings.writes) for device in self._plan.devices)),
        )
        condition = Condition(settings.gateway, self._plan.room, self._tell)
        return Outlet(
            self._folder,
            settings.gateway,
            points,
            settings.spool,
            settings.uplink,
            uplink,
            wake,
            latest,
            trace=settings.trace_accepted,
            pulse=self._pulse,
            condition=condition,
        )

    def _loop(self, name: str) -> BusLoop:
        bus, devices = self._plan.bus(name), self._plan.buses[name]
        speaks = drivers.speaks(bus)
        orders = None if speaks else Orders(devices, self._tell, self._logbook.outcomes())
        return BusLoop(
            name,
            self._drivers[name],
            devices,
            self._intake,
            self._take,
            speaks=speaks,
            stills=self._still,
            orders=orders,
            rehearse=self._rehearsal.take,
        )

    def _tell(self, kind: str, now: int, **detail: Any) -> None:
        self._logbook.add(kind, now, **detail)
        self._outlet.nudge()

    def _ordered(self, text: str) -> None:
        """From the storage thread: a write that the server orders."""
        try:
            order = read_order(text)
        except WriteRefusedError as refused:
            _log.warning("%s", refused)
            return
        if self._running is not None and not self._running.is_closed():
            self._running.call_soon_threadsafe(self._order, order)

    def _order(self, order: Order) -> None:
        loop = next((loop for loop in self._loops if order.device in loop.health), None)
        if loop is None:
            self._tell("write", wall_ms(), order=order.id, device=order.device, write=order.write, value=order.value, by=order.by, role=order.role,
                       outcome="refused", reason=f"没有设备 {order.device}", read_back=None)  # fmt: skip
        else:
            loop.order(order, *both())

    def _asked_to_sound(self, text: str) -> None:
        """From the storage thread: the centre wants the siren to sound, or to stop."""
        try:
            order = read_sound(text)
        except SoundError as error:
            _log.warning("警号命令不对：%s", error)
            return
        if self._running is not None and not self._running.is_closed():
            self._running.call_soon_threadsafe(self._sound, order)

    def _sound(self, order: SoundOrder) -> None:
        if self._siren is not None:
            self._siren.ask(order)
            return
        self._tell("write", wall_ms(), order=order.write, device="", write="", value=order.seconds > 0, by="centre", role="guard", outcome="refused",
                   reason="本机没有配置警号（guard.siren）", read_back=None)  # fmt: skip

    def _test_siren(self, drill: int, seconds: int) -> None:
        if self._siren is not None:
            self._siren.test(drill, seconds, both()[1])

    def _witnesses(self) -> "Witness | None":
        if self._stills is None:
            return None
        from edge.witness import Witness  # noqa: PLC0415 - see above

        cameras = [(device, self._drivers[name], self._plan.bus(name)) for name in self._drivers for device in self._plan.buses[name]]
        return Witness(self._stills, [(device, driver, bus) for device, driver, bus in cameras if isinstance(bus, CameraBus)])

    def _take(self, reports: Sequence[Report]) -> None:
        self._outlet.offer(reports)
        real = [report for report in reports if drill_of(report.sample) is None]
        self._guard.take(real)
        if self._witness is not None:
            self._witness.take(real)

    def _still(self, device: Device, arrival: Arrival, now: int, mono: float) -> None:
        if self._stills is not None:
            from edge.stills import Still  # noqa: PLC0415 - see above

            self._stills.offer(Still(device.name, device.settings.room, now, arrival.still, arrival.verdict), mono)

    # ------------------------------------------------------------------------------------------------------------------------------ running

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What was sampled by then is stored before this returns."""
        self._running = asyncio.get_running_loop()
        self._thread.start()
        tasks = [asyncio.create_task(self._poll(loop), name=f"bus {loop.name}") for loop in self._loops]
        tasks += [
            asyncio.create_task(self._hear(loop), name=f"events {loop.name}") for loop in self._loops if drivers.tells(self._plan.bus(loop.name))
        ]
        tasks.append(asyncio.create_task(self._write_status(), name="status"))
        tasks.append(asyncio.create_task(self._stand_guard(), name="guard"))
        if self._stills is not None:
            tasks.append(asyncio.create_task(self._stills.run(), name="stills"))
        tasks.append(asyncio.create_task(self._feed_watchdog(), name="watchdog"))
        _log.info("网关 %s 开始采集：%d 台设备", self._plan.settings.gateway, len(list(self._plan.devices)))
        self._notifier.say(READY=1)
        await stop.wait()
        self._notifier.say(STOPPING=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sounder.finish()
        if self._witness is not None:
            await self._witness.finish()
        for driver in self._drivers.values():
            await driver.close()
        await asyncio.to_thread(self._end_storage)

    def _end_storage(self) -> None:
        self._outlet.end()
        self._thread.join(_JOIN_S)
        self._stamper.save()
        self._save_status()

    async def _poll(self, loop: BusLoop) -> None:
        """A fault of the program in one bus must not stop it for ever, nor the others."""
        driver, opened = self._drivers[loop.name], False
        while True:
            try:
                if not opened:
                    await driver.open()
                    opened = True
                self._pulse.begin(f"总线 {loop.name}")
                due = await loop.run_once(both)
            except Exception:
                _log.exception("bus %s met an error and goes on", loop.name)
                due = both()[1] + 1000 * _AFTER_ERROR_S
            finally:
                self._pulse.end(f"总线 {loop.name}")
            await loop.pause(max(0.0, due - both()[1]) / 1000)

    async def _hear(self, loop: BusLoop) -> None:
        """What the devices of a polled bus tell by themselves."""
        while True:
            try:
                await loop.hear_once(both)
            except Exception:
                _log.exception("bus %s met an error and goes on", loop.name)
                await asyncio.sleep(_AFTER_ERROR_S)

    async def _stand_guard(self) -> None:
        duty = Duty(self._plan.settings.guard.after_s, *both())
        while True:
            await asyncio.sleep(_GUARD_S)
            try:
                watches = duty.centre_watches(self._outlet.snapshot.get("uplink", {}), *both())
                told = self._guard.run_once(wall_ms(), duty.last_heard, centre_watches=watches)
                for alarm in told:
                    self._sounder.tell(alarm)
                    self._tell("local_alarm", alarm.at, **{key: value for key, value in asdict(alarm).items() if key != "at"})
                if self._siren is not None:
                    self._siren.run_once(told, *both())
            except Exception:
                _log.exception("the guard met an error and goes on")

    # ------------------------------------------------------------------------------------------------------------------------------- status

    async def _write_status(self) -> None:
        for count in range(1 << 62):
            await asyncio.sleep(_STATUS_S)
            self._save_status()
            if count % _SAVE_EVERY == 0:
                self._stamper.save()
            if count % _LOG_EVERY == _LOG_EVERY - 1:
                _log.info("状态 %s", json.dumps(self.status(), ensure_ascii=False, separators=(",", ":")))

    async def _feed_watchdog(self) -> None:
        """systemd hears of us while nothing is stuck."""
        while self._notifier.interval_s:
            await asyncio.sleep(self._notifier.interval_s)
            if not self._pulse.stuck():
                words = [health.word for loop in self._loops for health in loop.health.values()]
                phase = self._outlet.snapshot.get("uplink", {}).get("phase", "down")
                self._notifier.say(WATCHDOG=1, STATUS=f"{len(words)} 台设备，{words.count('offline')} 台失联；与中心 {phase}")

    def _save_status(self) -> None:
        try:
            write_atomic(self._folder / "status.json", json.dumps(self.status(), ensure_ascii=False, indent=1))
        except OSError as error:
            _log.debug("status.json: %s", error.strerror)

    def status(self) -> dict[str, Any]:
        """What the gateway knows of itself."""
        return {
            "gateway": self._plan.settings.gateway,
            "written_at": wall_ms(),
            "started_at": self._started_at,
            "devices_version": self._plan.version,
            "storage_alive": self._thread.is_alive(),
            **self._outlet.snapshot,
            "guard": {
                "on_duty": self._guard.on_duty,
                "rules": self._rules.version,
                "rules_refused": self._rules.refused,
                "rules_trouble": self._rules.trouble,
            },
            "buses": {loop.name: self._bus_status(loop) for loop in self._loops},
            "devices": {name: health.word for loop in self._loops for name, health in loop.health.items()},
            "stills": None if self._stills is None else asdict(self._stills.counters) | {"trouble": self._stills.trouble},
        }

    def _bus_status(self, loop: BusLoop) -> dict[str, Any]:
        return {"trouble": loop.trouble, **asdict(loop.counters), "errors": dict(getattr(self._drivers[loop.name], "counters", {}))}


def _stills(plan: Plan) -> "Stills | None":
    settings = plan.settings
    cameras = [bus for bus in settings.buses if isinstance(bus, CameraBus)]
    shown = any(device.profile.mqtt is not None and device.profile.mqtt.still is not None for device in plan.devices)
    if settings.server_url is None or not (cameras or shown):
        return None
    from edge.stills import Stills  # noqa: PLC0415 - see above

    token = read_secret(settings.server_token_file) if settings.server_token_file else ""
    before = max((bus.keep_before for bus in cameras), default=0)
    return Stills(settings.server_url, settings.gateway, token, min((bus.still_s for bus in cameras), default=_STILL_S), before)
