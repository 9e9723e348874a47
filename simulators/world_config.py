"""The configuration of a simulated world, a YAML file:

    seed: 7                       # everything random follows from it
    start: 2026-10-12T08:00:00    # local time when it has no zone; default: now
    speed: 1                      # seconds of the world per second
    step: 60                      # seconds per step of the physics, at most 300
    noise: true                   # sensors have noise, bias and lag
    host: 127.0.0.1               # where everything listens
    rooms:                        # any field of simulators.rooms.RoomSpec; `equipped: false` = no machines
      - {code: 350102000001-01, city: fuzhou}
      - {code: 350102000001-02, city: fuzhou, equipped: false, visits_per_day: 1}
    buses:
      - name: line-1
        kind: tcp                 # tcp | rtu_over_tcp | pty
        port: 0                   # 0 picks a free one; for pty: `link: PATH` gives the terminal a stable name
        hello: ""                 # what a DTU says first on each connection
        ledger: answers.jsonl     # one JSON line per answered read
        units:
          - {unit: 1, profile: renke-rs-ws-n01, room: 350102000001-01}
          - unit: 2
            profile: waveshare-8di
            room: 350102000001-01
            turnaround_ms: 20     # how long the device thinks
            ledger_key: ""        # gateway/device: values that simulators.ledger can recompute, in place of the plant's
            params: {}            # answers to the profile's questions, e.g. variant
            # contact inputs, as in devices.yaml, and points that look into another room
            channels: {di1: smoke, di2: {quantity: door, normally: closed, room: 350102000001-02}}
            fault: {kind: no_reply, probability: 0.1}
    mqtt:
      host: 127.0.0.1
      port: 1883
      prefix: zigbee2mqtt
      devices:
        - {name: store1_door, room: 350102000001-01, kind: door, interval: 60, battery: 97}   # or profile: NAME in place of kind
    cameras:
      port: 0
      rtsp_port: 0              # rtsp://host:port/<name> as well; default: no stream
      items:
        - {name: cam1, room: 350102000001-01, auth: digest, user: viewer, password: secret}
    relays:
      - {name: uplink, port: 0, target: "127.0.0.1:1883"}
    control: {port: 0}

Times in seconds. Unknown keys are refused. Where the world is used as a library the models may be built in Python as well.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from simulators.faults import Fault
from simulators.rooms import RoomSpec


class WorldConfigError(ValueError):
    """The file cannot be read or is wrong; the sentence says where."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoomModel(_Model):
    """A room. `equipped: false` removes all machines that are not given; `options` are the other fields of RoomSpec."""

    code: str
    city: str = "fuzhou"
    equipped: bool = True
    options: dict[str, float | str | None] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _collect(cls, data: Any) -> Any:
        """The file writes the options beside the code; here they are gathered."""
        if not isinstance(data, dict):
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields}
        options = {k: v for k, v in data.items() if k not in cls.model_fields}
        unknown = set(options) - set(RoomSpec.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r} of a room")
        return own | {"options": {**own.get("options", {}), **options}}

    def spec(self) -> RoomSpec:
        """As the plant wants it."""
        none = {} if self.equipped else dict.fromkeys(("dehumidifier", "humidifier", "cooling", "heating"))
        fields: dict[str, Any] = none | self.options
        return RoomSpec(self.code, self.city, **fields)


class FaultModel(_Model):
    """A fault that is on from the start; see simulators.faults.Fault."""

    kind: str
    code: int = 4
    delay_ms: int | None = None
    probability: float | None = None
    count: int | None = None

    def fault(self) -> Fault:
        """As the devices want it. Raises FaultError."""
        return Fault(**self.model_dump())


class ChannelModel(_Model):
    """What is wired to a point: a quantity of a room, by default the unit's. `normally` is the contact's position while all is well."""

    quantity: str = ""
    room: str = ""
    normally: Literal["open", "closed"] = "open"
    channel: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"quantity": data} if isinstance(data, str) else data


class UnitModel(_Model):
    """A device on a bus."""

    unit: int = Field(ge=0, le=255)
    profile: str
    room: str
    params: dict[str, int | str] = Field(default_factory=dict)
    channels: dict[str, ChannelModel] = Field(default_factory=dict)
    noise: bool | None = None
    turnaround_ms: int = Field(default=0, ge=0)
    fault: FaultModel | None = None
    ledger_key: str = ""


class BusModel(_Model):
    """A Modbus bus."""

    name: str
    kind: Literal["tcp", "rtu_over_tcp", "pty"] = "tcp"
    port: int = 0
    link: Path | None = None
    hello: str = ""
    ledger: Path | None = None
    units: tuple[UnitModel, ...] = ()


class MqttDeviceModel(_Model):
    """An MQTT sensor; `interval` in seconds."""

    name: str
    room: str
    kind: str = "climate"
    profile: str = ""
    interval: float = Field(default=60.0, gt=0)
    on_change: bool = True
    retain: bool = False
    duplicate: bool = False
    qos: Literal[0, 1] = 0
    battery: float = 97.0
    noise: bool | None = None
    fault: str = ""


class MqttModel(_Model):
    """The broker that the MQTT sensors talk to."""

    host: str = "127.0.0.1"
    port: int = 1883
    prefix: str = "zigbee2mqtt"
    client_id: str = "zigbee2mqtt"
    username: str = ""
    password: str = ""
    devices: tuple[MqttDeviceModel, ...] = ()


class CameraModel(_Model):
    """A camera."""

    name: str
    room: str
    auth: Literal["none", "basic", "digest"] = "none"
    user: str = "viewer"
    password: str = ""
    fault: str = ""


class CamerasModel(_Model):
    """The port of the cameras; `rtsp_port` streams them as well."""

    port: int = 0
    rtsp_port: int | None = None
    items: tuple[CameraModel, ...] = ()


class RelayModel(_Model):
    """A line that can be cut; `target` is host:port."""

    name: str
    port: int = 0
    target: str = Field(pattern=r"^[^:]+:\d+$")


class ControlModel(_Model):
    """The control API."""

    port: int = 0


class WorldConfig(_Model):
    """The whole world."""

    seed: int = 1
    start: datetime | None = None
    speed: float = Field(default=1.0, gt=0)
    step: float = Field(default=60.0, gt=0, le=300)
    noise: bool = True
    host: str = "127.0.0.1"
    rooms: tuple[RoomModel, ...] = Field(min_length=1)
    buses: tuple[BusModel, ...] = ()
    mqtt: MqttModel | None = None
    cameras: CamerasModel | None = None
    relays: tuple[RelayModel, ...] = ()
    control: ControlModel | None = None

    @classmethod
    def of(cls, data: Any, source: str = "world") -> Self:
        """Validate plain data. Raises WorldConfigError."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(p) for p in first["loc"])
            raise WorldConfigError(f"{source}: {place}: {first['msg']}") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file. Raises WorldConfigError."""
        try:
            data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        except (OSError, YAMLError) as error:
            raise WorldConfigError(f"{path}: {error}") from error
        return cls.of(data, str(path))
