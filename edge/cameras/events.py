"""Event streams of cameras as pure parsers: bytes in, events out. Sources: Hikvision alertStream (pyHik), Dahua eventManager (rroller/dahua)."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol
from xml.etree import ElementTree

from contract.profile_transport import KeepAlive

_MOST: Final = 256 * 1024  # bytes that may wait for the end of a message
_DAHUA: Final = re.compile(rb"Code=(\w+);action=(Start|Stop|Pulse)(?:;index=(\d+))?")


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """`kind` is the camera's word. `active` None is a pulse: on, and off by itself. `channel` counts from 1, 0 where the camera tells none."""

    kind: str
    active: bool | None
    channel: int = 0


class BrokenStreamError(ValueError):
    """The stream cannot be followed any more; the text is one phrase."""


class Parser(Protocol):
    """Takes what came and yields the events in it; a keep-alive yields none."""

    def feed(self, data: bytes) -> Iterator[CameraEvent]:
        """Raises BrokenStreamError."""


def parse_xml(text: bytes) -> ElementTree.Element:
    """XML without its namespaces. Raises BrokenStreamError, also for a document type: entities are not needed, and they are how XML bites."""
    if b"<!" in text.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        raise BrokenStreamError("XML 带有文档类型")
    try:
        root = ElementTree.fromstring(text)  # nosec # noqa: S314
    except ElementTree.ParseError:
        raise BrokenStreamError("不是 XML") from None
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    return root


class _Buffer:
    """Bytes that wait for the end of a message."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > _MOST:
            raise BrokenStreamError("一条消息没有尽头")


class IsapiParser:
    """An endless multipart of `<EventNotificationAlert>`; what lies between them (boundaries, headers, pictures) is passed over."""

    _END: Final = b"</EventNotificationAlert>"

    def __init__(self, keepalive: KeepAlive | None) -> None:
        self._keepalive, self._buffer = keepalive, _Buffer()

    def feed(self, data: bytes) -> Iterator[CameraEvent]:
        """See Parser."""
        self._buffer.add(data)
        while (end := self._buffer.data.find(self._END)) >= 0:
            message, self._buffer.data = self._buffer.data[: end + len(self._END)], self._buffer.data[end + len(self._END) :]
            start = message.rfind(b"<EventNotificationAlert")
            if start < 0:
                continue
            root = parse_xml(message[start:])
            kind, state = root.findtext("eventType", ""), root.findtext("eventState", "")
            if self._keepalive is not None and (kind.lower(), state) == (self._keepalive.type.lower(), self._keepalive.state):
                continue
            channel = root.findtext("channelID") or root.findtext("dynChannelID") or ""
            yield CameraEvent(kind, state == "active", int(channel) if channel.isdecimal() else 0)


class DahuaParser:
    """Lines `Code=VideoMotion;action=Start;index=0;data={…}`; a line `Heartbeat` keeps the stream alive. `index` counts from 0."""

    def __init__(self, keepalive: KeepAlive | None) -> None:
        self._quiet = b"" if keepalive is None else keepalive.type.encode()
        self._buffer = _Buffer()

    def feed(self, data: bytes) -> Iterator[CameraEvent]:
        """See Parser."""
        self._buffer.add(data)
        *lines, self._buffer.data = self._buffer.data.split(b"\n")
        for line in lines:
            if line.strip() != self._quiet and (found := _DAHUA.search(line)) is not None:
                code, action, index = found.groups()
                yield CameraEvent(code.decode(), {b"Start": True, b"Stop": False}.get(action), int(index) + 1 if index else 0)


PARSERS: Final[Mapping[str, Callable[[KeepAlive | None], Parser]]] = MappingProxyType(
    {"isapi_alert_stream": IsapiParser, "dahua_attach": DahuaParser}
)
"""Kinds of streams that are one endless HTTP answer; ONVIF pulls (edge/cameras/onvif.py)."""


class Switches:
    """Which of our event names stand, of one camera. `map` turns the camera's words into ours; `mono` is monotonic ms.

    Some cameras say only that something goes on, and nothing when it is over: what was not repeated for `hold_ms` is over.
    """

    def __init__(self, names: Mapping[str, str], hold_ms: float) -> None:
        self._names = {kind.lower(): name for kind, name in names.items()}
        self._hold_ms = hold_ms
        self._ends: dict[str, float] = {}
        self.unknown = 0

    def take(self, event: CameraEvent, mono: float, *, holds: bool) -> str:
        """Note an event; returns our name when it changed, else "". `holds`: the stream also tells ends, so a start stands until its stop."""
        name = self._names.get(event.kind.lower(), "")
        if not name:
            self.unknown += 1
            return ""
        stood = self.stands(name, mono)
        if event.active is False:
            self._ends.pop(name, None)
        else:
            self._ends[name] = float("inf") if holds and event.active else mono + self._hold_ms
        return name if stood != self.stands(name, mono) else ""

    def stands(self, name: str, mono: float) -> bool:
        """Whether an event goes on."""
        return self._ends.get(name, float("-inf")) > mono

    def over(self, mono: float) -> list[str]:
        """Names that ended by themselves since the last call."""
        ended = [name for name, end in self._ends.items() if end <= mono]
        for name in ended:
            del self._ends[name]
        return ended

    def clear(self) -> None:
        """The stream is lost: nobody knows what stands."""
        self._ends.clear()
