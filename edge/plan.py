"""What is to be read: devices.yaml joined with the profiles. Every refusal names the line of the device.

Intervals: a point promises a sample at least each `interval_s` of its device (or channel). Ordinary blocks are read that often, `slow` ones not more
often than their profile says, `once` ones hourly. A `fast` block is read at its own, short period; its points are sent on a change, and otherwise
each interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from contract.declarations import PointDeclaration
from contract.frames import BIT_READS
from contract.installation import ChannelUse, InstallationError, configure, variant
from contract.profile import ProfileError, UnknownProfileError, find, load_folder
from contract.profile_models import Point, Profile
from contract.profile_transport import Block
from contract.quantities import QUANTITIES
from contract.sample import PointKey
from contract.writing import Step
from edge.configfile import ConfigError
from edge.quality import Limits
from edge.settings import BusSettings, DeviceSettings, DevicesSettings, EdgeSettings

OWN_DEVICE: Final = "gateway"
"""The device of the gateway's own points (edge/condition.py)."""
_FAST_INTERVAL_S: Final = 10.0  # how often an unchanged fast point is sent when devices.yaml does not say
_ONCE_S: Final = 3600.0
_CAMERA_S: Final = 60.0
_KINDS: Final = {"tcp": "modbus", "rtu_over_tcp": "modbus", "serial": "modbus", "mqtt": "mqtt", "camera": "camera"}
_ADDRESS: Final = {"modbus": "unit", "mqtt": "topic", "camera": "url"}


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """One point: identity, profile entry, and the longest silence in seconds. `on_change`: read faster than sent."""

    key: PointKey
    point: Point
    room: str
    interval_s: float
    limits: Limits
    on_change: bool

    @property
    def declaration(self) -> PointDeclaration:
        """For the birth, without alias."""
        return PointDeclaration(self.key.metric, None, self.room, QUANTITIES[self.key.quantity].unit, self.interval_s, self.point.klass)


@dataclass(frozen=True, slots=True)
class Read:
    """One request: function, address, count, and which blocks lie in it at which offset."""

    fc: int
    address: int
    count: int
    blocks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of a device at once, each `period_s`: first `writes`, then `reads`, which are empty where the driver needs no registers."""

    device: "Device"
    period_s: float
    reads: tuple[Read, ...] = ()
    writes: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Device:
    """A device of devices.yaml with its installed profile; `points` by point id."""

    settings: DeviceSettings
    profile: Profile
    points: Mapping[str, PlannedPoint]

    @property
    def name(self) -> str:
        """Its name in devices.yaml, unique on the gateway."""
        return self.settings.name

    @property
    def unit(self) -> int:
        """Modbus address."""
        return self.settings.unit or 0

    @property
    def interval_s(self) -> float:
        """The shortest promise of its points."""
        return min(point.interval_s for point in self.points.values())

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What to read, and how often; blocks that share function and period are joined where the device allows it."""
        if self.profile.connection.kind != "modbus":
            return (Job(self, self.interval_s),)
        periods = {block.id: _period(self.profile, block, self.settings.interval_s) for block in self._used_blocks()}
        return tuple(Job(self, period, tuple(self._reads(period, periods))) for period in sorted(set(periods.values())))

    def read_of(self, point_id: str) -> Read:
        """The read that tells one point, for reading back what was written."""
        return _read([self.profile.block(self.profile.point(point_id).block or "")])

    def _used_blocks(self) -> list[Block]:
        used = {planned.point.block for planned in self.points.values()}
        return [block for block in self.profile.blocks if block.id in used]

    def _reads(self, period: float, periods: Mapping[str, float]) -> Iterator[Read]:
        blocks = sorted((block for block in self._used_blocks() if periods[block.id] == period), key=lambda block: (block.fc, block.address))
        run: list[Block] = []
        for block in blocks:
            if run and not _joins(self.profile, run, block):
                yield _read(run)
                run = []
            run.append(block)
        if run:
            yield _read(run)


