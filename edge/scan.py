"""`archivewatch-edge scan`: who answers on a Modbus line, and which profiles fit. Reads only, one question at a time.

The same bytes mean different things in different devices, so several profiles may fit: `alike` lists those that read the same registers and that no
reading can tell apart. Only the label on the device, or a known value beside it, decides between them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from contract.profile import catalogue, find
from contract.profile_models import Profile
from contract.readings import Reading
from contract.sample import Quality
from edge.configfile import ConfigError
from edge.drivers import Driver, DriverError, create
from edge.plan import Device, Job, Read, build
from edge.settings import BrokerSettings, ChannelSettings, DeviceSettings, DevicesSettings, EdgeSettings, ModbusBus

_BUS: Final = "scan"
_PLAIN: Final = "xy-md02"  # a profile without identity check and quirks: it lends its timing to questions that belong to nobody
_DOORBELL: Final = (Read(3, 0, 1, ()), Read(4, 0, 1, ()), Read(2, 0, 1, ()))
"""Asked in turn; any answer, a refusal too, shows that somebody is there."""
_GARBLED: Final = ("crc", "short", "garbled")


def units(text: str) -> list[int]:
    """`1-16,32` as addresses. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if not found or not all(0 <= unit <= 255 for unit in found):
        raise ValueError(f"{text!r} 不是 0–255 之间的地址")
    return found


class BusUnreachableError(Exception):
    """The line itself cannot be reached; the text says why."""


async def scan(bus: ModbusBus, wanted: Sequence[int]) -> AsyncIterator[dict[str, Any]]:
    """One entry per unit that answers: its address, what it said, and the profiles whose every block it has. Raises BusUnreachableError."""
    driver = create(bus, ())
    await driver.open()
    try:
        for unit in wanted:
            said = await rings(driver, bus, unit)
            if said:
                candidates = [] if said == "garbled" else [found async for found in _candidates(driver, bus, unit)]
                yield {"unit": unit, "answer": said, "candidates": candidates, "alike": alike([found["profile"] for found in candidates])}
    finally:
        await driver.close()


async def rings(driver: Driver, bus: ModbusBus, unit: int) -> str:
    """ "reply", "exception", "garbled" for bytes that are no answer (two devices at one address, a wrong baud rate), or "" for silence."""
    device = device_at(bus, _PLAIN, unit)
    assert device is not None  # noqa: S101 - a packaged profile
    heard = ""
    for read in _DOORBELL:
        try:
            await driver.read(Job(device, 1, (read,)))
        except DriverError as error:
            if error.bus:
                raise BusUnreachableError(str(error)) from None
            if error.answered:
                return "exception"
            if error.kind == "timeout":
                return heard
            heard = "garbled" if error.kind in _GARBLED else heard
            await asyncio.sleep(error.wait_s)
        else:
            return "reply"
    return heard


async def _candidates(driver: Driver, bus: ModbusBus, unit: int) -> AsyncIterator[dict[str, Any]]:
    refused: list[Read] = []  # what the unit would not tell is not asked again by the next profile, nor anything that holds it
    for profile in _profiles():
        device = device_at(bus, profile.id, unit)
        if device is None or any(_holds(read, other) for job in device.jobs for read in job.reads for other in refused):
            continue
        readings: list[Reading] = []
        asked: list[Read] = []
        try:
            for job in device.jobs:
                asked += job.reads
                for arrival in await driver.read(job):
                    readings += arrival.readings
        except DriverError as error:
            if len(asked) == 1:
                refused += asked
            await asyncio.sleep(error.wait_s)
            continue
        if readings and all(reading.quality is Quality.GOOD for reading in readings):
            values = {reading.point_id: reading.value for reading in readings}
            yield {"profile": profile.id, "title": profile.title.zh, "values": values}


def _holds(read: Read, other: Read) -> bool:
    return read.fc == other.fc and read.address <= other.address and other.address + other.count <= read.address + read.count


def alike(profiles: Sequence[str]) -> list[list[str]]:
    """Groups of profiles that read the same registers by the same function, so that the line cannot tell them apart."""
    cells = {name: {(block.fc, block.address + at) for block in find(name).blocks for at in range(block.count)} for name in profiles}
    groups: list[list[str]] = []
    for name in profiles:
        group = next((group for group in groups if any(cells[name] & cells[other] for other in group)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [group for group in groups if len(group) > 1]


def _profiles() -> Iterator[Profile]:
    return (profile for profile in catalogue().values() if profile.connection.kind == "modbus")


def device_at(bus: ModbusBus, profile: str, unit: int) -> Device | None:
    """A device of the line as if it were configured, every contact of it in use; None where the profile needs answers that only a person has."""
    settings = EdgeSettings(
        gateway="scan",
        group="scan",
        broker=BrokerSettings(host="-"),
        data_dir=Path(),
        devices_file=Path(),
        buses=(bus.model_copy(update={"name": _BUS}),),
    )
    contacts = {point.id: ChannelSettings(quantity="input") for point in find(profile).points if point.assignable}
    entry = DeviceSettings(name=f"{profile}-at-{unit}", profile=profile, bus=_BUS, room="000000000000-00", unit=unit, channels=contacts)
    try:
        return build(settings, DevicesSettings(devices=(entry,)), {}).buses[_BUS][0]
    except ConfigError:
        return None
