"""One process that is a small piece of the province: rooms, weather, Modbus buses, MQTT sensors, cameras and lines that can be cut.

`async with World(config) as world:` in tests, `archivewatch-sim world --config FILE` at the prompt. The schema of FILE is in simulators.world_config.
When everything listens, one JSON line is printed:
    {"ready": true, "now": ms, "buses": {name: port or terminal path}, "mqtt": {"host": …, "port": …} or null, "cameras": port or null,
     "rtsp": port or null, "camera_paths": {name: "/name/snapshot.jpg"}, "relays": {name: port}, "control": "http://…" or null}
"""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulators import control, scenario, world_parts
from simulators.faults import Fault, FaultError
from simulators.plant import Plant
from simulators.rehearsal import Rehearsal
from simulators.serving import WebServer
from simulators.weather import first_instant
from simulators.world_config import WorldConfig, WorldConfigError

log = logging.getLogger("simulators.world")

TICK_S = 0.2  # how often scenarios and MQTT sensors are looked after
_SHOWN = ("temperature", "humidity", "smoke_density", "smoke", "door", "leak", "motion", "power")


class World:
    """A running world. Raises WorldConfigError for a configuration that cannot be built, OSError for a port that is taken.

    `wall` gives UTC ms and is only replaced by tests; the world's own time is `now()`.
    """

    def __init__(self, config: WorldConfig, wall: Callable[[], int] | None = None) -> None:
        self.config = config
        self._wall = wall or (lambda: time.time_ns() // 1_000_000)
        self._began = self._wall()
        self._start = self._began if config.start is None else first_instant(config.start)
        self._latest = self._start
        self._playing: list[scenario.Playing] = []
        self._failures: list[str] = []
        self._ticker: asyncio.Task[None] | None = None
        try:
            rooms = [r.spec() for r in config.rooms]
            self.plant = Plant(rooms, seed=config.seed, start_ms=self._start, step_ms=round(config.step * 1000))
            self._carriers = {b.name: world_parts.bus(config, b, self.plant, self.now) for b in config.buses}
            self.mqtt = world_parts.mqtt(config, config.mqtt, self.plant, self._start) if config.mqtt else None
            self._cameras = world_parts.cameras(config.cameras, self.plant, self.now) if config.cameras else None
        except (ValueError, KeyError) as error:
            raise WorldConfigError(str(error)) from error
        self._camera_server = WebServer(self._cameras.app, config.host, config.cameras.port) if self._cameras and config.cameras else None
        self._streams = world_parts.streams(config, self._cameras)
        self._relays = {r.name: world_parts.relay(config, r) for r in config.relays}
        self._control = WebServer(control.application(self), "127.0.0.1", config.control.port) if config.control else None

    # -- time ------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The time of the world, UTC ms; never runs backwards. The plant is moved along."""
        self._latest = max(self._latest, self._start + int((self._wall() - self._began) * self.config.speed))
        self.plant.advance(self._latest)
        return self._latest

    def run_once(self, now: int) -> None:
        """One round: due scenario steps, due MQTT messages. A scenario that fails is ended and its sentence kept in the state."""
        self.plant.advance(max(now, self.plant.now))
        for playing in list(self._playing):
            try:
                playing.run_once(now, self)
            except (ValueError, KeyError) as error:
                log.exception("scenario %s", playing.script.name)
                self._failures.append(f"{playing.script.name}: {error}")
                self._playing.remove(playing)
        self._playing = [p for p in self._playing if not p.done]
        if self.mqtt:
            self.mqtt.run_once(now)

    async def _tick(self) -> None:
        while True:
            self.run_once(self.now())
            await asyncio.sleep(TICK_S)

    # -- life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for part in (*self._carriers.values(), *self._relays.values(), self._camera_server, self._streams, self._control):
                if part is not None:
                    await part.start()
                    stack.push_async_callback(part.stop)
            if self.mqtt and self.config.mqtt:
                c = self.config.mqtt
                self.mqtt.start(c.host, c.port, c.username, c.password)
                stack.callback(self.mqtt.stop)
            self._ticker = asyncio.create_task(self._tick())
            self._running = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._running.aclose()
        for each in self._carriers.values():
            each.bus.close()

    @property
    def failed(self) -> BaseException | None:
        """What ended the world's own loop, None while it runs."""
        if self._ticker is None or not self._ticker.done() or self._ticker.cancelled():
            return None
        return self._ticker.exception()

    # -- what scenarios and the control API do ---------------------------------------------------------------

    def set_value(self, room: str, quantity: str, value: float | None) -> None:
        """Force a value or release it (None)."""
        self.ramp(room, quantity, value, 0)

    def ramp(self, room: str, quantity: str, to: float | None, over_ms: int) -> None:
        """Move a value in a straight line. Raises UnknownRoomError, UnknownQuantityError."""
        self.now()
        self.plant.ramp(room, quantity, to, over_ms)

    def trigger(self, room: str, kind: str, over_ms: int | None = None, lasts_ms: int | None = None) -> None:
        """Begin an incident. Raises UnknownRoomError, ValueError."""
        self.now()
        self.plant.trigger(room, kind, over_ms=over_ms, lasts_ms=lasts_ms)

    def clear(self, room: str) -> None:
        """End what was done to a room, and its running scenarios. Raises UnknownRoomError."""
        self.plant.clear(room)
        self._playing = [p for p in self._playing if p.script.room != room]

    def play(self, name: str, room: str, variant: str = "", parameters: Mapping[str, Any] | None = None) -> scenario.Script:
        """Begin a scenario; a step that could never work is refused at once. Raises ScenarioError, UnknownRoomError, UnknownQuantityError."""
        script = scenario.script(name, scenario.load(name), room=room, variant=variant, parameters=parameters)
        rehearsal = Rehearsal(frozenset(r.code for r in self.plant.rooms), frozenset(self._relays))
        for step in script.steps:
            scenario.act(step, rehearsal, name)
        self._playing.append(scenario.Playing(script, self.now()))
        return script

    def room_fault(self, room: str, quantity: str, kind: str | None) -> None:
        """A fault for every device that measures a quantity in a room. Raises FaultError when nothing measures it, or for an unknown kind."""
        units = [(c.bus, u) for c in self._carriers.values() for u in c.bus.measuring(room, quantity)]
        devices = self.mqtt.measuring(room, quantity) if self.mqtt else []
        if not units and not devices:
            raise FaultError(f"nothing measures {quantity} in room {room!r}")
        for bus, unit in units:
            bus.set_fault(unit, None if kind is None else Fault(kind))
        for name in devices:
            self.device_fault(name, kind)

    def unit_fault(self, bus: str, unit: int, fault: Fault | None) -> None:
        """Switch a fault of a Modbus unit. Raises FaultError for an unknown bus or unit."""
        if bus not in self._carriers:
            raise FaultError(f"no bus {bus!r}; known: {', '.join(self._carriers)}")
        self._carriers[bus].bus.set_fault(unit, fault)

    def device_fault(self, name: str, kind: str | None) -> None:
        """Switch a fault of an MQTT device. Raises FaultError."""
        if self.mqtt is None:
            raise FaultError("this world has no MQTT devices")
        self.mqtt.set_fault(name, kind, self.now())

    def camera_fault(self, name: str, kind: str | None) -> None:
        """Switch a fault of a camera. Raises FaultError."""
        if self._cameras is None:
            raise FaultError("this world has no cameras")
        self._cameras.set_fault(name, kind)

    def set_relay(self, name: str, mode: str) -> None:
        """Cut, freeze or mend a line. Raises ScenarioError for an unknown line, ValueError for an unknown mode."""
        if name not in self._relays:
            raise scenario.ScenarioError(f"this world has no line {name!r}; known: {', '.join(self._relays) or 'none'}")
        self._relays[name].set_mode(mode)

    # -- what it says ----------------------------------------------------------------------------------------

    def endpoints(self) -> dict[str, Any]:
        """Where everything listens, as printed when ready."""
        mqtt = self.config.mqtt
        return {
            "ready": True,
            "now": self.now(),
            "buses": {name: c.address for name, c in self._carriers.items()},
            "mqtt": {"host": mqtt.host, "port": mqtt.port} if mqtt else None,
            "cameras": self._camera_server.port if self._camera_server else None,
            "rtsp": self._streams.port if self._streams else None,
            "camera_paths": {name: f"/{name}/snapshot.jpg" for name in self._cameras.names} if self._cameras else {},
            "relays": {name: r.port for name, r in self._relays.items()},
            "control": f"http://127.0.0.1:{self._control.port}" if self._control else None,
        }

    def state(self) -> dict[str, Any]:
        """The truth about every room, what is broken and what is being played."""
        now = self.now()
        return {
            "now": now,
            "speed": self.config.speed,
            "rooms": {r.code: {q: round(self.plant.value(r.code, q), 4) for q in _SHOWN} for r in self.plant.rooms},
            "faults": {name: c.bus.faults for name, c in self._carriers.items() if c.bus.faults},
            "coils": {name: c.bus.coils for name, c in self._carriers.items() if c.bus.coils},
            "mqtt": {"connected": self.mqtt.connected, "faults": self.mqtt.faults} if self.mqtt else None,
            "camera_faults": self._cameras.faults if self._cameras else {},
            "relays": {name: r.mode for name, r in self._relays.items()},
            "scenarios": [{"name": p.script.name, "room": p.script.room, "started": p.started} for p in self._playing],
            "failures": self._failures[-20:],
        }


async def run(config: WorldConfig) -> int:
    """Host a world until SIGINT or SIGTERM. 0 when asked to stop, 1 when its loop failed."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with World(config) as world:
        print(json.dumps(world.endpoints()), flush=True)
        while world.failed is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 1.0)
            if ended.is_set():
                return 0
        print(f"the world ended: {world.failed!r}", file=sys.stderr)
        return 1


def start(config: WorldConfig) -> int:
    """Run a world from the prompt; exit codes of the command line."""
    try:
        return asyncio.run(run(config))
    except WorldConfigError as error:
        print(error, file=sys.stderr)
        return 4
    except OSError as error:
        print(f"cannot listen: {error}", file=sys.stderr)
        return 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim world`."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the world, see simulators/world_config.py")


def main(args: argparse.Namespace) -> int:
    """Run the world of a file."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        config = WorldConfig.load(args.config)
    except WorldConfigError as error:
        print(error, file=sys.stderr)
        return 4
    return start(config)
