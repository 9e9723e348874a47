"""The two clocks of the agent, for the outermost loops only; everything inside takes time as an argument."""

import time
from pathlib import Path


def wall_ms() -> int:
    """UTC milliseconds; may jump."""
    return time.time_ns() // 1_000_000


def mono_ms() -> float:
    """Monotonic milliseconds."""
    return time.monotonic_ns() / 1_000_000


def both() -> tuple[int, float]:
    """(wall, monotonic)."""
    return wall_ms(), mono_ms()


def powered_since(now: int) -> int:
    """When this machine was switched on (UTC ms), and its sensors most likely with it; `now` where the kernel does not tell."""
    try:
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return now
    return now - int(uptime_s * 1000)
