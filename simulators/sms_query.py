"""The list request of the Messages API: filters and pages. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlencode

from simulators.sms_wire import ApiError, Message, instant, resource

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A parsed query: `filters` are those of the store, `size` messages a page, `page` its number (it only labels the answer)."""

    given: Mapping[str, str]
    size: int
    page: int
    filters: Mapping[str, str | int | None]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query string; unknown parameters are ignored as Twilio does. Raises ApiError 20001."""
        # `DateSent>=2026-01-01` reaches us as the name `DateSent>`
        given = dict(parse_qsl(text))
        filters: dict[str, str | int | None] = {"to": given.get("To"), "sender": given.get("From"), **_sent_range(given)}
        if token := given.get("PageToken"):
            filters["below"] = _token_id(token)
        return cls(given, _whole(given, "PageSize", 50, 1, 1000), _whole(given, "Page", 0, 0, 1_000_000), filters)

    def page_of(self, path: str, account: str, found: Sequence[Message]) -> dict[str, object]:
        """The body of one page; `found` holds one message more than the page when there is a next one."""
        shown = found[: self.size]
        token = f"PA{shown[-1].id:032d}" if len(found) > self.size else None
        return {
            "end": self.page * self.size + max(len(shown) - 1, 0),
            "first_page_uri": self._uri(path, 0),
            "messages": [resource(m, account) for m in shown],
            "next_page_uri": self._uri(path, self.page + 1, PageToken=token) if token else None,
            "page": self.page,
            "page_size": self.size,
            "previous_page_uri": None if self.page == 0 else self._uri(path, self.page - 1),
            "start": self.page * self.size,
            "uri": f"{path}?{urlencode(self.given)}" if self.given else path,
        }

    def _uri(self, path: str, number: int, **more: str) -> str:
        kept = {name: value for name, value in self.given.items() if name not in ("Page", "PageToken", "PageSize")}
        return f"{path}?{urlencode({**kept, 'PageSize': str(self.size), 'Page': str(number), **more})}"


def _whole(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, 20001, f"{name} must be an integer")
    return min(max(int(text), low), high)


def _token_id(token: str) -> int:
    if not token.startswith("PA") or not token[2:].isascii() or not token[2:].isdigit():
        raise ApiError(400, 20001, "PageToken is not valid")
    return int(token[2:])


def _sent_range(given: Mapping[str, str]) -> dict[str, int | None]:
    """DateSent filters as half-open range of ms. `DateSent` alone is that GMT day; < and > include the second they name."""
    if (day := given.get("DateSent")) is not None:
        start = instant(day) // _DAY_MS * _DAY_MS
        return {"sent_from": start, "sent_before": start + _DAY_MS}
    since, until = given.get("DateSent>"), given.get("DateSent<")
    return {"sent_from": None if since is None else instant(since), "sent_before": None if until is None else instant(until) + 1000}
