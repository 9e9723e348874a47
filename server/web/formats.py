"""Numbers and times as people read them: Beijing time, units, ages (language.md rule 7). Instants are UTC ms."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from contract.quantities import QUANTITIES, Kind
from server.live.tiles import PointView
from server.web.i18n import SOURCE, Words
from server.web.labels import SPOKEN

BEIJING = ZoneInfo("Asia/Shanghai")
DASH = "—"
_PHONE = re.compile(r"(?<![A-Za-z0-9:+-])(?:\+?\d{2,4}-)?(?:119|\+?\d{7,13})(?![A-Za-z0-9-])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIMALS = {"temperature": 1, "dew_point": 1, "pressure": 0, "co2": 0, "illuminance": 0}


def local(ms: int) -> datetime:
    """An instant in Beijing time."""
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(BEIJING)


def day_start(ms: int) -> int:
    """Midnight (Beijing) of the day of an instant."""
    midnight = local(ms).replace(hour=0, minute=0, second=0, microsecond=0)
    return round(midnight.timestamp()) * 1000


class Formats:
    """Formatting in one language."""

    def __init__(self, words: Words) -> None:
        self.words = words

    @staticmethod
    def callable(text: str) -> Markup:
        """A text with the telephone numbers in it as links that call them."""
        return Markup(_PHONE.sub(lambda found: f'<a href="tel:{found[0].replace("-", "")}">{found[0]}</a>', str(escape(text))))  # noqa: S704  # nosec B704 - escaped

    def clock(self, ms: int | None) -> str:
        """hh:mm:ss."""
        return DASH if ms is None else f"{local(ms):%H:%M:%S}"

    def when(self, ms: int | None, now: int) -> str:
        """hh:mm today, with the date on another day, with the year in another year."""
        if ms is None:
            return DASH
        at, today = local(ms), local(now)
        if at.date() == today.date():
            return f"{at:%H:%M}"
        if self.words.language != SOURCE:
            return f"{at:%d %b %H:%M}" if at.year == today.year else f"{at:%d %b %Y %H:%M}"
        date = f"{at.month}月{at.day}日" if at.year == today.year else f"{at.year}年{at.month}月{at.day}日"
        return f"{date} {at:%H:%M}"

    @staticmethod
    def ms(text: str) -> int:
        """The instant of an ISO 8601 text, UTC ms."""
        return round(datetime.fromisoformat(text).timestamp() * 1000)

    def day(self, ms: int) -> str:
        """The date without the year."""
        at = local(ms)
        return f"{at.month}月{at.day}日" if self.words.language == SOURCE else f"{at:%d %b}"

    def date(self, ms: int) -> str:
        """The date with the year, e.g. 2026-11-05."""
        return f"{local(ms):%Y-%m-%d}"

    def age(self, ms: int | None) -> str:
        """How long ago, e.g. 3 分钟前; `ms` is a duration."""
        if ms is None:
            return DASH
        seconds = max(ms, 0) // 1000
        for limit, size, key in ((60, 1, "ago_s"), (3600, 60, "ago_m"), (86400, 3600, "ago_h")):
            if seconds < limit:
                return self._spoken(key, n=seconds // size)
        return self._spoken("ago_d", n=seconds // 86400)

    def duration(self, ms: int) -> str:
        """How long, e.g. 2 小时 14 分."""
        seconds = max(ms, 0) // 1000
        if seconds < 60:
            return self._spoken("for_s", n=seconds)
        if seconds < 3600:
            return self._spoken("for_m", n=seconds // 60)
        if seconds < 86400 and seconds % 3600 < 60:
            return self._spoken("for_h", n=seconds // 3600)
        if seconds < 86400:
            return self._spoken("for_hm", h=seconds // 3600, m=seconds % 3600 // 60)
        return self._spoken("for_dh", d=seconds // 86400, h=seconds % 86400 // 3600)

    def number(self, quantity: str, value: float | None) -> str:
        """A value without its unit; a state quantity by its word."""
        if value is None:
            return DASH
        known = QUANTITIES.get(quantity)
        if known is not None and known.kind is Kind.STATE:
            return self.words.state_of(quantity, value)
        return f"{value:.{_DECIMALS.get(quantity, 1)}f}"

    def unit(self, quantity: str) -> str:
        """The unit as shown on screens."""
        known = QUANTITIES.get(quantity)
        return "" if known is None else known.unit.replace("°C", "℃")

    def value(self, quantity: str, value: float | None) -> str:
        """A value with its unit."""
        number = self.number(quantity, value)
        unit = self.unit(quantity)
        return number if value is None or not unit else f"{number} {unit}"

    def band(self, quantity: str, limits: tuple[float | None, float | None]) -> str:
        """A range, e.g. 14–24 ℃; open sides as ≤ or ≥."""
        low, high = limits
        if low is None or high is None:
            unit = self.unit(quantity)
            return DASH if low is high else f"≤ {high:g} {unit}" if low is None else f"≥ {low:g} {unit}"
        return f"{low:g}–{high:g} {self.unit(quantity)}"

    def side(self, view: PointView | None, limits: tuple[float | None, float | None]) -> str:
        """above | below | "": where a good value stands against its range. A value that is not good is not judged."""
        if view is None or view.value is None or view.quality != "good":
            return ""
        low, high = limits
        return "above" if high is not None and view.value > high else "below" if low is not None and view.value < low else ""

    def abnormal(self, view: PointView) -> bool:
        """Whether a state is other than at rest: smoke, water, an open door, no mains."""
        resting = 1 if view.quantity == "power" else 0
        known = QUANTITIES.get(view.quantity)
        return view.value is not None and known is not None and known.kind is Kind.STATE and view.value != resting

    def shown(self, view: PointView | None) -> str:
        """A point's value without unit, — where there is none to be shown."""
        return DASH if view is None else self.number(view.quantity, view.value)

    def percent(self, share: float | None) -> str:
        """A share in percent; rounded down, so that 99.96 is never shown as complete."""
        return DASH if share is None else f"{int(share * 10) / 10:.1f} %"

    @staticmethod
    def figure(value: float) -> str:
        """A figure of a report with three digits: 0.00417, 0.833, 25, 149. What rounds to nothing at four decimals is told as less than that."""
        return "< 0.001" if 0 < abs(value) < 0.001 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"

    @staticmethod
    def within(room: str, unit: str) -> str:
        """The name of a room where its unit's stands before it already."""
        return room.removeprefix(unit).strip() or room

    def masked(self, phone: str) -> str:
        """138****1234."""
        return f"{phone[:3]}****{phone[-4:]}" if len(phone) > 7 else "****"

    def grouped(self, number: str) -> str:
        """编号 in two groups."""
        return f"{number[:3]} {number[3:]}".strip()

    def _spoken(self, key: str, **values: int) -> str:
        return self.words.text(SPOKEN[key], **values)
