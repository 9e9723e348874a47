"""A Modbus line with its devices: who answers a request, which fault is on, and which bytes go out when.

Every answered read may be written to a ledger file, one JSON object per line:
{"t": UTC ms, "bus", "unit", "fc", "address", "count", "fault": kind or null, "values": {point id: value before encoding}}.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulators.faults import VALUE_FAULTS, WIRE_FAULTS, WORD_FAULTS, Fault, FaultError, distortion
from simulators.modbus_device import Answer, Distort, Refusal, Unit
from simulators.modbus_wire import Emission, Framing, Request, check_carrier, emissions, exception


@dataclass(slots=True)
class _Active:
    """A fault that is on for a unit."""

    fault: Fault
    left: int | None
    rng: random.Random
    distort: Distort | None

    def strikes(self) -> bool:
        """Whether this reply is hit; counts down."""
        if self.left == 0 or self.rng.random() >= self.fault.chance:
            return False
        self.left = None if self.left is None else self.left - 1
        return True


class Bus:
    """A line with its devices. `clock` gives UTC ms; `rtu` tells whether the carrier has RTU frames; `ledger` is a file that grows."""

    def __init__(self, name: str, clock: Callable[[], int], *, rtu: bool = True, ledger: Path | None = None) -> None:
        self.name = name
        self.rtu = rtu
        self._clock = clock
        self._units: list[Unit] = []
        self._active: dict[int, _Active] = {}
        self._ledger = ledger.open("a", encoding="utf-8") if ledger else None

    @property
    def units(self) -> tuple[Unit, ...]:
        """The devices on the line."""
        return tuple(self._units)

    @property
    def faults(self) -> dict[int, str]:
        """The faults that are on, by unit id."""
        return {unit: a.fault.kind for unit, a in self._active.items() if a.left != 0}

    @property
    def coils(self) -> dict[int, dict[int, int]]:
        """The outputs that were written, by unit id and address."""
        return {u.unit: dict(u.coils) for u in self._units if u.coils}

    def add(self, unit: Unit, fault: Fault | None = None) -> None:
        """Connect a device. Two with one address talk at once, as they would."""
        self._units.append(unit)
        if fault is not None:
            self.set_fault(unit.unit, fault)

    def measuring(self, room: str, quantity: str) -> list[int]:
        """The unit ids that measure a quantity of a room."""
        return [u.unit for u in self._units if u.measures(room, quantity)]

    def set_fault(self, unit: int, fault: Fault | None) -> None:
        """Switch a fault on, or off with None. Raises FaultError for an unknown unit, or a fault that this carrier cannot have."""
        if all(u.unit != unit for u in self._units):
            raise FaultError(f"no unit {unit} on bus {self.name!r}")
        self._active.pop(unit, None)
        if fault is None:
            return
        check_carrier(fault, rtu=self.rtu)
        distort = distortion(fault.kind, self._clock()) if fault.kind in VALUE_FAULTS else None
        self._active[unit] = _Active(fault, fault.count, random.Random(f"{self.name}/{unit}"), distort)

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()

    def handle(self, framing: Framing, request: Request) -> list[Emission]:
        """The bytes that answer a request, with their delays in ms."""
        asked = [u for u in self._units if u.answers(request.unit)]
        if not asked:
            return [] if framing.rtu else [(0, framing.frame(request.unit, exception(request.pdu[0], 11), request.transaction))]
        unit, now = asked[0], self._clock()
        active = self._active.get(unit.unit)
        struck = active if active is not None and active.strikes() else None
        try:
            words = struck.fault.kind if struck and struck.fault.kind in WORD_FAULTS else ""
            answer = unit.answer(request.pdu, now, struck.distort if struck else None, words)
        except Refusal as refusal:
            answer = Answer(unit.unit, exception(request.pdu[0], refusal.code))
        fault = struck.fault if struck else None
        if answer.values and (fault is None or fault.kind not in WIRE_FAULTS):
            self._note(request, unit, now, fault, answer.values)
        if len(asked) > 1 and framing.rtu:
            fault = Fault("two_slaves")
        return [(delay + unit.turnaround_ms, piece) for delay, piece in emissions(framing, request, answer.unit, answer.pdu, fault)]

    def _note(self, request: Request, unit: Unit, now: int, fault: Fault | None, values: Mapping[str, float]) -> None:
        if self._ledger is None:
            return
        address, count = int.from_bytes(request.pdu[1:3], "big"), int.from_bytes(request.pdu[3:5], "big")
        line = {"t": now, "bus": self.name, "unit": unit.unit, "fc": request.pdu[0], "address": address, "count": count}
        self._ledger.write(json.dumps(line | {"fault": fault.kind if fault else None, "values": dict(values)}) + "\n")
        self._ledger.flush()
