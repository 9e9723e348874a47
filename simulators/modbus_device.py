"""Modbus devices whose registers are computed per request from the plant, through the same profiles that the edge decodes with.

A `Unit` is one device: it answers PDUs. A `Bus` is a line with several of them: it finds who answers, applies the faults that are on, and tells a
carrier (`simulators.modbus_carriers`) which bytes to send and when. Every answered read may be written to a ledger file, one JSON object per line:
{"t": UTC ms, "bus", "unit", "fc", "address", "count", "fault": kind or null, "values": {point id: value before encoding}}.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.decoding import encode_block
from contract.profile import Profile
from contract.profile_models import Block, Point
from simulators.faults import VALUE_FAULTS, WIRE_FAULTS, WORD_FAULTS, Fault, FaultError, Probe, distortion
from simulators.modbus_wire import Emission, Framing, Request, check_carrier, emissions, exception
from simulators.plant import Plant

Distort = Callable[[str, str, float, int], float]


class Refusal(Exception):  # noqa: N818 - a Modbus exception reply, not a failure of the program
    """The device answers with this exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Wire:
    """What a point of a device is connected to. `invert`: a contact that opens when the state is 1."""

    quantity: str
    room: str
    invert: bool = False


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


@dataclass(slots=True)
class Answer:
    """A reply PDU, the unit id it comes from, and the values that went into it."""

    unit: int
    pdu: bytes
    values: dict[str, float] = field(default_factory=dict)


