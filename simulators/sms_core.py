"""What the SMS gateway decides: accept or refuse, the way of a message to the handset, callbacks, and the faults somebody ordered.

Time is an argument everywhere; `run_once(now)` moves every message that is due. HTTP is in sms_app.py.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simulators.sms_store import Store
from simulators.sms_wire import ApiError, Message, inbound_parameters, status_parameters

_E164 = re.compile(r"\+[1-9]\d{6,14}")
# what becomes of a message that was accepted
_FATES: Mapping[str, tuple[str, int | None, str | None]] = {
    "delivered": ("delivered", None, None),
    "undelivered": ("undelivered", 30003, "Unreachable destination handset"),
    "failed": ("failed", 30008, "Unknown error"),
    "expired": ("failed", 30036, "Validity Period Expired"),
}
_REFUSALS: Mapping[str, tuple[int, int, str]] = {
    "invalid_number": (400, 21211, "Invalid 'To' Phone Number: {to}"),
    "blocked": (400, 21610, "Attempt to send to unsubscribed recipient"),
    "landline": (400, 21614, "'To' number is not a valid mobile number"),
    "rate": (429, 20429, "Too Many Requests"),
    "500": (500, 20500, "An internal server error has occurred"),
    "503": (503, 20503, "Service is unavailable. Please try again"),
}
_LINES = ("timeout_before", "timeout_after", "reset", "reset_after")
_CALLBACKS = ("callback_duplicate", "callback_reorder", "callback_drop", "callback_forged")
KINDS = (*_REFUSALS, *_LINES, "undelivered", "failed", "hold", *_CALLBACKS)
# numbers that misbehave always; the first three are those of Twilio's own test account
MAGIC: Mapping[str, str] = {
    "+15005550001": "invalid_number",
    "+15005550004": "blocked",
    "+15005550009": "landline",
    "+8613900000429": "rate",
    "+8613900000500": "500",
    "+8613900000503": "503",
    "+8613900000001": "timeout_before",
    "+8613900000002": "timeout_after",
    "+8613900000003": "reset",
    "+8613900000004": "reset_after",
    "+8613900000005": "undelivered",
    "+8613900000006": "failed",
    "+8613900000007": "hold",
}


@dataclass(slots=True)
class Fault:
    """An ordered misbehaviour for the next `count` requests (-1: until cleared), of one number or all, on create, fetch or list."""

    kind: str
    count: int = 1
    to: str | None = None
    on: str = "create"


@dataclass(frozen=True, slots=True)
class Callback:
    """A form to be posted, signed, to the application; `order` is the message whose posts must not overtake each other."""

    url: str
    form: Mapping[str, str]
    order: str
    forged: bool = False


class Faults:
    """The list of ordered faults; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._list: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Add a fault. Raises ValueError for a kind or a place that does not exist, or a count of 0."""
        if fault.kind not in KINDS:
            raise ValueError(f"unknown fault {fault.kind!r}; one of {', '.join(KINDS)}")
        if fault.on not in ("create", "fetch", "list"):
            raise ValueError(f"a fault is on create, fetch or list, not {fault.on!r}")
        if fault.count < 1 and fault.count != -1:
            raise ValueError("count must be at least 1, or -1 for always")
        with self._lock:
            self._list.append(fault)

    def take(self, on: str, to: str | None, *, callback: bool = False) -> str | None:
        """The kind of fault that this request (or this callback) must suffer; uses it up."""
        with self._lock:
            for fault in self._list:
                if fault.on == on and fault.to in (None, to) and (fault.kind in _CALLBACKS) is callback:
                    fault.count -= 1 if fault.count > 0 else 0
                    if fault.count == 0:
                        self._list.remove(fault)
                    return fault.kind
        return MAGIC.get(to or "") if on == "create" and not callback else None

    def listing(self) -> list[Fault]:
        """What is still ordered."""
        with self._lock:
            return list(self._list)

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._list.clear()


def refusal(kind: str | None, to: str) -> ApiError | None:
    """The error answer of a fault kind, or None when the kind is of another sort."""
    if kind is None or kind not in _REFUSALS:
        return None
    status, code, text = _REFUSALS[kind]
    return ApiError(status, code, text.format(to=to))


@dataclass(frozen=True, slots=True)
class Delays:
    """How long a message takes, in ms: until the network has it, and from there until the handset has it."""

    sent_ms: int = 200
    delivered_ms: int = 800


class Core:
    """Messages and what happens to them; `account` is the sid under which they are kept."""

    def __init__(self, account: str, data: Path | None = None, delays: Delays | None = None) -> None:
        self.account = account
        self.store = Store(data)
        self.faults = Faults()
        self._delays = delays or Delays()
        self._late: dict[str, list[Callback]] = {}

    def accept(self, form: Mapping[str, str], kind: str | None, now: int) -> Message:
        """Queue a message from the form of a create request. Raises ApiError as Twilio would for a form it refuses.

        `kind` is the fault this request suffers, of which only the message's fate matters here.
        """
        to, body = form.get("To", ""), form.get("Body", "")
        sender = form.get("From") or form.get("MessagingServiceSid", "")
        if not to:
            raise ApiError(400, 21604, "A 'To' phone number is required.")
        if not _E164.fullmatch(to):
            raise ApiError(400, 21211, f"Invalid 'To' Phone Number: {to}")
        if not sender:
            raise ApiError(400, 21603, "A 'From' phone number is required.")
        if not body.strip():
            raise ApiError(400, 21602, "Message body is required.")
        if len(body) > 1600:
            raise ApiError(400, 21617, "The concatenated message body exceeds the 1600 character limit")
        expires_at = now + _validity_s(form.get("ValidityPeriod")) * 1000
        fate = kind if kind in ("undelivered", "failed") else "delivered"
        due_at = now + self._delays.sent_ms
        if kind == "hold" or due_at > expires_at:
            fate, due_at = "expired", expires_at
        callback = form.get("StatusCallback", "")
        return self.store.add(to, sender, body, now=now, callback=callback, fate=fate, due_at=due_at, expires_at=expires_at)

    def run_once(self, now: int) -> list[Callback]:
        """Move every message that is due one status on; returns the callbacks that this causes, in order."""
        moved = [self._next(message, now) for message in self.store.due(now)]
        if moved:
            self.store.save(moved)
        return [callback for message in moved if message.callback for callback in self._announce(message)]

    def receive(self, sender: str, to: str, body: str, url: str, now: int) -> tuple[Message, Callback | None]:
        """Keep a message that a person sent to us; with a webhook `url` also what must be posted there."""
        message = self.store.add(to, sender, body, now=now, direction="inbound", status="received", sent_at=now)
        return message, Callback(url, inbound_parameters(message, self.account), message.sid) if url else None

    def answer(self, message: Message, text: str, now: int) -> Message:
        """Queue what the application replied (TwiML) to an incoming message."""
        return self.store.add(
            message.sender, message.to, text, now=now, direction="outbound-reply", due_at=now + self._delays.sent_ms, expires_at=now + 36_000_000
        )

    def _next(self, message: Message, now: int) -> Message:
        if message.status == "queued" and message.fate not in ("failed", "expired"):
            return replace(message, status="sent", updated_at=now, sent_at=now, due_at=now + self._delays.delivered_ms)
        status, code, text = _FATES[message.fate]
        return replace(message, status=status, updated_at=now, error_code=code, error_message=text, due_at=None)

    def _announce(self, message: Message) -> list[Callback]:
        """The posts for the message's new status, with what was held back of an earlier status behind it."""
        callback = Callback(message.callback, status_parameters(message, self.account), message.sid)
        kind = self.faults.take("create", message.to, callback=True)
        if kind == "callback_drop":
            return self._late.pop(message.sid, [])
        if kind == "callback_forged":
            callback = replace(callback, forged=True)
        if kind == "callback_reorder" and message.due_at is not None:
            self._late[message.sid] = [callback]
            return []
        return [callback] * (2 if kind == "callback_duplicate" else 1) + self._late.pop(message.sid, [])


def _validity_s(text: str | None) -> int:
    """ValidityPeriod in seconds; 10 hours when it is not given. Raises ApiError 21624."""
    if text is None:
        return 36_000
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_000:
        raise ApiError(400, 21624, "Invalid validity period value")
    return int(text)
