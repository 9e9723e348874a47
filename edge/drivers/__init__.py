"""What a driver is, and which driver serves which kind of bus. A driver is imported on first use: a gateway without cameras needs no HTTP client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Final, Protocol, cast

from contract.readings import Reading
from edge.plan import Device, Job
from edge.settings import BusSettings

DRIVERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tcp": "edge.drivers.modbus:ModbusDriver",
        "rtu_over_tcp": "edge.drivers.modbus:ModbusDriver",
        "serial": "edge.drivers.modbus:ModbusDriver",
        "mqtt": "edge.drivers.mqtt:MqttDriver",
        "camera": "edge.drivers.camera:CameraDriver",
    }
)
"""Kind of bus -> module:class."""


class DriverError(Exception):
    """A device could not be read. `kind` is a short code for counters and for the reason of a BAD sample, the text one sentence.

    `answered`: the device did answer, with a refusal. `bus`: the whole line is unreachable, so no device of it is to blame. `wait_s`: how long to
    leave the device alone.
    """

    def __init__(self, kind: str, sentence: str, *, answered: bool = False, bus: bool = False, wait_s: float = 0) -> None:
        super().__init__(sentence)
        self.kind, self.answered, self.bus, self.wait_s = kind, answered, bus, wait_s


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came from a device: readings, news of whether it is there, a camera's picture (JPEG) with its verdict.

    `taken_at` is the device's own time (UTC ms) if that can be trusted.
    """

    device: str
    readings: tuple[Reading, ...] = ()
    taken_at: int | None = None
    available: bool | None = None
    still: bytes = b""
    verdict: str = ""


class Driver(Protocol):
    """One bus. `read(job)` asks a device; of a bus that speaks by itself `read(None)` waits for the next message. Both raise DriverError."""

    async def open(self) -> None:
        """Get ready; a bus that is not there now is tried again by `read`."""

    async def read(self, job: Job | None) -> Sequence[Arrival]:
        """See the class."""

    async def close(self) -> None:
        """Let go of the bus."""


def speaks(bus: BusSettings) -> bool:
    """Whether the devices of a bus send by themselves."""
    return bus.kind == "mqtt"


def tells(bus: BusSettings) -> bool:
    """Whether devices that are asked also send by themselves: then `read(None)` is called beside `read(job)`."""
    return bus.kind == "camera"


def create(bus: BusSettings, devices: Sequence[Device]) -> Driver:
    """The driver of a bus."""
    module, _, name = DRIVERS[bus.kind].partition(":")
    return cast(Driver, getattr(import_module(module), name)(bus, devices))