def _joins(profile: Profile, run: Sequence[Block], block: Block) -> bool:
    limits = profile.connection.limits
    end = max(known.address + known.count for known in run)
    most = limits.max_bits if block.fc in BIT_READS else limits.max_registers
    fits = block.address + block.count - run[0].address <= most
    return not limits.single_reads and block.fc == run[0].fc and block.address - end <= limits.max_hole and fits


def _read(run: Sequence[Block]) -> Read:
    start, end = run[0].address, max(block.address + block.count for block in run)
    return Read(run[0].fc, start, end - start, tuple((block.id, block.address - start) for block in run))


def _period(profile: Profile, block: Block, interval_s: float | None) -> float:
    """How often a block is read, seconds."""
    match block.priority:
        case "fast":
            wanted = min(block.poll_s, interval_s or block.poll_s)
        case "slow":
            wanted = max(block.poll_s, interval_s or 0)
        case "once":
            wanted = max(_ONCE_S, interval_s or 0)
        case _:
            wanted = interval_s or block.poll_s
    return max(wanted, profile.connection.timing.min_poll_s)


def _interval(settings: DeviceSettings, profile: Profile, point: Point) -> tuple[float, bool]:
    """The longest silence of a point, and whether it is read faster than that."""
    channel = settings.channels.get(point.id)
    wanted = (channel.interval_s if channel else None) or settings.interval_s
    if profile.connection.kind == "modbus" and point.block is not None:
        block = profile.block(point.block)
        period = _period(profile, block, settings.interval_s)
        if block.priority == "fast":
            return max(wanted or _FAST_INTERVAL_S, period), True
        return max(period, channel.interval_s if channel and channel.interval_s else 0), bool(channel and channel.interval_s)
    if profile.mqtt is not None:
        return wanted or profile.mqtt.expected_interval_s, False
    return wanted or (profile.camera.tamper.every_s if profile.camera else _CAMERA_S), False


# ------------------------------------------------------------------------------------------------------------------------------------ building


@dataclass(frozen=True)
class Plan:
    """All devices of a gateway, by bus name in the order of edge.yaml."""

    settings: EdgeSettings
    version: str
    buses: Mapping[str, tuple[Device, ...]]

    @property
    def devices(self) -> Iterator[Device]:
        """Every device."""
        return (device for devices in self.buses.values() for device in devices)

    @property
    def points(self) -> Iterator[PlannedPoint]:
        """Every point."""
        return (point for device in self.devices for point in device.points.values())

    @property
    def room(self) -> str:
        """Where the gateway hangs, as far as anybody said; empty on a gateway without devices."""
        first = next(self.devices, None)
        return self.settings.room or (first.settings.room if first is not None else "")

    def bus(self, name: str) -> BusSettings:
        """The settings of a bus."""
        return next(bus for bus in self.settings.buses if bus.name == name)


def build(settings: EdgeSettings, devices: DevicesSettings, lines: Mapping[str, int]) -> Plan:
    """Join configuration and profiles; `lines` is where each device stands in the devices file. Raises ConfigError."""
    kinds = {bus.name: bus.kind for bus in settings.buses}
    buses: dict[str, list[Device]] = {name: [] for name in kinds}
    own = _own_profiles(settings)
    for entry in devices.devices:
        try:
            device = _device(settings.gateway, entry, kinds, own)
            _refuse_conflict(device, buses[entry.bus])
        except _PlanError as error:
            raise ConfigError(settings.devices_file, lines.get(entry.name, 1), f"设备 {entry.name}：{error}") from None
        buses[entry.bus].append(device)
    plan = Plan(settings, devices.version, {name: tuple(found) for name, found in buses.items()})
    _refuse_siren(plan)
    return plan


def _refuse_siren(plan: Plan) -> None:
    """The siren must be a write of a device that is there."""
    siren = plan.settings.guard.siren
    if siren is None:
        return
    device = next((device for device in plan.devices if device.name == siren.device), None)
    if device is None or not any(write.id == siren.write and True in write.values for write in device.profile.writes):
        raise ConfigError(plan.settings.devices_file, 1, f"guard.siren：没有设备 {siren.device}，或它没有开关量写操作 {siren.write}")


