"""Heat and moisture of many rooms at once: one step of the physical model, pure, on arrays with one element per room.

Moisture (air w in g/m³, paper as surface and bulk, phi = w / w_sat):
    dw/dt = n (w_out - w) + k_s (phi_s - phi) w_sat + G/V - D/V
    C_s dphi_s/dt = V k_s w_sat (phi - phi_s) - k_b (phi_s - phi_b),   C_b dphi_b/dt = k_b (phi_s - phi_b)
with k_s = 3 /h, 0.09 kg of water per kg of paper and unit of phi, 6 % of the paper exposed, bulk time constant 45 days. Paper holds about 500 times
the water of the air. Heat: an air node and the stack (1.34 kJ/kgK), about 1 W/K per m³ to the outside. All terms are implicit, so that steps up to
300 s are stable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulators.air import saturation
from simulators.noise import Floats
from simulators.rooms import RoomSpec

EXCHANGE_PER_HOUR = 3.0
SORPTION = 90.0  # g of water per kg of paper and unit of phi
SURFACE_SHARE = 0.06
BULK_HOURS = 45 * 24.0
DOOR_AIR_CHANGES = 8.0  # per hour while open: 90 s exchange about a fifth of the room
PERSON_WATER = 50.0  # g/h
PERSON_HEAT = 100.0  # W
PERSON_CO2 = 18_000.0  # ml/h
_AIR_HEAT = 9_660.0  # J/K per m³: air with the light things in it
_WALL_HEAT = 30_000.0  # J/K per m³ of room
_PAPER_HEAT = 1_340.0  # J/K per kg
_STACK_COUPLING = 12.0  # W/K per m³ between air and stack
_COIL_WATER = 10.64  # g/m³, saturation at the 12 °C of a direct-expansion coil
_ENVELOPE = 0.97  # W/K per m³
_AIR_CHANGE_HEAT = 0.335  # W/K per m³ and air change per hour


class State(NamedTuple):
    """Air and stack temperature (°C), water in the air (g/m³), phi of the exposed and the inner paper (0-1), carbon dioxide (ppm)."""

    temperature: Floats
    stack: Floats
    water: Floats
    surface: Floats
    bulk: Floats
    co2: Floats


class Forcing(NamedTuple):
    """What acts on the rooms during a step: weather outside, share of the step with the door open, people, mains (0/1), cooling allowed (0/1)."""

    temperature: Floats
    water: Floats
    door: Floats
    people: Floats
    power: Floats
    cooling: Floats


@dataclass(frozen=True)
class Building:
    """The constants of all rooms, in arrays. Setpoints of missing machines are 0 and their capacity is 0."""

    volume: Floats
    ach: Floats
    exchange: Floats
    surface_capacity: Floats
    bulk_capacity: Floats
    stack_heat: Floats
    cooling: Floats
    cooling_limit: Floats
    heating: Floats
    heating_limit: Floats
    dry: Floats
    dry_limit: Floats
    moist: Floats
    moist_limit: Floats

    @classmethod
    def of(cls, rooms: Sequence[RoomSpec]) -> "Building":
        """Collect the constants of the rooms."""
        volume, paper = np.array([r.volume_m3 for r in rooms]), np.array([r.paper_mass_kg for r in rooms])
        cooling, cooled = _setpoints([r.cooling for r in rooms])
        heating, heated = _setpoints([r.heating for r in rooms])
        dry, dried = _setpoints([r.dehumidifier for r in rooms])
        moist, moistened = _setpoints([r.humidifier for r in rooms])
        return cls(
            volume=volume,
            ach=np.array([r.ach for r in rooms]),
            exchange=EXCHANGE_PER_HOUR * paper / (100.0 * volume),  # 3 /h belongs to 100 kg of paper per m³
            surface_capacity=paper * SORPTION * SURFACE_SHARE,
            bulk_capacity=paper * SORPTION * (1.0 - SURFACE_SHARE),
            stack_heat=paper * _PAPER_HEAT + volume * _WALL_HEAT,
            cooling=cooling,
            cooling_limit=60.0 * volume * cooled,
            heating=heating,
            heating_limit=40.0 * volume * heated,
            dry=dry / 100.0,
            dry_limit=1000.0 * np.array([r.dehumidifier_kg_h for r in rooms]) / volume * dried,
            moist=moist / 100.0,
            moist_limit=400.0 / volume * moistened,
        )


def _setpoints(values: Sequence[float | None]) -> tuple[Floats, Floats]:
    """Setpoints with 0 for None, and 1 where there is a machine."""
    return np.array([0.0 if v is None else v for v in values]), np.array([0.0 if v is None else 1.0 for v in values])


def _removed(free: Floats, target: Floats, inertia: Floats, gain: Floats, limit: Floats) -> Floats:
    """What a proportional machine removes so that free - removed/inertia is its own new state: implicit, never more than `limit`."""
    return np.minimum(np.maximum(gain * inertia * (free - target) / (inertia + gain), 0.0), limit)


def step(b: Building, s: State, f: Forcing, seconds: float) -> State:
    """The state `seconds` later."""
    door = DOOR_AIR_CHANGES * f.door
    corridor = 0.5 * f.temperature + 11.5  # between outside and a 23 °C office
    temperature, duty = _air_temperature(b, s, f, door, corridor, seconds)
    stack = s.stack + (temperature - s.stack) * -np.expm1(-seconds * _STACK_COUPLING * b.volume / b.stack_heat)
    hours = seconds / 3600.0
    full = saturation(temperature)
    water = _air_water(b, s, f, door, full, duty, hours)
    surface, bulk = _paper(b, s, water / full, full, hours)
    leak = hours * (b.ach + door)
    co2 = (s.co2 + leak * 420.0 + hours * PERSON_CO2 * f.people / b.volume) / (1.0 + leak)
    return State(temperature, stack, water, surface, bulk, co2)


def _air_temperature(b: Building, s: State, f: Forcing, door: Floats, corridor: Floats, seconds: float) -> tuple[Floats, Floats]:
    """New air temperature, and how hard the cooling works (0-1)."""
    store = _AIR_HEAT * b.volume / seconds
    stack, outside = _STACK_COUPLING * b.volume, (_ENVELOPE + _AIR_CHANGE_HEAT * b.ach) * b.volume
    hall = _AIR_CHANGE_HEAT * door * b.volume
    inertia = store + stack + outside + hall
    free = (store * s.temperature + stack * s.stack + outside * f.temperature + hall * corridor + PERSON_HEAT * f.people) / inertia
    gain = 40.0 * b.volume
    limit = b.cooling_limit * f.power * f.cooling
    cold = _removed(free, b.cooling, inertia, gain, limit)
    heat = _removed(-free, -b.heating, inertia, gain, b.heating_limit * f.power)
    return free + (heat - cold) / inertia, cold / np.maximum(b.cooling_limit, 1.0)


def _air_water(b: Building, s: State, f: Forcing, door: Floats, full: Floats, duty: Floats, hours: float) -> Floats:
    """New absolute humidity; `full` is saturation. A cooling coil takes water only when it is colder than the dew point."""
    coil = 1.5 * duty * (s.water > _COIL_WATER)
    inertia = 1.0 / hours + b.ach + door + b.exchange + coil
    gains = (b.ach + door) * f.water + b.exchange * s.surface * full + coil * _COIL_WATER + PERSON_WATER * f.people / b.volume
    free = (s.water / hours + gains) / inertia
    dried = _removed(free, b.dry * full, inertia, b.dry_limit / (0.04 * full), b.dry_limit * f.power)
    moistened = _removed(-free, -b.moist * full, inertia, b.moist_limit / (0.04 * full), b.moist_limit * f.power)
    return np.minimum(free + (moistened - dried) / inertia, full)


def _paper(b: Building, s: State, phi: Floats, full: Floats, hours: float) -> tuple[Floats, Floats]:
    """New moisture of the exposed and the inner paper."""
    to_air = hours * b.volume * b.exchange * full / b.surface_capacity
    inward = b.bulk_capacity / BULK_HOURS
    to_bulk = hours * inward / b.surface_capacity
    surface = (s.surface + to_air * phi + to_bulk * s.bulk) / (1.0 + to_air + to_bulk)
    return surface, s.bulk + (surface - s.bulk) * hours / BULK_HOURS
