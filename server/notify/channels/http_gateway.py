"""SMS through a gateway that takes JSON over HTTP: a government or carrier platform in front of CMPP, or an own relay.

One POST per message with our id as the idempotency key, signed: X-Timestamp, X-Nonce and X-Signature = hex HMAC-SHA256(token, timestamp \\n nonce \\n
body). Field names are the platform's own (option `fields`: JSON of our name -> theirs; "" leaves one out); a platform with registered templates
gets the template's code and the variables instead of the text (option `templates`: JSON of our text name -> code). `lookup_url` with {id} asks
whether a message was accepted; `inbox_url` with {since} (UTC ms) lists replies: {"messages": [{"id", "phone", "text", "at" (UTC ms)}]}.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from server.duty.routing import e164
from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Incoming, Message, Receipt
from server.notify.channels.posting import get, post
from server.notify.texts import Catalogue, default_texts

_NAMES = ("id", "phone", "text", "number", "sender", "template", "params")
WHAT = "短信平台"


def sign(token: str, timestamp: str, nonce: str, body: bytes) -> str:
    """The signature of a request."""
    return hmac.new(token.encode(), f"{timestamp}\n{nonce}\n".encode() + body, hashlib.sha256).hexdigest()


class HttpGateway:
    """The channel; see the module for its options."""

    def __init__(self, settings: ChannelSettings, texts: Catalogue | None = None) -> None:
        if not settings.base_url:
            raise ValueError("the HTTP gateway needs base_url")
        self.name = settings.name or "http_gateway"
        self._url, self._token, self._sender, self._timeout = settings.base_url, settings.token, settings.sender, settings.timeout_s
        self._networks = settings.networks
        self._fields = {name: name for name in _NAMES} | _mapping(settings.options.get("fields", "{}"), "fields")
        self._templates = _mapping(settings.options.get("templates", "{}"), "templates")
        self._lookup = settings.options.get("lookup_url", "")
        self._inbox = settings.options.get("inbox_url", "")
        self.holds_replies = bool(self._inbox)
        self._id_field, self._texts = settings.options.get("id_field", "id"), texts or default_texts()
        self.abilities = Abilities(lookup=bool(self._lookup), receipts=bool(self._lookup))

    def send(self, message: Message) -> Receipt:
        """One POST. Raises ChannelError; an answer 2xx whose `code` is neither 0 nor "OK" is a refusal."""
        body = json.dumps(self._body(message), ensure_ascii=False, separators=(",", ":")).encode()
        answer = post(self._url, body, self._headers(body), self._timeout, WHAT, self._networks)
        return self._receipt(_document(answer.content), message)

    def lookup(self, message: Message) -> Receipt | None:
        """Ask by our id. Raises ChannelError."""
        return self._ask(str(message.id), message.id)

    def fetch(self, provider_id: str) -> Receipt:
        """What became of a message. Raises ChannelError."""
        found = self._ask(provider_id, provider_id)
        if found is None:
            raise ChannelError("短信平台没有这条短信", Failure.PERMANENT, 404)
        return found

    def incoming(self, since: int) -> Sequence[Incoming]:
        """What people have texted to the platform. Raises ChannelError."""
        answer = get(self._inbox.replace("{since}", str(since)), self._headers(b""), self._timeout, WHAT, self._networks)
        if not answer.is_success:
            raise ChannelError("短信平台查不到回复", Failure.RETRY, answer.status_code)
        try:
            return [Incoming(f"{self.name}-{one['id']}", e164(one["phone"]) or "", one["text"], int(one["at"])) for one in answer.json()["messages"]]
        except (ValueError, TypeError, KeyError) as error:
            raise ChannelError("短信平台的回复读不懂", Failure.RETRY) from error

    def forget(self, ids: Sequence[str]) -> None:
        """The platform keeps them."""

    def close(self) -> None:
        """Nothing is held open between two messages."""

    def _ask(self, ident: str, ours: object) -> Receipt | None:
        answer = get(self._lookup.replace("{id}", ident), self._headers(b""), self._timeout, WHAT, self._networks)
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise ChannelError("短信平台查不到结果", Failure.RETRY, answer.status_code)
        found = _document(answer.content)
        return Receipt(str(found.get(self._id_field, ours)), str(found.get("status", "sent")))

    def _body(self, message: Message) -> dict[str, Any]:
        found = self._texts.recognise(message.text)
        code = self._templates.get(found[0]) if found is not None else None
        given: dict[str, Any] = {"id": str(message.id), "phone": message.phone, "number": message.number, "sender": self._sender}
        given |= {"template": code, "params": found[1]} if code and found is not None else {"text": message.text}
        return {self._fields[name]: value for name, value in given.items() if self._fields[name]}

    def _headers(self, body: bytes) -> dict[str, str]:
        stamp, nonce = str(int(time.time())), secrets.token_hex(8)
        signed = {"X-Timestamp": stamp, "X-Nonce": nonce, "X-Signature": sign(self._token, stamp, nonce, body)} if self._token else {}
        return {"Content-Type": "application/json; charset=utf-8", **signed}

    def _receipt(self, answer: dict[str, Any], message: Message) -> Receipt:
        code = answer.get("code", 0)
        if str(code).upper() not in ("0", "OK", "200", "SUCCESS"):
            limited = "LIMIT" in str(code).upper()
            raise ChannelError(f"短信平台拒收：{code}", Failure.RETRY if limited else Failure.PERMANENT)
        return Receipt(str(answer.get(self._id_field, message.id)), str(answer.get("status", "sent")))


def _mapping(text: str, name: str) -> dict[str, str]:
    """A JSON object of an option. Raises ValueError."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"option {name} of the HTTP gateway is a JSON object of texts")
    return found


def _document(content: bytes) -> dict[str, Any]:
    """The answer; an empty or foreign one after 2xx counts as accepted."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def make(settings: ChannelSettings) -> HttpGateway:
    """From the settings. Raises ValueError."""
    return HttpGateway(settings)