class Unit:
    """One device. `wires` say what its points are connected to (default: the point's quantity in `room`).

    Raises UnknownRoomError, UnknownQuantityError, ValueError for a profile that is not Modbus or a wire to a point that it has not.
    """

    def __init__(
        self,
        unit: int,
        profile: Profile,
        plant: Plant,
        room: str,
        wires: Mapping[str, Wire] | None = None,
        *,
        seed: int = 0,
        name: str = "",
        noise: bool = True,
        turnaround_ms: int = 0,
    ) -> None:
        if profile.connection.kind != "modbus":
            raise ValueError(f"{profile.id} is not a Modbus device")
        unknown = set(wires or ()) - {p.id for p in profile.points}
        if unknown:
            raise ValueError(f"{profile.id} has no point {sorted(unknown)[0]!r}")
        self.unit = unit
        self.profile = profile
        self.turnaround_ms = turnaround_ms
        self.coils: dict[int, int] = {}
        self._words: dict[int, int] = {}
        self._plant = plant
        self._wires = {p.id: (wires or {}).get(p.id, Wire(p.quantity, room)) for p in profile.points}
        self._probes = {p: Probe(w.quantity, seed, f"{name}/{p}", perfect=not noise) for p, w in self._wires.items()}
        for wire in self._wires.values():
            plant.value(wire.room, wire.quantity)

    def answers(self, address: int) -> bool:
        """Whether a request to this address is for the device: its own id, or the universal one of its kind."""
        return address in (self.unit, self.profile.connection.unit.any)

    def measures(self, room: str, quantity: str) -> bool:
        """Whether some point is wired to this quantity of this room."""
        return any(w.room == room and w.quantity == quantity for w in self._wires.values())

    def answer(self, pdu: bytes, now: int, distort: Distort | None = None, word: int | None = None) -> Answer:
        """The reply to a request PDU at `now`. `distort` bends values, `word` replaces every register. Raises Refusal."""
        function = pdu[0]
        if function in (1, 2, 3, 4) and len(pdu) == 5:
            return self._read(function, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"), now, distort, word)
        if function in (5, 6) and len(pdu) == 5:
            return self._write_one(function, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"), pdu)
        if function in (15, 16) and len(pdu) >= 6:
            return self._write_many(function, pdu)
        raise Refusal(1)

    # -- reading ---------------------------------------------------------------------------------------------

    def _read(self, function: int, address: int, count: int, now: int, distort: Distort | None, word: int | None) -> Answer:
        limits = self.profile.connection.limits
        if not 1 <= count <= (limits.max_bits if function < 3 else limits.max_registers):
            raise Refusal(3)
        cells, values = self._cells(function, address, address + count, now, distort, word)
        words = self._window(cells, address, count, limits.max_hole)
        if function < 3:
            data = sum(bit << i for i, bit in enumerate(words)).to_bytes((count + 7) // 8, "little")
        else:
            data = b"".join(w.to_bytes(2, "big") for w in words)
        return Answer(self.unit, bytes([function, len(data)]) + data, values)

    def _cells(
        self, function: int, first: int, end: int, now: int, distort: Distort | None, word: int | None
    ) -> tuple[dict[int, int], dict[str, float]]:
        """Address to register (or bit) for everything the device has near the window, and the values behind it."""
        cells: dict[int, int] = self._settings() if function == 3 else {}
        values: dict[str, float] = {}
        for block in self.profile.blocks:
            if function not in (block.fc, *block.fc_also) or block.address >= end or block.address + block.count <= first:
                continue
            measured = {p.id: self._value(p, now, distort) for p in self.profile.points if p.block == block.id}
            words = encode_block(self.profile, block.id, measured) if word is None or function < 3 else [word] * block.count
            cells |= {block.address + i: int(w) for i, w in enumerate(words)}
            values |= measured
        return cells | (self.coils if function == 1 else self._words if function == 3 else {}), values

    def _settings(self) -> dict[int, int]:
        """Registers that say who the device is: its address, and what its profile recognises it by."""
        cells = {c.address: self.unit for c in self.profile.commissioning if c.id == "address"}
        for guard in self.profile.identify:
            cells |= {guard.read.address + i: value for i, value in enumerate(guard.equals or ()) if guard.read.fc == 3}
        return cells

    def _window(self, cells: Mapping[int, int], address: int, count: int, max_hole: int) -> list[int]:
        """`count` cells; holes up to what the device tolerates read as 0, anything else it refuses as an illegal address."""
        hole = 0
        for at in range(address, address + count):
            hole = 0 if at in cells else hole + 1
            if hole > max_hole or (hole and at in (address, address + count - 1)):
                raise Refusal(2)
        return [cells.get(at, 0) for at in range(address, address + count)]

    def _value(self, point: Point, now: int, distort: Distort | None) -> float:
        wire = self._wires[point.id]
        true = self._plant.value(wire.room, wire.quantity)
        value = self._probes[point.id].read(true, now, exact=self._plant.forced(wire.room, wire.quantity))
        if distort is not None:
            value = distort(point.id, wire.quantity, value, now)
        return 1.0 - value if wire.invert else value

    # -- writing ---------------------------------------------------------------------------------------------

    def _write_one(self, function: int, address: int, value: int, pdu: bytes) -> Answer:
        if function == 5:
            if value not in (0, 0xFF00):
                raise Refusal(3)
            self._store(1, self.coils, {address: int(value != 0)})
            return Answer(self.unit, pdu)
        setting = next((c for c in self.profile.commissioning if c.address == address), None)
        if setting is not None and setting.id == "address":
            return self._readdress(value, setting.range, setting.reply_from == "new", pdu)
        if setting is None:
            self._store(3, self._words, {address: value})
        return Answer(self.unit, pdu)

    def _readdress(self, value: int, allowed: tuple[int, int] | None, reply_from_new: bool, pdu: bytes) -> Answer:
        low, high = allowed or (1, 247)
        if not low <= value <= high:
            raise Refusal(3)
        before, self.unit = self.unit, value
        return Answer(value if reply_from_new else before, pdu)

    def _write_many(self, function: int, pdu: bytes) -> Answer:
        address, count, data = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"), pdu[6:]
        if len(data) != pdu[5] or len(data) != ((count + 7) // 8 if function == 15 else 2 * count):
            raise Refusal(3)
        if function == 15:
            self._store(1, self.coils, {address + i: data[i // 8] >> (i % 8) & 1 for i in range(count)})
        else:
            self._store(3, self._words, {address + i: int.from_bytes(data[2 * i : 2 * i + 2], "big") for i in range(count)})
        return Answer(self.unit, pdu[:5])

    def _store(self, function: int, into: dict[int, int], cells: Mapping[int, int]) -> None:
        """Keep what was written where the profile has outputs or writes."""
        known = {a for b in self.profile.blocks if b.fc == function for a in _addresses(b)}
        known |= {w.address for w in self.profile.writes if (w.fc == 5) == (function == 1)}
        if not set(cells) <= known:
            raise Refusal(2)
        into.update(cells)


def _addresses(block: Block) -> range:
    return range(block.address, block.address + block.count)


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
            word = WORD_FAULTS.get(struck.fault.kind) if struck else None
            answer = unit.answer(request.pdu, now, struck.distort if struck else None, word)
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
