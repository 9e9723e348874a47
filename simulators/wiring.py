"""How the three real gateways of the demo are wired: one table, from which devices.csv, edge.yaml, devices.yaml and the simulated world are made.

Each gateway shows another way into a room: Modbus TCP, RTU through a serial server with zigbee2mqtt beside it, and RTU on a serial line.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contract import profile as catalogue
from contract.installation import ChannelUse, configure
from contract.quantities import QUANTITIES

CLIMATE_S, FAST_S, HEALTH_S = 10.0, 5.0, 30.0
_CLIMATE: Final = ("renke-rs-ws-n01", "xy-md02", "sonbest-sm7820b")
_DI: Final = "waveshare-8di"


class Wire(NamedTuple):
    """One device: where it hangs, in which room, and for a contact module what is wired to each input: input -> (quantity, room)."""

    name: str
    profile: str
    bus: str
    room: str
    interval_s: float
    unit: int | None = None
    topic: str | None = None
    channels: Mapping[str, tuple[str, str]] = {}


class Wired(NamedTuple):
    """One point of a wire."""

    device: str
    profile: str
    quantity: str
    channel: str
    room: str
    interval_s: float
    klass: str


CARRIERS: Final[Mapping[str, str]] = {"GW-350102-01": "tcp", "GW-350203-01": "rtu_over_tcp", "GW-350128-01": "pty"}
ZIGBEE: Final = "GW-350203-01"
"""The gateway whose last room has battery sensors on zigbee2mqtt instead of wires."""


def wires(gateway: str, rooms: Sequence[str]) -> list[Wire]:
    """The devices of a gateway, for its rooms in order."""
    radio = rooms[-1] if gateway == ZIGBEE else None
    found: list[Wire] = []
    inputs: dict[str, tuple[str, str]] = {}
    for number, room in enumerate(rooms, start=1):
        if room == radio:
            found.append(Wire(f"th{number}", "zigbee2mqtt-climate", "zigbee", room, CLIMATE_S, topic=f"th{number}"))
            found.append(Wire(f"door{number}", "zigbee2mqtt-door", "zigbee", room, FAST_S, topic=f"door{number}"))
        else:
            found.append(Wire(f"th{number}", _CLIMATE[(number - 1) % 3], "line1", room, CLIMATE_S, unit=number))
            inputs[f"di{len(inputs) + 1}"] = ("door", room)
        inputs[f"di{len(inputs) + 1}"] = ("leak", room)
        found.append(Wire(f"smoke{number}", "generic-rs485-smoke", "line1", room, FAST_S, unit=10 + number))
        found.append(Wire(f"camera{number}", "generic-http-camera", "cameras", room, HEALTH_S))
    found.append(Wire("di", _DI, "line1", rooms[0], FAST_S, unit=20, channels=inputs))
    return found


def points(wire: Wire) -> Iterator[Wired]:
    """What the gateway will declare for a wire, read from its profile."""
    uses = {name: ChannelUse(quantity=quantity) for name, (quantity, _) in wire.channels.items()}
    for point in configure(catalogue.find(wire.profile), None, uses).points:
        if point.quantity in QUANTITIES:
            room = wire.channels[point.id][1] if point.id in wire.channels else wire.room
            yield Wired(wire.name, wire.profile, point.quantity, point.channel, room, wire.interval_s, point.klass)


def device_entry(wire: Wire, camera_prefix: str) -> dict[str, Any]:
    """The wire in devices.yaml."""
    entry: dict[str, Any] = {"name": wire.name, "profile": wire.profile, "bus": wire.bus, "room": wire.room, "interval_s": wire.interval_s}
    if wire.unit is not None:
        entry["unit"] = wire.unit
    if wire.topic is not None:
        entry["topic"] = wire.topic
    if wire.bus == "cameras":
        entry["url"] = f"{camera_prefix}{wire.name}/snapshot.jpg"
    if wire.channels:
        entry["channels"] = {name: {"quantity": quantity, "room": room} for name, (quantity, room) in wire.channels.items()}
    return entry


def unit_entry(wire: Wire) -> dict[str, Any]:
    """The wire as a simulated Modbus device."""
    entry: dict[str, Any] = {"unit": wire.unit, "profile": wire.profile, "room": wire.room}
    if wire.channels:
        entry["channels"] = {name: {"quantity": quantity, "room": room} for name, (quantity, room) in wire.channels.items()}
    return entry
