"""What a simulated room is, and what can happen in it."""

from dataclasses import dataclass, replace
from typing import Any, Self

from simulators.noise import gauss

INCIDENTS = ("smoulder", "flame", "dust", "door_open", "leak", "power_cut")


class UnknownRoomError(KeyError):
    """The plant has no room of this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"unknown room {self.code!r}"


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """A room and its machines. The defaults are a well kept store of 20 m² x 3 m with six tonnes of paper.

    `ach`: air changes per hour with the door closed. `cooling` and `heating`: setpoints in °C, `dehumidifier` and `humidifier` in %RH; None is no
    machine. `cooling_hours`: "always" or "office" (working days 08-18). `visits_per_day`: working-day mean. `ups_minutes`: how long measuring goes
    on without mains. `initial_…`: state of the air two days before the start; by default what machines and season would have made of it.
    """

    code: str
    city: str = "fuzhou"
    volume_m3: float = 60.0
    ach: float = 0.5
    paper_mass_kg: float = 6000.0
    dehumidifier: float | None = 53.0
    dehumidifier_kg_h: float = 1.0
    humidifier: float | None = 47.0
    cooling: float | None = 22.0
    cooling_hours: str = "always"
    heating: float | None = 16.0
    visits_per_day: float = 2.0
    ups_minutes: float = 120.0
    initial_temperature: float | None = None
    initial_humidity: float | None = None

    @classmethod
    def bare(cls, code: str, city: str = "fuzhou") -> Self:
        """A room without any machine."""
        return replace(cls(code, city), dehumidifier=None, humidifier=None, cooling=None, heating=None)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens in a room from `start` until `until` (UTC ms; None = until it is cleared). `over_ms`: how fast smoke develops."""

    kind: str
    start: int
    until: int | None
    over_ms: int

    def active(self, t_ms: int) -> bool:
        """Whether it goes on at this instant."""
        return self.start <= t_ms and (self.until is None or t_ms < self.until)


@dataclass(frozen=True, slots=True)
class Override:
    """A value that somebody forces: from `origin` at `start` in a straight line to `target` within `over_ms`, then held."""

    start: int
    origin: float
    target: float
    over_ms: int = 0

    def at(self, t_ms: int) -> float:
        """The forced value."""
        if self.over_ms <= 0 or t_ms >= self.start + self.over_ms:
            return self.target
        return self.origin + (self.target - self.origin) * max(t_ms - self.start, 0) / self.over_ms


def individual(spec: RoomSpec, seed: int) -> RoomSpec:
    """The room with thermostats that are a little off and walls that are a little tighter or leakier, as no two rooms are alike."""

    def off(name: str, sigma: float) -> float:
        return sigma * min(max(gauss(seed, f"{spec.code}/{name}", 0), -2.0), 2.0)

    setpoints = {"cooling": 0.3, "heating": 0.3, "dehumidifier": 0.7, "humidifier": 0.7}
    moved: dict[str, Any] = {name: value + off(name, sigma) for name, sigma in setpoints.items() if (value := getattr(spec, name)) is not None}
    return replace(spec, ach=spec.ach * (1.0 + off("ach", 0.15)), **moved)
