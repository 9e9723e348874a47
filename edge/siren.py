"""The siren that the local watch drives: a relay of a device, switched on by an alarm that was told on the spot.

It sounds until every such alarm has cleared, at most `siren_s` after the last one; also when the centre comes back meanwhile, because somebody in the
building may just be looking for the reason.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from contract.writing import Order
from edge.guard import LocalAlarm
from edge.settings import SirenSettings

_EXPIRES_MS: Final = 60_000
_AGAIN_MS: Final = 30_000  # an order that came to nothing is repeated


class Siren:
    """`order` takes a write. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(self, settings: SirenSettings, order: Callable[[Order], None]) -> None:
        self._settings, self._order = settings, order
        self._raised: set[tuple[str, str]] = set()
        self._until = float("-inf")
        self._sounding = False
        self._told_at = float("-inf")
        self._test: tuple[int, float] = (0, float("-inf"))

    def test(self, drill: int, seconds: int, mono: float) -> None:
        """Sound for some seconds because of a drill; the outcome of the write is told upwards under the drill's number."""
        self._test = drill, mono + seconds * 1000

    def run_once(self, told: Sequence[LocalAlarm], now: int, mono: float) -> None:
        """Switch when something changed, and once more while it should sound."""
        for alarm in told:
            if alarm.state == "raised":
                self._raised.add((alarm.point, alarm.rule))
                self._until = mono + self._settings.siren_s * 1000
            else:
                self._raised.discard((alarm.point, alarm.rule))
        real = bool(self._raised) and mono < self._until
        drill, test_until = self._test
        wanted = real or mono < test_until
        if wanted != self._sounding or (wanted and mono - self._told_at >= _AGAIN_MS):
            self._sounding, self._told_at = wanted, mono
            where, write = self._settings.device, self._settings.write
            tested = drill and not real
            ident, second = f"{f'drill-{drill}' if tested else 'local'}-{secrets.token_hex(6)}", "rules of the centre"
            reason = "演练试响" if tested else "本地告警"
            self._order(Order(ident, where, write, wanted, "local guard", "guard", now + _EXPIRES_MS, second, reason))
        if not wanted:
            self._raised.clear()
