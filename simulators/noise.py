"""Seeded noise as a pure function of an index: no generator state, so any instant can be asked for in any order and gives the same answer.

A stream is named by text; `seed` and the name are mixed into one 64-bit key, and splitmix64 turns (key, index) into random bits.
"""

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=65536)
def key(seed: int, stream: str) -> int:
    """The 64-bit key of a named stream."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "big")


def _bits(stream_key: int, index: Ints) -> npt.NDArray[np.uint64]:
    """splitmix64 (Steele, Lea, Flood 2014): 64 well mixed bits per index."""
    state = index.astype(np.uint64) * _GOLDEN + np.uint64(stream_key)
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def uniform(seed: int, stream: str, index: Ints) -> Floats:
    """Uniform numbers in (0, 1), one per index."""
    return ((_bits(key(seed, stream), index) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: int, stream: str, index: Ints) -> Floats:
    """Standard normal numbers, one per index (Box-Muller over two streams)."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, stream, index)))
    angle: Floats = radius * np.cos(2.0 * np.pi * uniform(seed, f"{stream}/angle", index))
    return angle


def gauss(seed: int, stream: str, index: int) -> float:
    """One standard normal number."""
    return float(normal(seed, stream, np.array([index], dtype=np.int64))[0])


def smooth(seed: int, stream: str, position: Floats) -> Floats:
    """A smooth random curve of zero mean and unit variance: normal knots at the integers, Catmull-Rom between them, variance made even."""
    knot = np.floor(position).astype(np.int64)
    x = position - knot
    weights = (
        ((-0.5 * x + 1.0) * x - 0.5) * x,
        (1.5 * x - 2.5) * x * x + 1.0,
        ((-1.5 * x + 2.0) * x + 0.5) * x,
        (0.5 * x - 0.5) * x * x,
    )
    total = np.zeros_like(x)
    power = np.zeros_like(x)
    for offset, weight in enumerate(weights, start=-1):
        total += weight * normal(seed, stream, knot + offset)
        power += weight * weight
    result: Floats = total / np.sqrt(power)
    return result
