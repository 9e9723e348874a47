"""How busy a serial line will be, before anything is connected: devices.md 1, the bus budget of the commissioning screen."""

from collections.abc import Sequence
from typing import Final

from contract.frames import BIT_READS
from edge.plan import Device, Read
from edge.settings import RtuOverTcpBus, SerialBus

WARN, REFUSE = 0.6, 0.85
_BITS_PER_CHARACTER: Final = 10
_REQUEST, _FRAME = 8, 5  # bytes of a read request, and of a reply around its data
_TURNAROUND_S: Final = 0.03  # what devices take before they answer, where nobody measured it
MOST_FAST: Final = 12
"""Points read every second or two that one line carries in comfort."""


def read_s(read: Read, baud: int, gap_s: float) -> float:
    """Seconds that one read occupies the line: both frames, turnaround, a gap on each side."""
    data = (read.count + 7) // 8 if read.fc in BIT_READS else 2 * read.count
    return (_REQUEST + _FRAME + data) * _BITS_PER_CHARACTER / baud + _TURNAROUND_S + 2 * gap_s


def bus_load(bus: RtuOverTcpBus | SerialBus, devices: Sequence[Device]) -> float:
    """Share of the time that the line is busy, 0 when idle; beyond 1 it cannot keep up."""
    total = 0.0
    for device in devices:
        gap_s = (device.profile.connection.timing.gap_ms if bus.gap_ms is None else bus.gap_ms) / 1000
        total += sum(read_s(read, bus.baud, gap_s) / job.period_s for job in device.jobs for read in job.reads)
    return total
