"""Writes on the devices of one bus: ordered by the centre or by the local watch, carried out before any reading, proved by reading back.

Nothing is written twice by itself. When the answer to a write is lost, the value is read back after the quiet time: only that tells whether it was
done. An order is known by its id, so that the server may repeat it until it has the outcome.
"""

import heapq
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

from msgspec.structs import replace

from contract.profile_models import Write
from contract.readings import Reading
from contract.writing import Order, Step, WriteRefusedError, check, expected, find, steps
from edge.drivers import Arrival, Driver, DriverError
from edge.plan import Device, Job

_log = logging.getLogger("edge.orders")

_REMEMBERED: Final = 500  # outcomes, for orders that are repeated
_AGAIN_MS: Final = 500  # before a read-back is tried again
_PATIENCE_MS: Final = 30_000  # for the read-back after its order has run out

DONE, REFUSED, FAILED, UNKNOWN = "done", "refused", "failed", "unknown"
"""Outcomes. `unknown`: it was sent, and neither an answer nor a read-back came."""


class Teller(Protocol):
    """Takes an outcome: kind, UTC ms, details."""

    def __call__(self, kind: str, now: int, **detail: Any) -> None:
        """See the class."""


@dataclass(order=True, slots=True)
class _Pending:
    """An order on its way: when to go on (mono), and whether it was sent."""

    at: float
    number: int
    order: Order = field(compare=False)
    device: Device = field(compare=False)
    write: Write = field(compare=False)
    until: float = field(compare=False)
    sent: bool = field(default=False, compare=False)
    trouble: str = field(default="", compare=False)


class Orders:
    """Of one bus; `known` are outcomes of before the start. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(self, devices: Sequence[Device], tell: Teller, known: Mapping[str, dict[str, Any]] | None = None) -> None:
        self._devices = {device.name: device for device in devices}
        self._tell = tell
        self._queue: list[_Pending] = []
        self._known: dict[str, dict[str, Any] | None] = dict(known or {})
        self._numbers = count()

    # ------------------------------------------------------------------------------------------------------------------------------ ordering

    def take(self, order: Order, now: int, mono: float) -> None:
        """Queue an order, or refuse it; one that is known already only gets its outcome told again."""
        if order.id in self._known:
            if (outcome := self._known[order.id]) is not None:
                self._tell("write", now, **outcome)
            return
        self._remember(order.id, None)
        try:
            pending = self._checked(order, now, mono)
        except WriteRefusedError as refused:
            self._finish(order, REFUSED, now, reason=f"{refused.kind}：{refused}")
        else:
            heapq.heappush(self._queue, pending)

    def _checked(self, order: Order, now: int, mono: float) -> _Pending:
        device = self._devices.get(order.device)
        if device is None:
            raise WriteRefusedError("unknown", f"没有设备 {order.device}")
        write = find(device.profile, order.write)
        if order.role != "guard" and write.id not in device.settings.writes:
            raise WriteRefusedError("not_enabled", f"devices.yaml 没有允许 {order.device} 的 {write.id}")
        if order.expires_at <= now:
            raise WriteRefusedError("expired", "指令过期了")
        check(write, order)
        steps(write, order.value)
        return _Pending(mono, next(self._numbers), order, device, write, mono + order.expires_at - now)

    @property
    def due(self) -> float:
        """When the next order wants the bus (mono); infinity when there is none."""
        return self._queue[0].at if self._queue else float("inf")

    # -------------------------------------------------------------------------------------------------------------------------- carrying out

    async def serve(self, driver: Driver, clock: Callable[[], tuple[int, float]]) -> Sequence[Arrival]:
        """Carry out what is due: one write with its read-back, or one read-back. Returns what was read."""
        pending = heapq.heappop(self._queue)
        now, mono = clock()
        if mono >= pending.until + (_PATIENCE_MS if pending.sent else 0):
            self._finish(pending.order, UNKNOWN if pending.sent else FAILED, now, reason=pending.trouble or "没有等到线路空出来")
            return ()
        try:
            arrivals = await driver.read(self._job(pending))
        except DriverError as error:
            self._failed(pending, error, *clock())
            return ()
        self._judge(pending, [reading for arrival in arrivals for reading in arrival.readings], *clock())
        return arrivals

    def _job(self, pending: _Pending) -> Job:
        writes: tuple[Step, ...] = () if pending.sent else steps(pending.write, pending.order.value)
        reads = (pending.device.read_of(pending.write.confirm),) if pending.write.confirm else ()
        return Job(pending.device, 1, reads, writes)

    def _failed(self, pending: _Pending, error: DriverError, now: int, mono: float) -> None:
        pending.trouble = str(error)
        if error.answered:
            self._finish(pending.order, REFUSED if not pending.sent else FAILED, now, reason=str(error))
            return
        if error.kind not in ("held", "unreachable"):  # those two were not sent at all
            pending.sent = True
            if not pending.write.confirm:
                self._finish(pending.order, UNKNOWN, now, reason=f"{error}；画像没有可以回读的点")
                return
        pending.at = mono + max(error.wait_s * 1000, _AGAIN_MS)
        heapq.heappush(self._queue, pending)

    def _judge(self, pending: _Pending, readings: Sequence[Reading], now: int, mono: float) -> None:
        """By the read-back, where the profile has one."""
        order, write = pending.order, pending.write
        if write.confirm is None:
            self._finish(order, DONE, now, reason="设备应答了，没有回读")
        else:
            wanted = expected(write, pending.device.profile.point(write.confirm), order.value)
            found = next((reading.value for reading in readings if reading.point_id == write.confirm), None)
            if found != wanted:
                self._finish(order, FAILED, now, reason=f"回读是 {found}，应是 {wanted}", read_back=found)
                return
            self._finish(order, DONE, now, read_back=found)
        if write.pulse_ms and order.value is not False:
            back = replace(order, id=f"{order.id}-off", value=False)
            self._remember(back.id, None)
            at = mono + write.pulse_ms
            heapq.heappush(self._queue, _Pending(at, next(self._numbers), back, pending.device, write, at + _PATIENCE_MS))

    # ------------------------------------------------------------------------------------------------------------------------------ outcomes

    def _finish(self, order: Order, outcome: str, now: int, *, reason: str = "", read_back: float | None = None) -> None:
        detail = {
            "order": order.id, "device": order.device, "write": order.write, "value": order.value, "by": order.by, "role": order.role,
            "outcome": outcome, "reason": reason, "read_back": read_back,
        }  # fmt: skip
        _log.log(logging.INFO if outcome == DONE else logging.WARNING, "写 %s %s=%s：%s %s", order.device, order.write, order.value, outcome, reason)
        self._remember(order.id, detail)
        self._tell("write", now, **detail)

    def _remember(self, ident: str, outcome: dict[str, Any] | None) -> None:
        self._known[ident] = outcome
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
