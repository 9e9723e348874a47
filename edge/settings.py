"""The gateway's configuration: `edge.yaml` (identity, broker, buses, spool) and `devices.yaml` (what hangs on the buses, and in which room).

Frozen models; an unknown field is an error. edge/configfile.py reads them. Relative paths in `edge.yaml` are relative to the folder of that file.

Three switches weaken the guarantees and exist only so that the fault tests can prove that they would notice: `spool.synchronous: off` (no fsync),
`spool.verify_crc: false` (damaged rows are sent as they are) and `uplink.acknowledgement: none` (a batch is forgotten once published).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NodeId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
DeviceName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
RoomCode: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{12}-[0-9]{2}$")]
# An unquoted prefecture code is an integer to YAML; the model wants the text.
GroupId: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value), Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
]
Params: TypeAlias = Mapping[str, int | str]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsSettings(_Model):
    """Certificates for the broker connection (PEM). `cert_file` and `key_file` identify the gateway (mutual TLS)."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> "TlsSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file 与 key_file 必须同时给出")
        return self


class BrokerSettings(_Model):
    """Where the central broker is. The password is read from a file, never from the configuration itself."""

    host: str
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    tls: TlsSettings | None = None
    keepalive_s: int = Field(20, ge=5, le=300)


class _Bus(_Model):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")]


class _ModbusBus(_Bus):
    """`timeout_ms` None takes each profile's own response timeout; `quiet_ms` None the slowest response timeout on the line."""

    timeout_ms: int | None = Field(None, ge=20, le=10_000)
    gap_ms: int | None = Field(None, ge=0, le=2_000)
    quiet_ms: int | None = Field(None, ge=0, le=30_000)


class TcpBus(_ModbusBus):
    """Modbus TCP (MBAP header)."""

    kind: Literal["tcp"]
    host: str
    port: int = Field(502, ge=1, le=65535)


class RtuOverTcpBus(_ModbusBus):
    """Modbus RTU frames through a transparent serial server. `baud` is that of the line behind it, for the load estimate only."""

    kind: Literal["rtu_over_tcp"]
    host: str
    port: int = Field(ge=1, le=65535)
    baud: int = Field(9600, ge=300, le=1_000_000)


