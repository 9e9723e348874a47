"""Stills from before and after an alarm: what the cameras of the room saw, taken for evidence when urgent news comes from it.

Raising news of an alarm-class quantity (smoke, leak, an opened door …) in a room makes the last stills of its cameras evidence, and takes new ones
after the agreed seconds. One alarm at a time per camera: news during that time is the same story.
"""

import asyncio
import logging
from collections.abc import Sequence

from edge.clock import wall_ms
from edge.drivers import Driver, DriverError
from edge.intake import Report
from edge.plan import Device, Job
from edge.rows import Lane
from edge.settings import CameraBus
from edge.stills import Still, Stills

_log = logging.getLogger("edge.camera")


class Witness:
    """`cameras` are devices with their driver and bus."""

    def __init__(self, stills: Stills, cameras: Sequence[tuple[Device, Driver, CameraBus]]) -> None:
        self._stills, self._cameras = stills, cameras
        self._rooms = {device.settings.room for device, _, _ in cameras}
        self._watching: dict[str, asyncio.Task[None]] = {}

    def take(self, reports: Sequence[Report]) -> None:
        """Look for raising news among samples."""
        for report in reports:
            sample = report.sample
            if report.lane is Lane.URGENT and sample.value and report.room in self._rooms:
                self._alarm(report.room, sample.point.quantity)

    def _alarm(self, room: str, why: str) -> None:
        for device, driver, bus in self._cameras:
            if device.settings.room == room and device.name not in self._watching:
                self._stills.before(device.name, why)
                self._watching[device.name] = asyncio.get_running_loop().create_task(self._shoot(device, driver, bus, why))

    async def _shoot(self, device: Device, driver: Driver, bus: CameraBus, why: str) -> None:
        try:
            await self._series(device, driver, bus, why)
        finally:
            self._watching.pop(device.name, None)

    async def _series(self, device: Device, driver: Driver, bus: CameraBus, why: str) -> None:
        passed = 0.0
        for after in sorted(bus.after_s):
            await asyncio.sleep(after - passed)
            passed = after
            try:
                arrivals = await driver.read(Job(device, 1))
            except DriverError as error:
                _log.warning("%s", error)
                continue
            for arrival in arrivals:
                if arrival.still:
                    self._stills.evidence(Still(device.name, device.settings.room, wall_ms(), arrival.still, f"after:{why}"))

    async def finish(self) -> None:
        """Stop taking pictures."""
        tasks = list(self._watching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
