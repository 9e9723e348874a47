"""Twilio Messages API 2010-04-01 on the wire: resource and error bodies, dates, segment counts, request signatures. Pure.

Field names and formats follow Twilio's published API reference; the signature is checked against the vectors of its own validator.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

API = "2010-04-01"
# GSM 03.38 basic alphabet and its extension table (an extension costs the escape and the character)
_GSM = frozenset("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà")
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")


class ApiError(Exception):
    """An answer that is not a message: HTTP status, Twilio code and its sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> dict[str, object]:
        """The JSON body that Twilio sends with it."""
        return {"code": self.code, "message": self.message, "more_info": f"https://www.twilio.com/docs/errors/{self.code}", "status": self.status}


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the gateway keeps it; times are UTC ms, `callback` is '' where none was asked for."""

    id: int
    sid: str
    to: str
    sender: str
    body: str
    direction: str
    status: str
    created_at: int
    updated_at: int
    sent_at: int | None = None
    error_code: int | None = None
    error_message: str | None = None
    callback: str = ""
    fate: str = "delivered"
    due_at: int | None = None
    expires_at: int | None = None


def segments(body: str) -> int:
    """How many SMS a text costs: GSM-7 160 alone or 153 each, UCS-2 70 or 67; never cut inside an escape or a surrogate pair."""
    gsm = all(c in _GSM or c in _GSM_EXTENSION for c in body)
    costs = [2 if c in _GSM_EXTENSION else 1 for c in body] if gsm else [2 if ord(c) > 0xFFFF else 1 for c in body]
    single, part = (160, 153) if gsm else (70, 67)
    if sum(costs) <= single:
        return 1
    count, used = 1, 0
    for cost in costs:
        if used + cost > part:
            count, used = count + 1, 0
        used += cost
    return count


def rfc2822(at: int | None) -> str | None:
    """UTC ms as Twilio writes dates: `Thu, 24 Aug 2023 05:01:45 +0000`."""
    return None if at is None else format_datetime(datetime.fromtimestamp(at // 1000, UTC))


def instant(text: str) -> int:
    """A date filter, `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ssZ`, as UTC ms. Raises ApiError 20001."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(400, 20001, f"'{text}' is not a valid date") from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()) * 1000


def resource(message: Message, account: str) -> dict[str, object]:
    """The Message resource, field by field as Twilio answers it."""
    uri = f"/{API}/Accounts/{account}/Messages/{message.sid}"
    return {
        "account_sid": account,
        "api_version": API,
        "body": message.body,
        "date_created": rfc2822(message.created_at),
        "date_sent": rfc2822(message.sent_at),
        "date_updated": rfc2822(message.updated_at),
        "direction": message.direction,
        "error_code": message.error_code,
        "error_message": message.error_message,
        "from": message.sender,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": str(segments(message.body)),
        "price": None,
        "price_unit": None,
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.to,
        "uri": f"{uri}.json",
    }


def status_parameters(message: Message, account: str) -> dict[str, str]:
    """The form of a status callback."""
    form = {
        "AccountSid": account,
        "ApiVersion": API,
        "From": message.sender,
        "MessageSid": message.sid,
        "MessageStatus": message.status,
        "SmsSid": message.sid,
        "SmsStatus": message.status,
        "To": message.to,
    }
    return form if message.error_code is None else {**form, "ErrorCode": str(message.error_code)}


def inbound_parameters(message: Message, account: str) -> dict[str, str]:
    """The form by which an incoming message is handed to the application."""
    return {
        "AccountSid": account,
        "ApiVersion": API,
        "Body": message.body,
        "From": message.sender,
        "MessageSid": message.sid,
        "NumMedia": "0",
        "NumSegments": str(segments(message.body)),
        "SmsMessageSid": message.sid,
        "SmsSid": message.sid,
        "SmsStatus": "received",
        "To": message.to,
    }


def sign(token: str, url: str, form: Mapping[str, str | Sequence[str]]) -> str:
    """X-Twilio-Signature: URL, then name and value of each parameter sorted by name (repeated values once, sorted), HMAC-SHA1, base64."""
    text = url
    for name in sorted(form):
        value = form[name]
        for one in [value] if isinstance(value, str) else sorted(set(value)):
            text += name + one
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