class SerialBus(_ModbusBus):
    """Modbus RTU on a local serial port."""

    kind: Literal["serial"]
    device: str
    baud: int = Field(9600, ge=300, le=1_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stop: Literal[1, 2] = 1


class MqttBus(_Bus):
    """A local MQTT broker with sensors behind it. Larger messages are refused; a device sends at most `max_messages_per_s`."""

    kind: Literal["mqtt"]
    host: str
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    keepalive_s: int = Field(20, ge=5, le=300)
    max_bytes: int = Field(65_536, ge=64)
    max_messages_per_s: int = Field(50, ge=1)


class CameraBus(_Bus):
    """Cameras asked for a still over HTTP; credentials hold for every camera of this bus.

    A still goes to the server at most each `still_s` seconds, and at once when the verdict changed. On an alarm in the camera's room the last
    `keep_before` stills are sent, and new ones after the seconds of `after_s`. `verify_tls: false` accepts the self-made certificates that most
    cameras have.
    """

    kind: Literal["camera"]
    username: str | None = None
    password_file: Path | None = None
    auth: Literal["digest", "basic"] = "digest"
    timeout_ms: int = Field(5_000, ge=100, le=30_000)
    max_bytes: int = Field(4 * 1024 * 1024, ge=3_000, le=6 * 1024 * 1024)
    still_s: float = Field(60, ge=0)
    keep_before: int = Field(3, ge=0, le=20)
    after_s: tuple[float, ...] = (0, 2, 5)
    verify_tls: bool = True


BusSettings: TypeAlias = Annotated[TcpBus | RtuOverTcpBus | SerialBus | MqttBus | CameraBus, Field(discriminator="kind")]
ModbusBus: TypeAlias = TcpBus | RtuOverTcpBus | SerialBus


class SpoolSettings(_Model):
    """The durable queue. `quota_mb` bounds its file, `keep_days` the age of what nobody acknowledged, in days on which it collected;
    acknowledged rows stay for `keep_acknowledged_h` so that a restored server can ask again.

    `ring_samples` bounds the memory that holds samples while the disk refuses them. `synchronous` and `verify_crc`: see the module.
    """

    synchronous: Literal["full", "off"] = "full"
    verify_crc: bool = True
    quota_mb: float = Field(1024, ge=0.25)
    keep_days: float = Field(31, gt=0)
    keep_acknowledged_h: float = Field(24, ge=0)
    ring_samples: int = Field(50_000, ge=100)

    @model_validator(mode="before")
    @classmethod
    def _yaml_off(cls, content: Any) -> Any:
        # YAML 1.1 tools write a bare `off` as false; the two mean the same here.
        if isinstance(content, Mapping) and content.get("synchronous") is False:
            return {**content, "synchronous": "off"}
        return content


class UplinkSettings(_Model):
    """How the spool is drained; see edge/window.py for the resend rule.

    Readings wait up to `flush_ms` for company before they are written and sent. A larger value spares an SD card on a gateway with many fast devices,
    and delays what is not alarm-class by as much.
    """

    window: int = Field(20, ge=1, le=1000)
    resend_s: float = Field(15, gt=0)
    urgent_resend_s: float = Field(2, gt=0)
    flush_ms: int = Field(20, ge=10, le=60_000)
    max_samples: int = Field(500, ge=1, le=500)
    max_bytes: int = Field(65_536, ge=256, le=65_536)
    acknowledgement: Literal["end_to_end", "none"] = "end_to_end"


class SirenSettings(_Model):
    """A relay that the local watch drives: `device` of devices.yaml, a `write` of its profile, and how long it sounds at most after an alarm."""

    device: DeviceName
    write: str
    siren_s: float = Field(180, ge=1, le=3600)


class GuardSettings(_Model):
    """The local watch while the centre does not watch (edge/guard.py).

    It begins when the server's STATE is offline, or `after_s` after its last acknowledgement, and tells alarms from `level` on. `medium` chooses
    among the rules' limits. `siren` is a relay on one of our buses, `command` a program that gets each alarm as JSON on standard input: a modem, say.
    """

    after_s: float = Field(60, ge=5)
    level: Literal["warn", "alarm", "urgent", "critical"] = "urgent"
    medium: str = "paper"
    command: tuple[str, ...] = ()
    siren: SirenSettings | None = None


class EdgeSettings(_Model):
    """The whole of `edge.yaml`.

    `profiles_dir` holds the installer's own device profiles beside the packaged ones. `host_id` names the server whose STATE is waited for; empty
    means to publish without waiting. `room` is where the gateway itself hangs, for its own points; by default that of its first device.
    `trace_accepted` names a file that gets one JSON line per sample after its spool commit: the record against
    which fault tests count losses.
    """

    gateway: NodeId
    group: GroupId
    host_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "aw"
    broker: BrokerSettings
    room: RoomCode | None = None
    data_dir: Path
    devices_file: Path
    profiles_dir: Path | None = None
    server_url: str | None = Field(None, pattern=r"^https?://")
    server_token_file: Path | None = None
    buses: tuple[BusSettings, ...] = ()
    spool: SpoolSettings = SpoolSettings()
    uplink: UplinkSettings = UplinkSettings()
    guard: GuardSettings = GuardSettings()
    trace_accepted: Path | None = None


class ChannelSettings(_Model):
    """What is wired to one channel of a device, or which room and interval one point of it has.

    For a contact input `quantity` is needed, and `normally` is the contact's position while all is well. `channel` names the point when a device has
    several of a quantity; the default is the input's own name.
    """

    quantity: str | None = None
    normally: Literal["open", "closed"] = "open"
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,24}$")] | None = None
    room: RoomCode | None = None
    interval_s: float | None = Field(None, gt=0)


class DeviceSettings(_Model):
    """One device. `unit` is its Modbus address, `topic` its MQTT topic or friendly name, `url` the snapshot address of a camera.

    `writes` names the writes of the profile that the centre may order here; the default is none.
    `interval_s` is the longest silence of its points: None takes what the profile says. `params` answers the profile's questions, `variant` names one
    of its variants. `channels` is by point id of the profile. A camera's `url` is the snapshot address, or only scheme and host, and then the
    profile's path is put behind it.
    """

    name: DeviceName
    profile: str
    bus: str
    room: RoomCode
    unit: int | None = Field(None, ge=0, le=255)
    topic: str | None = None
    url: str | None = Field(None, pattern=r"^(https?|rtsp)://")
    interval_s: float | None = Field(None, gt=0, le=86_400)
    params: Params = {}
    variant: str | None = None
    writes: tuple[str, ...] = ()
    channels: Mapping[str, ChannelSettings] = {}


class DevicesSettings(_Model):
    """The whole of `devices.yaml`. `version` is free text that the gateway reports."""

    version: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)] = "1"
    devices: tuple[DeviceSettings, ...] = ()
