"""Building the parts of a simulated world from its configuration."""

import importlib
from collections.abc import Callable

from contract.installation import ChannelUse, configure
from contract.profile import Profile, ProfileError, UnknownProfileError, find
from simulators.camera import Cameras, CameraSpec
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import Carrier, carrier
from simulators.modbus_device import Unit
from simulators.mqtt_device import MqttDevices, MqttSpec
from simulators.plant import Plant
from simulators.relay import Relay
from simulators.rtsp import RtspServer
from simulators.world_config import BusModel, CamerasModel, MqttDeviceModel, MqttModel, RelayModel, UnitModel, WorldConfig, WorldConfigError


def bus(config: WorldConfig, model: BusModel, plant: Plant, clock: Callable[[], int]) -> Carrier:
    """A Modbus bus with its devices, not yet listening. Raises WorldConfigError, UnknownRoomError, ValueError (faults, installations)."""
    made = Bus(model.name, clock, rtu=model.kind != "tcp", ledger=model.ledger)
    for each in model.units:
        made.add(_unit(config, model.name, each, plant), each.fault.fault() if each.fault else None)
    return carrier(model.kind, made, host=config.host, port=model.port, link=model.link, hello=model.hello.encode())


def _unit(config: WorldConfig, bus_name: str, model: UnitModel, plant: Plant) -> Unit:
    profile = _profile(model.profile)
    inputs = {p.id for p in profile.points if p.assignable}
    uses = {p: ChannelUse(quantity=c.quantity, normally=c.normally, channel=c.channel) for p, c in model.channels.items() if p in inputs}
    return Unit(
        model.unit,
        configure(profile, model.params, uses),
        plant,
        model.room,
        {point: c.room for point, c in model.channels.items() if c.room},
        seed=config.seed,
        name=model.ledger_key or f"{bus_name}/{model.unit}",
        noise=config.noise if model.noise is None else model.noise,
        turnaround_ms=model.turnaround_ms,
        recomputable=_ledger_value(config) if model.ledger_key else None,
    )


def _ledger_value(config: WorldConfig) -> Callable[[str, int], float]:
    """The function of the oracle. It counts real seconds, so the world must run at the pace and the time of the wall clock."""
    if config.speed != 1 or config.start is not None:
        raise WorldConfigError("ledger_key needs speed 1 and no start: its values follow the wall clock")
    value: Callable[[str, int], float] = importlib.import_module("simulators.ledger").value  # with its database, only where it is wanted
    return value


def mqtt(config: WorldConfig, model: MqttModel, plant: Plant, start_ms: int) -> MqttDevices:
    """The MQTT sensors, not yet connected. Raises WorldConfigError, UnknownRoomError, FaultError, ValueError."""
    specs = [_mqtt_spec(config, d) for d in model.devices]
    devices = MqttDevices(specs, plant, seed=config.seed, prefix=model.prefix, client_id=model.client_id)
    for d in model.devices:
        if d.fault:
            devices.set_fault(d.name, d.fault, start_ms)
    return devices


def _mqtt_spec(config: WorldConfig, d: MqttDeviceModel) -> MqttSpec:
    return MqttSpec(
        name=d.name,
        room=d.room,
        kind=d.kind,
        profile=_profile(d.profile) if d.profile else None,
        interval_s=d.interval,
        on_change=d.on_change,
        retain=d.retain,
        duplicate=d.duplicate,
        qos=d.qos,
        battery=d.battery,
        noise=config.noise if d.noise is None else d.noise,
    )


def cameras(model: CamerasModel, plant: Plant, clock: Callable[[], int]) -> Cameras:
    """The cameras. Raises UnknownRoomError, FaultError, ValueError."""
    return Cameras([CameraSpec(**c.model_dump()) for c in model.items], plant, clock)


def streams(config: WorldConfig, found: Cameras | None) -> RtspServer | None:
    """The cameras over RTSP, not yet listening; None where the world wants none."""
    port = None if config.cameras is None else config.cameras.rtsp_port
    return None if found is None or port is None else RtspServer(found, config.host, port)


def relay(config: WorldConfig, model: RelayModel) -> Relay:
    """A line, not yet listening."""
    host, _, port = model.target.rpartition(":")
    return Relay(model.name, (host, int(port)), host=config.host, port=model.port)


def _profile(name: str) -> Profile:
    try:
        return find(name)
    except (UnknownProfileError, ProfileError) as error:
        raise WorldConfigError(str(error)) from error
