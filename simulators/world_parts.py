"""Building the parts of a simulated world from its configuration."""

from collections.abc import Callable

from contract.profile import Profile, ProfileError, UnknownProfileError, find
from simulators.camera import Cameras, CameraSpec
from simulators.modbus_carriers import Carrier, carrier
from simulators.modbus_device import Bus, Unit, Wire
from simulators.mqtt_device import MqttDevices, MqttSpec
from simulators.plant import Plant
from simulators.relay import Relay
from simulators.world_config import BusModel, CamerasModel, MqttDeviceModel, MqttModel, RelayModel, UnitModel, WorldConfig, WorldConfigError


def bus(config: WorldConfig, model: BusModel, plant: Plant, clock: Callable[[], int]) -> Carrier:
    """A Modbus bus with its devices, not yet listening. Raises WorldConfigError, UnknownRoomError, FaultError, ValueError."""
    made = Bus(model.name, clock, rtu=model.kind != "tcp", ledger=model.ledger)
    for each in model.units:
        made.add(_unit(config, model.name, each, plant), each.fault.fault() if each.fault else None)
    return carrier(model.kind, made, host=config.host, port=model.port, link=model.link, hello=model.hello.encode())


def _unit(config: WorldConfig, bus_name: str, model: UnitModel, plant: Plant) -> Unit:
    return Unit(
        model.unit,
        _profile(model.profile, model.variant),
        plant,
        model.room,
        {point: Wire(c.quantity, c.room or model.room, c.invert) for point, c in model.channels.items()},
        seed=config.seed,
        name=f"{bus_name}/{model.unit}",
        noise=config.noise if model.noise is None else model.noise,
        turnaround_ms=model.turnaround_ms,
    )


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
        profile=_profile(d.profile, "") if d.profile else None,
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


def relay(config: WorldConfig, model: RelayModel) -> Relay:
    """A line, not yet listening."""
    host, _, port = model.target.rpartition(":")
    return Relay(model.name, (host, int(port)), host=config.host, port=model.port)


def _profile(name: str, variant: str) -> Profile:
    try:
        profile = find(name)
    except (UnknownProfileError, ProfileError) as error:
        raise WorldConfigError(str(error)) from error
    return profile.variant(variant) if variant else profile