def _own_profiles(settings: EdgeSettings) -> Mapping[str, Profile]:
    if settings.profiles_dir is None:
        return {}
    try:
        return load_folder(settings.profiles_dir)
    except ProfileError as error:
        raise ConfigError(settings.profiles_dir / error.file, error.line, error.reason) from None
    except OSError as error:
        raise ConfigError(settings.profiles_dir, 1, f"无法读取（{error.strerror}）") from None


class _PlanError(ValueError):
    """A device that cannot be planned."""


def _device(gateway: str, entry: DeviceSettings, kinds: Mapping[str, str], own: Mapping[str, Profile]) -> Device:
    if entry.name == OWN_DEVICE:
        raise _PlanError(f"{OWN_DEVICE} 是网关自己的名称")
    if entry.bus not in kinds:
        raise _PlanError(f"没有名为 {entry.bus} 的总线（edge.yaml 里有：{'、'.join(kinds) or '无'}）")
    kind = _KINDS[kinds[entry.bus]]
    profile = _installed(entry, own)
    if profile.connection.kind not in (kind, "lorawan" if kind == "mqtt" else kind):
        raise _PlanError(f"设备画像 {profile.id} 属于 {profile.connection.kind}，不能接在 {kind} 总线上")
    if getattr(entry, _ADDRESS[kind]) is None:
        raise _PlanError(f"缺少 {_ADDRESS[kind]}")
    if unknown := set(entry.channels) - {point.id for point in profile.points}:
        raise _PlanError(f"画像 {profile.id} 没有通道 {min(unknown)}")
    if unknown := set(entry.writes) - {write.id for write in profile.writes}:
        raise _PlanError(f"画像 {profile.id} 没有写操作 {min(unknown)}")
    points = {point.id: _point(gateway, entry, profile, point) for point in profile.points if point.quantity in QUANTITIES}
    if not points:
        raise _PlanError("没有任何测点；开关量模块要在 channels 里写明每一路接的是什么")
    return Device(entry, profile, points)


def _installed(entry: DeviceSettings, own: Mapping[str, Profile]) -> Profile:
    try:
        profile = own.get(entry.profile.lower()) or find(entry.profile)
        if entry.variant is not None:
            profile = variant(profile, entry.variant)
        return configure(profile, entry.params, _uses(entry, profile))
    except UnknownProfileError as error:
        raise _PlanError(f"没有设备画像 {error.name}（archivewatch-edge profiles 列出全部）") from None
    except (InstallationError, ValidationError) as error:
        raise _PlanError(str(error).splitlines()[0]) from None


def _uses(entry: DeviceSettings, profile: Profile) -> dict[str, ChannelUse]:
    """What is wired to the contact inputs; other channels only have a room or an interval of their own."""
    inputs = {point.id for point in profile.points if point.assignable}
    uses: dict[str, ChannelUse] = {}
    for name, use in entry.channels.items():
        if use.quantity is not None:
            uses[name] = ChannelUse(quantity=use.quantity, normally=use.normally, channel=use.channel)
        elif name in inputs:
            raise _PlanError(f"通道 {name} 要写明 quantity（接的是什么）")
    return uses


def _point(gateway: str, entry: DeviceSettings, profile: Profile, point: Point) -> PlannedPoint:
    interval, on_change = _interval(entry, profile, point)
    channel = entry.channels.get(point.id)
    room = channel.room if channel and channel.room else entry.room
    key = PointKey(gateway, entry.name, point.quantity, point.channel)
    return PlannedPoint(key, point, room, interval, Limits.of(point, profile.connection.timing.warmup_s), on_change)


def _refuse_conflict(device: Device, others: Sequence[Device]) -> None:
    """Two devices must not answer to one address. One name may stand in different topics: the motion and the events of a camera in Frigate."""
    for field in ("unit", "topic"):
        mine = getattr(device.settings, field)
        for other in others:
            if mine is not None and getattr(other.settings, field) == mine and _topic(device) == _topic(other):
                raise _PlanError(f"{field} {mine} 已被同一总线上的 {other.name} 使用")


def _topic(device: Device) -> str | None:
    return None if device.profile.mqtt is None else device.profile.mqtt.topic
