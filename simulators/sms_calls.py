"""Voice calls of the SMS gateway: the Twilio Calls API, a callee who listens and may press keys. The texts are in the TwiML of the call.

gateway.calls()                                # what was said to whom
gateway.press(sid, "1")                        # the callee presses a key; the application's TwiML answer is what he hears next
gateway.pick_up("busy", to="+86591…")          # how the next calls to a number end: completed, busy, no-answer, failed
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from xml.etree import ElementTree

from simulators.sms_core import Callback
from simulators.sms_wire import API, ApiError, rfc2822

ENDS = ("completed", "busy", "no-answer", "failed")


@dataclass(frozen=True, slots=True)
class Call:
    """A call; `said` are the texts of its TwiML in order, `action` where digits are posted, `pressed` what the callee pressed."""

    sid: str
    to: str
    sender: str
    said: tuple[str, ...]
    action: str
    callback: str
    status: str
    created_at: int
    due_at: int | None
    end: str
    pressed: tuple[str, ...] = field(default=())


class Calls:
    """All calls; safe from several threads."""

    def __init__(self, account: str, *, rings_ms: int = 200, talks_ms: int = 800) -> None:
        self.account, self._rings_ms, self._talks_ms = account, rings_ms, talks_ms
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}
        self._ends: dict[str, str] = {}

    def pick_up(self, end: str, to: str) -> None:
        """How calls to a number end from now on. Raises ValueError."""
        if end not in ENDS:
            raise ValueError(f"a call ends as one of {', '.join(ENDS)}, not {end!r}")
        self._ends[to] = end

    def accept(self, form: Mapping[str, str], now: int) -> Call:
        """Begin a call from the form of a create request. Raises ApiError as Twilio would."""
        to, sender, twiml = form.get("To", ""), form.get("From", ""), form.get("Twiml", "")
        if not to.startswith("+"):
            raise ApiError(400, 21211, f"Invalid 'To' Phone Number: {to}")
        if not twiml:
            raise ApiError(400, 21205, "Url parameter is required.")
        said, action = read_twiml(twiml)
        call = Call(
            "CA" + secrets.token_hex(16), to, sender, said, action, form.get("StatusCallback", ""), "queued", now, now + self._rings_ms,
            self._ends.get(to, "completed"),
        )  # fmt: skip
        with self._lock:
            self._calls[call.sid] = call
        return call

    def find(self, *, sid: str | None = None, to: str | None = None) -> list[Call]:
        """Calls, newest first."""
        with self._lock:
            return [call for call in reversed(self._calls.values()) if sid in (None, call.sid) and to in (None, call.to)]

    def run_once(self, now: int) -> list[Callback]:
        """Ring, talk, end: every call that is due moves on; returns the status callbacks of those that ended."""
        with self._lock:
            ended = []
            for call in list(self._calls.values()):
                if call.due_at is None or call.due_at > now:
                    continue
                if call.status == "queued" and call.end == "completed":
                    self._calls[call.sid] = replace(call, status="in-progress", due_at=now + self._talks_ms)
                    continue
                self._calls[call.sid] = done = replace(call, status=call.end, due_at=None)
                ended.append(done)
        return [Callback(call.callback, self.parameters(call), call.sid) for call in ended if call.callback]

    def press(self, sid: str, digit: str) -> Callback | None:
        """The callee presses a key: what is posted to the application, None when the call gathers nothing. Raises KeyError."""
        with self._lock:
            call = self._calls[sid]
            self._calls[sid] = replace(call, pressed=(*call.pressed, digit))
        return Callback(call.action, {**self.parameters(call), "Digits": digit}, sid) if call.action else None

    def hears(self, sid: str, twiml: str) -> tuple[str, ...]:
        """The application's answer to a key, as the callee hears it; further keys go where it says."""
        said, action = read_twiml(twiml)
        with self._lock:
            call = self._calls[sid]
            self._calls[sid] = replace(call, said=(*call.said, *said), action=action or call.action)
        return said

    def parameters(self, call: Call) -> dict[str, str]:
        """The form by which the application is told of a call."""
        return {
            "AccountSid": self.account, "ApiVersion": API, "CallSid": call.sid, "CallStatus": call.status, "Direction": "outbound-api",
            "From": call.sender, "To": call.to,
        }  # fmt: skip

    def resource(self, call: Call) -> dict[str, object]:
        """The Call resource as Twilio answers it."""
        uri = f"/{API}/Accounts/{self.account}/Calls/{call.sid}"
        return {
            "account_sid": self.account, "api_version": API, "date_created": rfc2822(call.created_at), "date_updated": rfc2822(call.created_at),
            "direction": "outbound-api", "from": call.sender, "sid": call.sid, "status": call.status, "to": call.to, "uri": f"{uri}.json",
            "duration": None, "price": None, "price_unit": "USD", "subresource_uris": {},
        }  # fmt: skip

    def page(self, path: str, found: list[Call]) -> dict[str, object]:
        """The body of a list request, in one page."""
        return {
            "calls": [self.resource(call) for call in found], "page": 0, "page_size": 50, "start": 0, "end": max(len(found) - 1, 0), "uri": path,
            "first_page_uri": path, "next_page_uri": None, "previous_page_uri": None,
        }  # fmt: skip


def call_record(call: Call) -> dict[str, object]:
    """A call as the oracle tells it."""
    kept = {name: value for name, value in asdict(call).items() if name not in ("callback", "due_at", "end", "sender")}
    return {**kept, "from": call.sender}


def read_twiml(text: str) -> tuple[tuple[str, ...], str]:
    """The texts that are said, and where digits go. Raises ApiError for what is not TwiML."""
    try:
        root = ElementTree.fromstring(text)  # nosec # noqa: S314 - of the configured application; expat refuses entity bombs
    except ElementTree.ParseError:
        raise ApiError(400, 12100, "Document parse failure") from None
    said = tuple(words for one in root.iter("Say") if (words := "".join(one.itertext()).strip()))
    return said, next((one.get("action", "") for one in root.iter("Gather")), "")
