"""Modbus devices whose registers are computed per request from the plant, through the same profiles that the edge decodes with.

A `Unit` is one device: it answers PDUs. The line with several of them is in simulators.modbus_bus, what carries it in simulators.modbus_carriers.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contract.decoding import encode_block
from contract.profile import Profile
from contract.profile_models import Point
from contract.profile_transport import Block
from simulators.faults import WORD_FAULTS, Probe
from simulators.plant import Plant

log = logging.getLogger("simulators.modbus")

Distort = Callable[[str, str, float, int], float]


class Refusal(Exception):  # noqa: N818 - a Modbus exception reply, not a failure of the program
    """The device answers with this exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


@dataclass(slots=True)
class Answer:
    """A reply PDU, the unit id it comes from, and the values that went into it."""

    unit: int
    pdu: bytes
    values: dict[str, float] = field(default_factory=dict)


class Unit:
    """One device in `room`; `profile` is the installed one (contract.installation), `rooms` names other rooms for single points.

    With `recomputable` values do not come from the plant but are recomputable(`<name>/<quantity>[/<channel>]`, UTC second of the reading), so that
    a checker finds a value that was read under the wrong point or at the wrong time (simulators.ledger.value; name = gateway/device).

    Raises UnknownRoomError, UnknownQuantityError, ValueError for a profile that is not Modbus or a point that it has not.
    """

    def __init__(
        self,
        unit: int,
        profile: Profile,
        plant: Plant,
        room: str,
        rooms: Mapping[str, str] | None = None,
        *,
        seed: int = 0,
        name: str = "",
        noise: bool = True,
        turnaround_ms: int = 0,
        recomputable: Callable[[str, int], float] | None = None,
    ) -> None:
        if profile.connection.kind != "modbus":
            raise ValueError(f"{profile.id} is not a Modbus device")
        unknown = set(rooms or ()) - {p.id for p in profile.points}
        if unknown:
            raise ValueError(f"{profile.id} has no point {sorted(unknown)[0]!r}")
        self.unit = unit
        self.profile = profile
        self.turnaround_ms = turnaround_ms
        self.coils: dict[int, int] = {}
        self._words: dict[int, int] = {}
        self._plant = plant
        self._name, self._recomputable = name, recomputable
        self._rooms = {p.id: (rooms or {}).get(p.id, room) for p in profile.points}
        self._probes = {p.id: Probe(p.quantity, seed, f"{name}/{p.id}", perfect=not noise) for p in profile.points}
        for point in profile.points:
            plant.value(self._rooms[point.id], point.quantity)  # an unknown room fails here

    def answers(self, address: int) -> bool:
        """Whether a request to this address is for the device: its own id, or the universal one of its kind."""
        return address in (self.unit, self.profile.connection.unit.any)

    def measures(self, room: str, quantity: str) -> bool:
        """Whether some point shows this quantity of this room."""
        return any(p.quantity == quantity and self._rooms[p.id] == room for p in self.profile.points)

    def answer(self, pdu: bytes, now: int, distort: Distort | None = None, words: str = "") -> Answer:
        """The reply to a request PDU at `now`. `distort` bends values, `words` is one of WORD_FAULTS. Raises Refusal."""
        function = pdu[0]
        if function in (1, 2, 3, 4) and len(pdu) == 5:
            return self._read(function, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"), now, distort, words)
        if function in (5, 6) and len(pdu) == 5:
            return self._write_one(function, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"), pdu)
        if function in (15, 16) and len(pdu) >= 6:
            return self._write_many(function, pdu)
        raise Refusal(1)

    # -- reading ---------------------------------------------------------------------------------------------

    def _read(self, function: int, address: int, count: int, now: int, distort: Distort | None, words: str) -> Answer:
        limits = self.profile.connection.limits
        if not 1 <= count <= (limits.max_bits if function < 3 else limits.max_registers):
            raise Refusal(3)
        cells, values = self._cells(function, address, address + count, now, distort, words)
        window = self._window(cells, address, count, limits.max_hole)
        if function < 3:
            data = sum(bit << i for i, bit in enumerate(window)).to_bytes((count + 7) // 8, "little")
        else:
            data = b"".join(w.to_bytes(2, "big") for w in window)
        return Answer(self.unit, bytes([function, len(data)]) + data, values)

    def _cells(self, function: int, first: int, end: int, now: int, distort: Distort | None, words: str) -> tuple[dict[int, int], dict[str, float]]:
        """Address to register (or bit) for everything the device has near the window, and the values behind it."""
        cells: dict[int, int] = self._settings() if function == 3 else dict.fromkeys(self._outputs(), 0) if function == 1 else {}
        values: dict[str, float] = {}
        for block in self.profile.blocks:
            if function not in (block.fc, *block.fc_also) or block.address >= end or block.address + block.count <= first:
                continue
            measured = {p.id: self._value(p, now, distort) for p in self.profile.points if p.block == block.id}
            cells |= {block.address + i: int(w) for i, w in enumerate(self._encode(block, measured, words))}
            values |= measured
        return cells | (self.coils if function == 1 else self._words if function == 3 else {}), values

    def _encode(self, block: Block, values: Mapping[str, float], words: str) -> list[int]:
        """The content of a block. A value that it cannot show is a device failure, as in a device that overflows."""
        try:
            if words == "special":
                return encode_block(self.profile, block.id, dict.fromkeys(values))
            if not words or block.fc < 3:
                return encode_block(self.profile, block.id, values)
        except ValueError as error:
            if words != "special":
                log.warning("unit %d: %s", self.unit, error)
                raise Refusal(4) from error
        return [WORD_FAULTS[words]] * block.count

    def _outputs(self) -> set[int]:
        """Coils that can be written: those of the profile; a contact module has eight, even where its profile only describes the inputs."""
        known = {a for b in self.profile.blocks if b.fc == 1 for a in range(b.address, b.address + b.count)}
        known |= {w.address for w in self.profile.writes if w.fc == 5}
        return known | set(range(8)) if self.profile.category == "io" else known

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
        if self._recomputable is not None:
            return self._recomputable("/".join(part for part in (self._name, point.quantity, point.channel) if part), now // 1000)
        room = self._rooms[point.id]
        true = self._plant.value(room, point.quantity)
        value = self._probes[point.id].read(true, now, exact=self._plant.forced(room, point.quantity))
        return value if distort is None else distort(point.id, point.quantity, value, now)

    # -- writing ---------------------------------------------------------------------------------------------

    def _write_one(self, function: int, address: int, value: int, pdu: bytes) -> Answer:
        if function == 5:
            if value not in (0, 0xFF00):
                raise Refusal(3)
            self._store(self.coils, self._outputs(), {address: int(value != 0)})
            return Answer(self.unit, pdu)
        setting = next((c for c in self.profile.commissioning if c.address == address), None)
        if setting is not None and setting.id == "address":
            return self._readdress(value, setting.range, setting.reply_from == "new", pdu)
        if setting is None:
            self._store(self._words, self._writable(), {address: value})
        return Answer(self.unit, pdu)

    def _writable(self) -> set[int]:
        return {w.address for w in self.profile.writes if w.fc != 5}

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
            self._store(self.coils, self._outputs(), {address + i: data[i // 8] >> (i % 8) & 1 for i in range(count)})
        else:
            self._store(self._words, self._writable(), {address + i: int.from_bytes(data[2 * i : 2 * i + 2], "big") for i in range(count)})
        return Answer(self.unit, pdu[:5])

    def _store(self, into: dict[int, int], known: set[int], cells: Mapping[int, int]) -> None:
        """Keep what was written, where the device has something to write."""
        if not set(cells) <= known:
            raise Refusal(2)
        into.update(cells)
