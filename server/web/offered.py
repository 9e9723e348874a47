"""What the page of a refused form offered to choose from: read off that page, asked for anew in the name of whoever sent the form.

So a list whose options depend on the page (the rules of a room, the units next door) comes back as the list it was, and no page has to say it twice.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

from fastapi import Request


@dataclass(frozen=True, slots=True)
class Offered:
    """By the name of a field: the values to choose from with the words beside them, and what the field is called there."""

    choices: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


async def offered(request: Request, page: str) -> Offered:
    """What the page's form for the address of `request` says; nothing where the page has no such form or cannot be shown."""
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
        self.found = Offered()
        self._address, self._within, self._name = address, False, ""
        self._value: str | None = None
        self._open, self._word = False, ""
        self._label: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A form, a list in it, a choice."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._within = given.get("method") == "post" and urlsplit(given.get("action", "")).path == self._address
        if not self._within:
            return
        if tag == "label":
            self._label = ""
        elif tag in ("input", "select", "textarea") and self._label is not None and given.get("type") not in ("radio", "checkbox"):
            self.found.labels.setdefault(given.get("name", ""), " ".join(self._label.split()))
            self._label = None
        if tag == "select":
            self._name = given.get("name", "")
        elif tag == "option" or (tag == "input" and given.get("type") == "radio"):
            self._end()
            self._name = given.get("name", self._name) if tag == "input" else self._name
            self._open, self._value, self._word = True, given.get("value"), ""

    def handle_data(self, data: str) -> None:
        """The word of a choice, or of a field."""
        self._word += data
        if self._label is not None:
            self._label += data

    def handle_endtag(self, tag: str) -> None:
        """A choice ends with its option, its list or its label."""
        if tag in ("option", "select", "label", "form"):
            self._end()

    def _end(self) -> None:
        if self._open and self._name:
            word = " ".join(self._word.split())
            choices = self.found.choices.setdefault(self._name, [])
            pair = (word if self._value is None else self._value, word)
            if pair not in choices:
                choices.append(pair)
        self._open = False
