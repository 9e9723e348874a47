"""Ways to reach a person. A new one is a module here with `make(settings)` and a row in CHANNELS; nothing else knows it.

What a channel says when it fails decides what the outbox may do: retry what was certainly not processed, give up what never will be, and look
up what may have been sent before it sends again. Its abilities say how much of that it can answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from server.net_guard import ANYWHERE
from server.store.session import Database

CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "twilio": "twilio_sms", "outbox_file": "outbox_file", "twilio_voice": "twilio_voice", "http": "http_gateway", "modem": "modem",
        "email": "email", "webhook": "webhook", "chat": "chat", "screen": "screen", "siren": "siren",
    }
)  # fmt: skip
"""Kind in the settings -> module of this package. Imported only when chosen: the Twilio client alone costs 0.15 s."""


class Failure(StrEnum):
    """What is known after a failed send."""

    RETRY = "retry"  # certainly not processed: send again later
    PERMANENT = "permanent"  # this number will never be reached by this channel
    AMBIGUOUS = "ambiguous"  # may have been sent: look up first


class ChannelError(Exception):
    """A send or look-up failed. `sentence` is for the person who reads the record, `code` is the provider's."""

    def __init__(self, sentence: str, failure: Failure, code: int | None = None) -> None:
        super().__init__(sentence if code is None else f"{sentence}（{code}）")
        self.sentence, self.failure, self.code = sentence, failure, code


@dataclass(frozen=True, slots=True)
class Abilities:
    """lookup: can find what it accepted, by number and text. receipts: tells what became of a message when asked by its id.

    way: what it reaches: sms a mobile by text, voice any phone by a call, email an address, group whoever follows it.
    tells_apart: whether a look-up can tell two messages to one address apart; if not, the second waits until the first is certain.
    sounds_s: how long it makes noise, 0 = none; what does is asked to stop, but not while another alarm wants it.
    """

    lookup: bool = False
    receipts: bool = False
    way: str = "sms"
    tells_apart: bool = True
    sounds_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent. `id` is the notification's, `phone` E.164 (or what else the channel takes for an address), `number` the 编号 within the text.

    `since` (UTC ms) is the earliest instant at which it can have been accepted; `validity_s` how long it is worth delivering; `known` the provider
    ids that other messages to this phone already have, so that a look-up never takes one of those for this one. `now` (UTC ms): of the attempt.
    """

    id: int
    phone: str
    text: str
    number: str
    since: int
    validity_s: int
    known: frozenset[str] = frozenset()
    level: str = ""
    reason: str = ""
    drill: bool = False
    now: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider says of a message: its id there, its status word (receipts.RANK), and an error code."""

    provider_id: str
    status: str
    error_code: int | None = None


@runtime_checkable
class Channel(Protocol):
    """One way to reach people; safe to be used from several threads."""

    name: str
    abilities: Abilities

    def send(self, message: Message) -> Receipt:
        """Send once, without any retry of its own. Raises ChannelError."""

    def lookup(self, message: Message) -> Receipt | None:
        """Find a message that may have been accepted since `message.since`. Raises ChannelError when it cannot be known now."""

    def fetch(self, provider_id: str) -> Receipt:
        """What became of a message. Raises ChannelError."""

    def close(self) -> None:
        """Let go of connections and files."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What somebody has texted to us: the provider's `id` of it, the E.164 number that it came from, and when it came there (UTC ms)."""

    id: str
    phone: str
    text: str
    at: int


@runtime_checkable
class Inbox(Protocol):
    """A channel that keeps what people reply until it is fetched."""

    name: str
    holds_replies: bool

    def incoming(self, since: int, /) -> Sequence[Incoming]:
        """Everything that has come `since`, the oldest first, more rather than less. Raises ChannelError."""

    def forget(self, ids: Sequence[str]) -> None:
        """These are on record here now."""


class OneWay:
    """What channels share that send and hear nothing more: no look-up, a last status that is known at once, nothing held open."""

    last_word = "delivered"

    def lookup(self, _message: Message) -> Receipt | None:
        """Nobody can be asked."""
        return None

    def fetch(self, provider_id: str) -> Receipt:
        """Nothing more is known."""
        return Receipt(provider_id, self.last_word)

    def close(self) -> None:
        """Nothing is held open between two messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Everything a channel may need; each takes what is its own. `token` is a secret and never shown.

    `public_url` is our own address as the provider reaches it ('' = it cannot), `options` whatever only one kind knows.
    """

    name: str = ""

    account_sid: str = ""
    token: str = ""
    sender: str = ""
    base_url: str | None = None
    status_callback: str | None = None
    timeout_s: float = 10.0
    outbox: Path = Path("outbox.jsonl")
    public_url: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    db: Database | None = None
    """Our own tables, for a way that leads through a gateway."""
    networks: tuple[str, ...] = ANYWHERE
    """Where addresses of the settings may lead (CIDR)."""

    def __repr__(self) -> str:
        return f"ChannelSettings(account_sid={self.account_sid!r}, sender={self.sender!r}, base_url={self.base_url!r}, outbox={str(self.outbox)!r})"


def open_channel(kind: str, settings: ChannelSettings) -> Channel:
    """Make the channel of a kind. Raises ValueError for a kind that does not exist or settings that it cannot use."""
    if kind not in CHANNELS:
        raise ValueError(f"there is no channel {kind!r}; one of {', '.join(CHANNELS)}")
    made = import_module(f"{__name__}.{CHANNELS[kind]}").make(settings)
    assert isinstance(made, Channel)  # noqa: S101 - for the type checker; the protocol is checked at run time too
    return made
