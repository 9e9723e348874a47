"""Whether the steps of a scenario could work in a world, found out before the first of them is taken."""

from contract.quantities import QUANTITIES, UnknownQuantityError
from simulators.faults import Fault
from simulators.relay import MODES
from simulators.rooms import INCIDENTS, UnknownRoomError
from simulators.scenario import ScenarioError


class Rehearsal:
    """A stage without a world behind it. Its methods raise UnknownRoomError, UnknownQuantityError, FaultError or ScenarioError."""

    def __init__(self, rooms: frozenset[str], relays: frozenset[str]) -> None:
        self._rooms, self._relays = rooms, relays

    def set_value(self, room: str, quantity: str, value: float | None) -> None:
        """Room and quantity must exist."""
        del value
        self.ramp(room, quantity, 0.0, 0)

    def ramp(self, room: str, quantity: str, to: float, over_ms: int) -> None:
        """Room and quantity must exist."""
        del to, over_ms
        self.clear(room)
        if quantity not in QUANTITIES:
            raise UnknownQuantityError(quantity)

    def clear(self, room: str) -> None:
        """The room must exist."""
        if room not in self._rooms:
            raise UnknownRoomError(room)

    def trigger(self, room: str, kind: str, over_ms: int | None, lasts_ms: int | None) -> None:
        """Room and incident must exist."""
        del over_ms, lasts_ms
        self.clear(room)
        if kind not in INCIDENTS:
            raise ScenarioError(f"unknown incident {kind!r}; known: {', '.join(INCIDENTS)}")

    def room_fault(self, room: str, quantity: str, kind: str | None) -> None:
        """Room, quantity and fault must exist."""
        self.ramp(room, quantity, 0.0, 0)
        if kind is not None:
            Fault(kind)

    def set_relay(self, name: str, mode: str) -> None:
        """Line and mode must exist."""
        if name not in self._relays or mode not in MODES:
            known = ", ".join(sorted(self._relays)) or "none"
            raise ScenarioError(f"this world has no line {name!r} with the mode {mode!r}; lines: {known}")
