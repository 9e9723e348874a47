"""`archivewatch-edge address`: tell or change the address of the one device on a Modbus line, by the register that its profile documents.

Nothing is written before it is certain who will hear it: the line is asked at every address that was named, exactly one device may answer, its blocks
must read like the profile, the new address must be silent, and a person types the new address. What counts afterwards is not the echo, which comes
from either address or from none, but who answers: the new address with good readings, and the old one no more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from contract.profile_models import Commissioning, Profile
from contract.sample import Quality
from contract.writing import Step
from edge.drivers import Arrival, Driver, DriverError, create
from edge.plan import Device, Job
from edge.scan import BusUnreachableError, device_at, rings
from edge.settings import ModbusBus

_LOOKS: Final = 5
"""How often the new address is asked before the change counts as failed; a device that restarts needs a moment."""

Ask = Callable[[str], Awaitable[str]]
"""Shows a sentence to a person and returns what was typed."""


class AddressError(Exception):
    """The address was not changed, or nobody can prove that it was; the text is for people. `written`: the register was written."""

    def __init__(self, sentence: str, *, written: bool = False) -> None:
        super().__init__(sentence)
        self.written = written


class Change(NamedTuple):
    """A finished change."""

    old: int
    new: int


def register_of(profile: Profile) -> Commissioning | None:
    """The documented register that holds the address; None where there is none."""
    return next((step for step in profile.commissioning if step.id == "address"), None)


def bounds(profile: Profile, step: Commissioning) -> tuple[int, int]:
    """The lowest and the highest address that may be set."""
    return step.range or (profile.connection.unit.min, profile.connection.unit.max)


class Line:
    """A line for the time of one change. Its methods raise BusUnreachableError when the line itself is not there."""

    def __init__(self, bus: ModbusBus, profile: Profile) -> None:
        self._bus, self._profile = bus, profile
        self._driver: Driver = create(bus, ())

    async def __aenter__(self) -> "Line":
        await self._driver.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._driver.close()

    async def who(self, units: Sequence[int]) -> list[int]:
        """Those of `units` that answer anything."""
        return [unit for unit in units if await rings(self._driver, self._bus, unit)]

    def device(self, unit: int) -> Device:
        """The device as if it were configured. Raises AddressError where the profile needs answers first."""
        found = device_at(self._bus, self._profile.id, unit)
        if found is None:
            raise AddressError(f"画像 {self._profile.id} 要先在 devices.yaml 里回答安装问题，不能在这里改地址")
        return found

    async def doubt(self, unit: int) -> str:
        """Why whoever answers at `unit` is not a device of the profile; "" when every reading is good."""
        try:
            arrivals = [arrival for job in self.device(unit).jobs for arrival in await self._read(job)]
        except DriverError as error:
            return str(error)
        bad = [reading.point_id for arrival in arrivals for reading in arrival.readings if reading.quality is not Quality.GOOD]
        return f"读数不像这种设备（{'、'.join(bad)}）" if bad else ""

    async def write(self, unit: int, step: Commissioning, value: int) -> None:
        """Write the register. An echo from another address or none is no news; a refusal raises AddressError."""
        target = self._profile.connection.unit.any if step.to == "any" else unit
        unlocking = (Step(unlock.fc, unlock.address, unlock.value) for unlock in step.unlock)
        job = Job(self.device(unit if target is None else target), 1, writes=(*unlocking, Step(step.fc, step.address, value)))
        try:
            await self._read(job)
        except DriverError as error:
            if error.answered:
                raise AddressError(f"设备拒绝：{error}") from None

    async def _read(self, job: Job) -> Sequence[Arrival]:
        """As the driver does; a device that must be left alone for a while is asked again after it. Raises DriverError."""
        while True:
            try:
                return await self._driver.read(job)
            except DriverError as error:
                if error.bus:
                    raise BusUnreachableError(str(error)) from None
                if error.kind != "held":
                    raise
                await asyncio.sleep(error.wait_s)


async def change(bus: ModbusBus, profile: Profile, units: Sequence[int], new: int, ask: Ask) -> Change:
    """Find the one device among `units`, and give it the address `new`. Raises AddressError, BusUnreachableError."""
    step = register_of(profile)
    if step is None:
        raise AddressError(undocumented(profile))
    low, high = bounds(profile, step)
    if not low <= new <= high:
        raise AddressError(f"{profile.title.zh}的地址只能是 {low}–{high}")
    async with Line(bus, profile) as line:
        old = await _alone(line, units, new)
        if doubt := await line.doubt(old):
            raise AddressError(f"地址 {old} 上的不是 {profile.title.zh}（{profile.id}）：{doubt}。没有写入。")
        if (await ask(f"将把地址 {old} 的{profile.title.zh}改为地址 {new}（寄存器 0x{step.address:04X}）。输入新地址 {new} 确认：")).strip() != str(
            new
        ):
            raise AddressError("没有确认，没有写入。")
        await line.write(old, step, new)
        if step.restart:
            await ask("请给设备断电再上电，然后按回车：")
        await _proven(line, old, new)
    return Change(old, new)


async def _alone(line: Line, units: Sequence[int], new: int) -> int:
    there = await line.who(sorted({*units, new}))
    if not there:
        raise AddressError(f"问了 {len(set(units) | {new})} 个地址，没有设备应答。检查接线、波特率，或用 --units 放宽范围。没有写入。")
    if len(there) > 1:
        raise AddressError(f"总线上有几台设备（地址 {'、'.join(map(str, there))}）：只留要改的这一台。没有写入。")
    if there == [new]:
        raise AddressError(f"设备的地址已经是 {new}。没有写入。")
    return there[0]


async def _proven(line: Line, old: int, new: int) -> None:
    doubt = ""
    for _ in range(_LOOKS):
        if not (doubt := await line.doubt(new)):
            break
    if doubt:
        where = await line.who((old,))
        still = f"设备还在原地址 {old}" if where else f"原地址 {old} 也没有应答，请断电重启后用 scan 查找"
        raise AddressError(f"写入了，但地址 {new} 上读不到：{doubt}；{still}。", written=True)
    if await line.who((old,)):
        raise AddressError(f"地址 {new} 有应答，但地址 {old} 也还有：总线上不止一台设备，请逐台检查。", written=True)


def undocumented(profile: Profile) -> str:
    """What to do where no register is documented."""
    return f"{profile.title.zh}（{profile.id}）没有公开的改地址寄存器：按厂家说明，用拨码开关、按键或厂家软件修改，再用 archivewatch-edge scan 核对。"
