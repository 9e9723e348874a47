"""The siren at the gateway: a relay of a device, switched on by the local watch, by the centre, or for a moment by a drill.

By the local watch it sounds until every alarm that was told on the spot has cleared, at most `siren_s` after the last one; also when the centre
comes back meanwhile, because somebody in the building may just be looking for the reason. The centre says for how long, within the same limit, and
says stop when somebody has taken over. Each ends what it began: the centre's stop was given for what the centre knew, and the local watch may have
heard a second danger that is still on its way up.
"""

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from contract.siren import SoundOrder
from contract.writing import Order
from edge.guard import LocalAlarm
from edge.settings import SirenSettings

_EXPIRES_MS: Final = 60_000
_AGAIN_MS: Final = 30_000  # an order that came to nothing is repeated
_REMEMBERED: Final = 100
_NEVER: Final = float("-inf")


class Siren:
    """`order` takes a write. `now` is UTC ms, `mono` monotonic ms."""

    def __init__(self, settings: SirenSettings, order: Callable[[Order], None]) -> None:
        self._settings, self._order = settings, order
        self._raised: set[tuple[str, str]] = set()
        self._until = self._centre_until = self._told_at = _NEVER
        self._sounding = False
        self._test: tuple[int, float] = (0, _NEVER)
        self._arrived: deque[SoundOrder] = deque()
        self._heard: deque[str] = deque(maxlen=_REMEMBERED)

    def test(self, drill: int, seconds: int, mono: float) -> None:
        """Sound for some seconds because of a drill; the outcome of the write is told upwards under the drill's number."""
        self._test = drill, mono + seconds * 1000

    def ask(self, order: SoundOrder) -> None:
        """The centre wants it to sound, or to stop."""
        self._arrived.append(order)

    def run_once(self, told: Sequence[LocalAlarm], now: int, mono: float) -> None:
        """Switch when something changed, and once more while it should sound."""
        for alarm in told:
            if alarm.state == "raised":
                self._raised.add((alarm.point, alarm.rule))
                self._until = mono + self._settings.siren_s * 1000
            else:
                self._raised.discard((alarm.point, alarm.rule))
        while self._arrived:
            self._obey(self._arrived.popleft(), now, mono)
        drill, test_until = self._test
        wanted = self._in_earnest(mono) or mono < test_until
        if wanted != self._sounding or (wanted and mono - self._told_at >= _AGAIN_MS):
            tested = drill and not self._in_earnest(mono)
            self._switch(wanted, f"{f'drill-{drill}' if tested else 'local'}-{secrets.token_hex(6)}", now + _EXPIRES_MS, mono,
                         "演练试响" if tested else "告警" if wanted else "停响")  # fmt: skip
        if not wanted:
            self._raised.clear()

    def _in_earnest(self, mono: float) -> bool:
        return (bool(self._raised) and mono < self._until) or mono < self._centre_until

    def _obey(self, order: SoundOrder, now: int, mono: float) -> None:
        """Each order is a write of its own, whose outcome goes back under the order's number; one that comes again is told its outcome again."""
        if order.write not in self._heard and order.expires_at > now:
            self._centre_until = mono + min(order.seconds, self._settings.siren_s) * 1000 if order.seconds else _NEVER
            if not order.seconds:
                self._test = 0, _NEVER
        self._heard.append(order.write)
        self._switch(self._in_earnest(mono), order.write, order.expires_at, mono, "中心要求")

    def _switch(self, on: bool, ident: str, expires_at: int, mono: float, reason: str) -> None:
        self._sounding, self._told_at = on, mono
        by, second = "local guard", "rules of the centre"
        self._order(Order(ident, self._settings.device, self._settings.write, on, by, "guard", expires_at, second, reason))
