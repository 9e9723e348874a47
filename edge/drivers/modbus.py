"""Modbus TCP, RTU over TCP and serial RTU through pymodbus, which is imported nowhere else in the agent.

The library connects, builds requests and waits. What it cannot do is here: on a line without transaction ids it takes a reply that comes late for the
answer to the next question, without end and without an error. So after every timeout the line is left quiet for as long as its slowest device may
take, what arrives meanwhile is thrown away, and the device itself is not asked again for several times that long; a late answer that is heard makes
its timeout longer. Only frames that fit the question reach the library (edge/drivers/modbus_line.py). Reconnecting is ours, too: a whole new
client each time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType

from contract.decoding import BlockDecoder
from contract.frames import FrameError, Reply, Request
from contract.profile_transport import Identify
from contract.readings import Reading
from contract.sample import Quality
from contract.writing import Step
from edge.drivers import Arrival, DriverError
from edge.drivers.modbus_line import Exchange, late_units
from edge.plan import Device, Job, Read
from edge.settings import ModbusBus, RtuOverTcpBus, SerialBus, TcpBus

_log = logging.getLogger("edge.modbus")
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # every trouble is told once, by us

_CONNECT_S: Final = 3.0
_RECONNECT_S: Final = (1.0, 30.0)
_LONGEST_S: Final = 5.0  # to which a slow device's timeout may grow
_PATIENCE: Final = 4  # timeouts for which a silent device is left alone: its answer may still be on the way
_MOST_PAUSES: Final = 50
_REBUILD_AFTER: Final = 3  # failures in a row, of whichever devices
_IDENTIFY_S: Final = 86_400.0
_CONFIGURATION: Final = frozenset({1, 2, 3})
_BUSY: Final = frozenset({5, 6})
_GATEWAY: Final = frozenset({10, 11})
_SENTENCES: Final = {
    "timeout": "没有应答",
    "crc": "应答的校验不对（线路干扰、波特率或地址冲突）",
    "mismatch": "应答的不是所问的设备或内容",
    "short": "应答不完整",
    "garbled": "应答不是 Modbus",
}


class ModbusDriver:
    """One line, one connection, one question at a time. `clock` gives seconds, by default those of the running loop."""

    def __init__(self, bus: ModbusBus, devices: Sequence[Device], clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()) -> None:
        self._now = clock
        self._bus = bus
        self._rtu = not isinstance(bus, TcpBus)
        self._devices = devices
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._exchange: Exchange | None = None
        self._stray = b""  # received while nobody waited
        self._heard_at = self._quiet_until = self._retry_at = float("-inf")
        self._retry_s = _RECONNECT_S[0]
        self._failures = 0
        self._slow: dict[int, float] = {}  # unit -> learned timeout, seconds
        self._hold: dict[int, float] = {}  # unit -> not to be asked before
        self._asked_at: dict[int, float] = {}
        self._identified: dict[str, tuple[float, bool]] = {}
        self._decoders: dict[tuple[str, str], BlockDecoder] = {}
        self.counters: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------------------------------------- three methods

    async def open(self) -> None:
        """Connect if the line is there."""
        with contextlib.suppress(DriverError):
            await self._connected()

    async def read(self, job: Job | None) -> Sequence[Arrival]:
        """The readings of all blocks of a job, after its writes, of which none is repeated by itself. Raises DriverError."""
        assert job is not None  # noqa: S101 - this bus does not speak by itself
        device = job.device
        genuine = await self._identify(device)
        if job.writes and not genuine:
            raise DriverError("wrong_profile", f"设备 {device.name} 与画像不符，不写", answered=True)
        for step in job.writes:
            await self._ask(device, step.echo(device.unit), step)
        readings: list[Reading] = []
        for read in job.reads:
            reply = await self._ask(device, Request(device.unit, read.fc, read.address, read.count))
            readings += self._decoded(device, read, reply)
        return [Arrival(device.name, tuple(readings if genuine else map(_doubted, readings)))]

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    # --------------------------------------------------------------------------------------------------------------------------- connection

    async def _connected(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        """The client, made anew when there is none. Raises DriverError(bus=True)."""
        if self._client is not None and self._client.connected:
            return self._client
        await self.close()
        if self._now() < self._retry_at:
            raise DriverError("unreachable", f"总线 {self._bus.name} 连不上：{_where(self._bus)}", bus=True)
        client = self._build()
        if not await client.connect():
            client.close()
            self._retry_at = self._now() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _RECONNECT_S[1])
            raise DriverError("unreachable", f"总线 {self._bus.name} 连不上：{_where(self._bus)} 没有回应", bus=True)
        self._client, self._retry_s, self._failures = client, _RECONNECT_S[0], 0
        self._identified.clear()
        self._quiet_until = self._now() + (self._quiet_s() if self._rtu else 0)  # what a serial server still holds is of nobody here
        return client

    def _build(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        common: dict[str, Any] = {"timeout": _CONNECT_S, "retries": 0, "reconnect_delay": 0, "trace_packet": self._trace}
        match self._bus:
            case SerialBus(device=port, baud=baud, parity=parity, stop=stop):
                return AsyncModbusSerialClient(port, framer=FramerType.RTU, baudrate=baud, parity=parity, stopbits=stop, bytesize=8, **common)
            case RtuOverTcpBus(host=host, port=number):
                return AsyncModbusTcpClient(host, port=number, framer=FramerType.RTU, **common)
            case TcpBus(host=host, port=number):
                return AsyncModbusTcpClient(host, port=number, framer=FramerType.SOCKET, **common)

    # ----------------------------------------------------------------------------------------------------------------------------- exchange

    def _trace(self, sending: bool, data: bytes) -> bytes:
        """Every byte of the line passes here. `data` is all that came since the last question; what is returned is all the library sees."""
        if sending:
            if self._exchange is not None and not self._rtu:
                self._exchange.transaction = int.from_bytes(data[:2], "big")
            return data
        self._heard_at = self._now()
        if self._exchange is None or self._exchange.answered:
            self._stray = data
            return b""
        return self._exchange.look(data)

    async def _ask(self, device: Device, request: Request, write: Step | None = None) -> Reply:
        """One question, or one write with its echo, and its answer. Raises DriverError."""
        client = await self._connected()
        if self._now() < self._hold.get(request.unit, 0):
            raise DriverError("held", f"设备 {device.name} 刚超时，暂不再问", wait_s=self._hold[request.unit] - self._now())
        if self._rtu:
            await self._settle(device)
        exchange = Exchange(request, fc04_reply="fc04_reply" in device.profile.connection.quirks)
        self._exchange, self._stray = exchange, b""
        self._asked_at[request.unit] = self._now()
        try:
            async with asyncio.timeout(self._timeout_s(device)):
                await self._send(client, request, write)
        except TimeoutError:
            raise self._timed_out(device, exchange) if client.connected else self._dropped("对方断开") from None
        except ModbusException as error:
            raise self._dropped(str(error)) from None
        finally:
            self._exchange = None
        self._failures = 0
        self._hold.pop(request.unit, None)
        if exchange.exception is not None:
            raise self._refused(device, exchange.exception)
        if exchange.reply is None:
            raise self._dropped("the library answered by itself")
        return exchange.reply

    def _send(self, client: AsyncModbusTcpClient | AsyncModbusSerialClient, request: Request, write: Step | None) -> Awaitable[Any]:
        unit = request.unit
        match write:
            case Step(fc=5, address=address, value=value):
                return client.write_coil(address, value != 0, device_id=unit)
            case Step(fc=6, address=address, value=value):
                return client.write_register(address, value, device_id=unit)
            case Step(fc=15, address=address, value=value):
                return client.write_coils(address, [value != 0], device_id=unit)
            case Step(address=address, value=value):
                return client.write_registers(address, [value], device_id=unit)
        calls = {1: client.read_coils, 2: client.read_discrete_inputs, 3: client.read_holding_registers, 4: client.read_input_registers}
        return calls[request.fc](request.address, count=request.count, device_id=request.unit)

    async def _settle(self, device: Device) -> None:
        """Wait until the line may be used: the quiet time is over, and nothing was heard for the gap between frames."""
        gap_s = (device.profile.connection.timing.gap_ms if self._bus.gap_ms is None else self._bus.gap_ms) / 1000
        await asyncio.sleep(0)  # let what lies in the port come in before the question goes out
        for _ in range(_MOST_PAUSES):  # a line on which somebody talks without end is asked all the same
            wait = max(self._quiet_until, self._heard_at + gap_s) - self._now()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        for unit in late_units(self._stray):
            self._learn(unit)

    # ----------------------------------------------------------------------------------------------------------------------------- troubles

    def _timed_out(self, device: Device, exchange: Exchange) -> DriverError:
        """Nothing that answers the question came in time: keep the line quiet, and the device out of the way of its own late answer."""
        kind = exchange.trouble or "timeout"
        self._count(kind)
        for unit in exchange.others:
            self._learn(unit)
        timeout = self._timeout_s(device)
        wait = 0.0
        if self._rtu:
            self._quiet_until = self._now() + self._quiet_s()
            wait = max(_PATIENCE * timeout, self._quiet_s())
            self._hold[device.unit] = self._now() + wait
        self._failures += 1
        if self._failures >= _REBUILD_AFTER and self._client is not None:
            self._client.close()  # half-open, or a serial server that lost its way: the next question gets a new client
            self._client, self._failures = None, 0
        return DriverError(kind, f"设备 {device.name} {_SENTENCES[kind]}", wait_s=wait)

    def _dropped(self, reason: str) -> DriverError:
        self._count("dropped")
        if self._client is not None:
            self._client.close()
            self._client = None
        return DriverError("unreachable", f"总线 {self._bus.name} 中断：{reason}", bus=True)

    def _refused(self, device: Device, error: FrameError) -> DriverError:
        code = error.code or 0
        kind = f"exception_{code}"
        self._count(kind)
        if code in _BUSY:
            return DriverError("busy", f"设备 {device.name} 正忙", wait_s=1)
        if code in _GATEWAY:
            return DriverError("gateway_path", f"串口服务器够不到设备 {device.name}")
        what = "地址表或画像不对" if code in _CONFIGURATION else "设备自报故障"
        return DriverError(kind, f"设备 {device.name} 拒绝读取（异常码 {code}：{what}）", answered=True)

    def _learn(self, unit: int) -> None:
        """A device was heard after its time: give it half as much again as it took, up to five seconds."""
        asked = self._asked_at.get(unit)
        device = next((device for device in self._devices if device.unit == unit), None)
        if asked is None or device is None:
            self._count("foreign")
            return
        self._count("late")
        took = self._heard_at - asked
        if took > self._timeout_s(device):
            self._slow[unit] = min(1.5 * took, _LONGEST_S)
            _log.warning("设备 %s 应答很慢（%.1f 秒），已放宽等待时间到 %.1f 秒", device.name, took, self._slow[unit])

    def _count(self, kind: str) -> None:
        self.counters[kind] = self.counters.get(kind, 0) + 1

    # ------------------------------------------------------------------------------------------------------------------------------- timing

    def _timeout_s(self, device: Device) -> float:
        own = (device.profile.connection.timing.response_timeout_ms if self._bus.timeout_ms is None else self._bus.timeout_ms) / 1000
        return max(own, self._slow.get(device.unit, 0))

    def _quiet_s(self) -> float:
        if self._bus.quiet_ms is not None:
            return self._bus.quiet_ms / 1000
        return max((self._timeout_s(device) for device in self._devices), default=1.0)

    # ----------------------------------------------------------------------------------------------------------------------------- decoding

    def _decoded(self, device: Device, read: Read, reply: Reply) -> list[Reading]:
        readings: list[Reading] = []
        for block_id, offset in read.blocks:
            decoder = self._decoders.get((device.name, block_id))
            if decoder is None:
                decoder = self._decoders[device.name, block_id] = BlockDecoder(device.profile, block_id, device.points)
            readings += decoder(reply.words[offset : offset + decoder.count])
        return readings

    # ----------------------------------------------------------------------------------------------------------------------------- identity

    async def _identify(self, device: Device) -> bool:
        """Whether the registers that tell the model say what the profile expects; looked at on each connection and daily."""
        checks = [check for check in device.profile.identify if check.equals is not None]
        if not checks:
            return True
        known = self._identified.get(device.name)
        if known is not None and self._now() - known[0] < _IDENTIFY_S:
            return known[1]
        genuine = all([await self._says(device, check) for check in checks])
        if not genuine:
            _log.warning("设备 %s 与画像 %s 不符：读数标为存疑", device.name, device.profile.id)
        self._identified[device.name] = (self._now(), genuine)
        return genuine

    async def _says(self, device: Device, check: Identify) -> bool:
        """Whether the registers hold what is expected; a device that refuses to tell is another one. Raises DriverError when it is silent."""
        try:
            reply = await self._ask(device, Request(device.unit, check.read.fc, check.read.address, check.read.count))
        except DriverError as error:
            if error.answered:
                return False
            raise
        return [word & check.mask for word in reply.words] == [word & check.mask for word in check.equals or ()]


def _doubted(reading: Reading) -> Reading:
    return reading if reading.value is None else replace(reading, quality=Quality.UNCERTAIN, reason="wrong_profile")


def _where(bus: ModbusBus) -> str:
    return bus.device if isinstance(bus, SerialBus) else f"{bus.host}:{bus.port}"
