"""The part of a device profile that says how a device is reached: bus and registers, MQTT topics, binary payloads, pictures.

Fields are checked strictly (no "1" for 1, no 1 for true) and unknown fields are refused. Register addresses are 0-based PDU addresses.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Frozen, strict, and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Serial(Model):
    """Serial line of a new device; `stop` bits, always 8 data bits."""

    baud: int
    parity: Literal["N", "E", "O"] = "N"
    stop: Literal[1, 2] = 1
    baud_options: tuple[int, ...] = ()


class Unit(Model):
    """Unit address: factory default, settable range, and the universal address that every device of the kind answers to."""

    default: int = Field(1, ge=0, le=255)
    min: int = Field(1, ge=0, le=255)
    max: int = Field(247, ge=0, le=255)
    any: int | None = Field(None, ge=0, le=255)


class Timing(Model):
    """Milliseconds unless the name says seconds. `flush_before`: empty the input before each request."""

    response_timeout_ms: int = Field(500, gt=0)
    gap_ms: int = Field(20, ge=0)
    min_poll_s: float = Field(1, gt=0)
    warmup_s: float = Field(0, ge=0)
    retries: int = Field(1, ge=0)
    flush_before: bool = False


class Limits(Model):
    """How far reads may be merged; `single_reads` forbids it."""

    max_registers: int = Field(125, ge=1, le=125)
    max_bits: int = Field(2000, ge=1, le=2000)
    max_hole: int = Field(0, ge=0)
    single_reads: bool = False


class Connection(Model):
    """How the device is reached. `quirks` are departures from the rules that the drivers know."""

    kind: Literal["modbus", "mqtt", "lorawan", "camera"]
    carriers: tuple[Literal["rtu", "tcp", "rtu_over_tcp"], ...] = ()
    serial: Serial | None = None
    unit: Unit = Unit()
    timing: Timing = Timing()
    limits: Limits = Limits()
    quirks: tuple[Literal["local_echo", "greeting_noise", "any_address", "fc04_reply", "reply_from_new_address"], ...] = ()


class Read(Model):
    """A register read."""

    fc: Literal[1, 2, 3, 4]
    address: int = Field(ge=0, le=0xFFFF)
    count: int = Field(1, ge=1)


class Identify(Model):
    """Wrong-device guard: the registers must equal `equals` (under `mask`); without it the value is only recorded."""

    read: Read
    equals: tuple[int, ...] | None = None
    mask: int = 0xFFFF
    note: str = ""


class Block(Model):
    """Registers or bits that are read together. `fc_also`: other functions that give the same content."""

    id: str
    fc: Literal[1, 2, 3, 4]
    address: int = Field(ge=0, le=0xFFFF)
    count: int = Field(ge=1, le=2000)
    poll_s: float = Field(30, gt=0)
    priority: Literal["fast", "normal", "slow", "once"] = "normal"
    fc_also: tuple[Literal[1, 2, 3, 4], ...] = ()


class TimeField(Model):
    """Where a message says when it was measured. `fallback` is always the time of receipt."""

    path: str
    format: Literal["iso8601", "epoch_s", "epoch_ms"]
    fallback: Literal["receive"] = "receive"


class Availability(Model):
    """A topic that says whether the device is there; `path` when the payload is JSON (plain text is accepted beside it)."""

    topic: str
    path: str | None = None
    online: tuple[str, ...] = ("online",)
    offline: tuple[str, ...] = ("offline",)


class Mqtt(Model):
    """Topics and payload. `{device}` in a topic is the device's name; `retained` says what a retained message is worth.

    `device_path` is where a message names its device when the topic does not, `counter_path` where its running number stands: a repetition of one
    with the same number is no news (LoRaWAN fCnt). `{name}` of a question is filled in by the installer's answer. `still` is a topic on which the
    device shows a JPEG of what it reports.
    """

    topic: str
    payload: Literal["json", "text", "hex", "base64"] = "json"
    device_from: Literal["config", "topic"] = "config"
    device_path: str | None = None
    counter_path: str | None = None
    still: str | None = None
    time: TimeField | None = None
    retained: Literal["uncertain", "ignore", "accept"] = "uncertain"
    availability: Availability | None = None
    expected_interval_s: float = Field(gt=0)
    sleepy: bool = False


class TlvEntry(Model):
    """One field of a channel-type-value payload; little-endian `value` of `size` bytes."""

    id: str
    channel: int = Field(ge=0, le=255)
    type: int = Field(ge=0, le=255)
    size: int = Field(ge=1, le=64)
    value: Literal["u8", "i8", "u16", "i16", "u32", "i32", "skip"]


class ByteField(Model):
    """One field of a payload of fixed length: byte `at`, or `width` bits of it from `bit` on."""

    id: str
    at: int = Field(ge=0, le=63)
    bit: int = Field(0, ge=0, le=7)
    width: int = Field(8, ge=1, le=8)


class Codec(Model):
    """How a binary payload is laid out; `payload_path` when it travels inside JSON.

    `milesight_tlv` is the table `tlv`; `bytes` has `length` bytes with the table `fields`, and with `checksum: sum8` all of them add up to 0 mod 256.
    """

    name: Literal["milesight_tlv", "bytes"]
    payload_path: str | None = None
    encoding: Literal["base64", "hex"] = "base64"
    tlv: tuple[TlvEntry, ...] = ()
    length: int = Field(0, ge=0, le=64)
    checksum: Literal["none", "sum8"] = "none"
    fields: tuple[ByteField, ...] = ()


class KeepAlive(Model):
    """The event that arrives while nothing happens."""

    type: str
    state: str = ""


class CameraEvents(Model):
    """The camera's own event stream; `map` turns its event names into ours."""

    kind: Literal["isapi_alert_stream", "dahua_attach", "onvif_pullpoint"]
    url: str
    read_timeout_s: float = 60
    reconnect_s: tuple[float, ...] = (5, 10, 15, 30)
    keepalive: KeepAlive | None = None
    map: Mapping[str, str] = {}


class Tamper(Model):
    """Thresholds on a 64x36 grey thumbnail (0..255). A verdict needs `raise_n` pictures, and `clear_n` good ones end it.

    `black`: mean and deviation below; `white`: mean above, or the share of saturated pixels; `covered`: deviation below, or edges below a share of
    the usual at that hour; `blurred`: sharpness below a share of the usual; `moved`: correlation with the reference below; `frozen`: identical.
    """

    every_s: float = 60
    raise_n: int = 3
    clear_n: int = 5
    min_bytes: int = 3000
    black_mean: float = 12
    black_deviation: float = 6
    white_mean: float = 245
    white_share: float = 0.6
    covered_deviation: float = 8
    covered_edge_share: float = 0.15
    blurred_share: float = 0.25
    moved_correlation: float = 0.5
    frozen_n: int = 3


class Camera(Model):
    """How to get a picture. Paths are relative to http://host[:port]; `{name}` is filled from the params.

    With `snapshot_by: onvif` the camera itself is asked for the path. The keys of `events.map` are the camera's words, its values the ids of points.
    """

    vendor: str
    auth: tuple[Literal["none", "basic", "digest"], ...]
    snapshot: str
    snapshot_by: Literal["path", "onvif"] = "path"
    snapshot_fallback: tuple[str, ...] = ()
    rtsp: str = ""
    timeout_s: float = 5
    events: CameraEvents | None = None
    tamper: Tamper = Tamper()
