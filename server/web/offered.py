"""What the page of a refused form offered to choose from: read off that page, asked for anew in the name of whoever sent the form.

So a list whose options depend on the page (the rules of a room, the units next door) comes back as the list it was, and no page has to say it twice.
"""

from html.parser import HTMLParser
from urllib.parse import urlsplit

from fastapi import Request

Offered = dict[str, list[tuple[str, str]]]
"""By the name of a field: values with the words beside them."""


async def offered(request: Request, page: str) -> Offered:
    """The choices of the page's form for the address of `request`; nothing where the page has no such form or cannot be shown."""
    reader = _Choices(request.url.path)
    if page and not page.startswith("/api/"):
        reader.feed(await _shown(request, page))
    return reader.found


async def _shown(request: Request, address: str) -> str:
    """A page of ours as the asker sees it; "" for what is no page."""
    asked, given = urlsplit(address), request.scope
    headers = [(name, value) for name, value in given["headers"] if name not in (b"content-type", b"content-length", b"hx-request")]
    kept = {name: given[name] for name in ("type", "asgi", "http_version", "scheme", "server", "client", "root_path") if name in given}
    path = asked.path.encode()
    scope = {**kept, "method": "GET", "path": asked.path, "raw_path": path, "query_string": asked.query.encode(), "headers": headers, "state": {}}
    pieces: list[bytes] = []
    good = False

    async def receive() -> dict[str, object]:
        return {"type": "http.request" if not pieces else "http.disconnect", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        nonlocal good
        if message["type"] == "http.response.start":
            said = dict(message["headers"])  # type: ignore[call-overload]
            good = message["status"] == 200 and said.get(b"content-type", b"").startswith(b"text/html")
        elif good:
            pieces.append(message.get("body", b""))  # type: ignore[arg-type]

    await request.app(scope, receive, send)
    return b"".join(pieces).decode("utf-8", "replace")


class _Choices(HTMLParser):
    """Lists and radio buttons of the forms that are sent to one address."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.found: Offered = {}
        self._address, self._within, self._name = address, False, ""
        self._value: str | None = None
        self._word = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A form, a list in it, a choice."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._within = given.get("method") == "post" and urlsplit(given.get("action", "")).path == self._address
        if not self._within:
            return
        if tag == "select":
            self._name = given.get("name", "")
        elif tag == "option" or (tag == "input" and given.get("type") == "radio"):
            self._end()
            self._name = given.get("name", self._name) if tag == "input" else self._name
            self._value, self._word = given.get("value"), ""

    def handle_data(self, data: str) -> None:
        """The word of a choice."""
        self._word += data

    def handle_endtag(self, tag: str) -> None:
        """A choice ends with its option, its list or its label."""
        if tag in ("option", "select", "label", "form"):
            self._end()

    def _end(self) -> None:
        if self._value is not None and self._name:
            choices = self.found.setdefault(self._name, [])
            pair = (self._value, " ".join(self._word.split()))
            if pair not in choices:
                choices.append(pair)
        self._value = None
