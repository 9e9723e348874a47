"""SMS through the Twilio Messages API, or through anything that speaks it (`base_url`: a relay, a provincial gateway, the simulator).

Facts behind the code (ecosystem.md A.1, reliability.md 3.4): creating a message has no idempotency key, so a timeout or a 5xx leaves us in doubt;
429 is never processed; the client has no timeout and no base URL of its own; its retries would repeat a POST blindly, so they stay off. A queued
message has no `date_sent` and is missed by a list filtered by it, so the look-up lists twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import exceptions as broken
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from server import net_guard
from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Incoming, Message, Receipt

SKEW_MS = 10 * 60_000
"""How far the provider's clock may be behind ours without a look-up missing a message."""
MAX_VALIDITY_S = 36_000
_LISTED = 200

_SENTENCES: Mapping[int, str] = {
    21211: "号码无效",
    21214: "号码打不通",
    21217: "号码格式不对",
    21408: "没有开通该地区",
    21602: "短信没有正文",
    21610: "对方已退订",
    21612: "该号码收不到本通道的短信",
    21614: "不是手机号码",
    21617: "短信太长",
    30036: "过了有效期",
}
# Refused because of our own settings or their queue, not because of the person: worth another try once it is repaired.
_OURS = frozenset({20003, 20404, 21603, 21606, 21611, 21624, 21659, 21660, 21703})


class _Http(TwilioHttpClient):  # type: ignore[misc]
    """The client's transport with another address, a timeout, and one connection per request.

    A kept connection that the provider closes in the same instant would turn a harmless send into one in doubt, which costs the grace period.
    """

    def __init__(self, base_url: str | None, timeout_s: float, networks: Sequence[str]) -> None:
        host = urlsplit(base_url).hostname if base_url else None
        # A relay that somebody configured by hand is never reached through the proxy of the environment.
        super().__init__(timeout=timeout_s, max_retries=0, proxy={"no_proxy": host} if host else None)
        self._base, self._networks = base_url.rstrip("/") if base_url else None, networks

    def request(self, method: str, url: str, *args: Any, headers: dict[str, str] | None = None, **kwargs: Any) -> Response:
        """As the library's, at the configured address. Raises ChannelError when that must not be called."""
        if self._base is not None:
            parts = urlsplit(url)
            url = f"{self._base}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        try:
            net_guard.configured(url, self._networks)
        except net_guard.ForbiddenTargetError as error:
            raise ChannelError(f"短信服务商的地址不可用：{error}", Failure.RETRY) from error
        return super().request(method, url, *args, headers={**(headers or {}), "Connection": "close"}, **kwargs)

    def close(self) -> None:
        """Release the session's pools."""
        if isinstance(self.session, requests.Session):
            self.session.close()


def transport(base_url: str | None, timeout_s: float, networks: Sequence[str] = net_guard.ANYWHERE) -> _Http:
    """The transport of both Twilio channels."""
    return _Http(base_url, timeout_s, networks)


class TwilioSms:
    """The channel. `sender` is a number (+86…) or a messaging service (MG…); `status_callback` a public URL or None (then receipts are polled)."""

    name = "twilio_sms"
    abilities = Abilities(lookup=True, receipts=True)

    def __init__(
        self,
        *,
        account_sid: str,
        token: str,
        sender: str,
        base_url: str | None = None,
        status_callback: str | None = None,
        timeout_s: float = 10.0,
        networks: Sequence[str] = net_guard.ANYWHERE,
        poll_replies: bool = True,
    ) -> None:
        if not (account_sid and token and sender):
            raise ValueError("the Twilio channel needs account_sid, a token and a sender")
        self._http = transport(base_url, timeout_s, networks)
        self._client = Client(account_sid, token, http_client=self._http)
        self._messages = self._client.messages  # the client loads a hundred modules for it, which the first alarm would wait for
        self._sender, self.holds_replies = sender, poll_replies
        self._options: dict[str, Any] = {"messaging_service_sid": sender} if sender.startswith("MG") else {"from_": sender}
        if status_callback:
            self._options["status_callback"] = status_callback

    def send(self, message: Message) -> Receipt:
        """One POST, no retry. Raises ChannelError."""
        validity = min(max(message.validity_s, 1), MAX_VALIDITY_S)
        try:
            made = self._messages.create(to=message.phone, body=message.text, validity_period=validity, **self._options)
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error
        if not made.sid:
            raise ChannelError("短信平台没有给出编号", Failure.AMBIGUOUS)
        return _receipt(made)

    def lookup(self, message: Message) -> Receipt | None:
        """Search the provider's messages to this phone for this very text. Raises ChannelError."""
        since = datetime.fromtimestamp((message.since - SKEW_MS) / 1000, UTC)
        try:
            listed = self._messages.list(to=message.phone, date_sent_after=since, limit=_LISTED, page_size=_LISTED)
            found = _find(listed, message, since) or _find(self._messages.list(to=message.phone, limit=_LISTED, page_size=_LISTED), message, since)
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error
        return found

    def fetch(self, provider_id: str) -> Receipt:
        """What became of a message. Raises ChannelError."""
        try:
            return _receipt(self._client.messages(provider_id).fetch())
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error

    def incoming(self, since: int) -> Sequence[Incoming]:
        """What people have texted to our number; all of it where a messaging service stands before several. Raises ChannelError."""
        to = {} if self._sender.startswith("MG") else {"to": self._sender}
        try:
            listed = self._messages.list(date_sent_after=datetime.fromtimestamp(since / 1000, UTC), page_size=_LISTED, **to)
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error
        # newest first there, and of several in one second only the order tells which was first
        received = (item for item in reversed(listed) if str(item.direction) == "inbound")
        return [Incoming(str(item.sid), str(item.from_), item.body or "", _ms(item.date_sent or item.date_created)) for item in received]

    def forget(self, ids: Sequence[str]) -> None:
        """The provider keeps them."""

    def close(self) -> None:
        """Release connections."""
        self._http.close()


class _Form:
    """A posted form as the validator wants it: several values per name."""

    def __init__(self, form: Mapping[str, str | Sequence[str]]) -> None:
        self._form = form

    def __iter__(self) -> Any:
        return iter(self._form)

    def __len__(self) -> int:
        return len(self._form)

    def getall(self, name: str) -> list[str]:
        """All values of one parameter."""
        value = self._form[name]
        return [value] if isinstance(value, str) else list(value)


def signed_by_provider(token: str, url: str, form: Mapping[str, str | Sequence[str]], signature: str | None) -> bool:
    """Whether a callback carries a valid X-Twilio-Signature. `url` is the public address that the provider called, query included."""
    return bool(signature) and bool(RequestValidator(token).validate(url, _Form(form), signature))


def make(settings: ChannelSettings) -> TwilioSms:
    """From the settings. Raises ValueError when account, token or sender is missing."""
    return TwilioSms(
        account_sid=settings.account_sid,
        token=settings.token,
        sender=settings.sender,
        base_url=settings.base_url,
        status_callback=settings.status_callback,
        timeout_s=settings.timeout_s,
        networks=settings.networks,
        poll_replies=settings.options.get("poll_replies", "true") == "true",
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _receipt(instance: Any) -> Receipt:
    return Receipt(str(instance.sid), str(instance.status), instance.error_code)


def _find(listed: Iterable[Any], message: Message, since: datetime) -> Receipt | None:
    """The message with this text; a trial account puts words before it, hence "in"."""
    for item in listed:
        fresh = item.date_created is None or item.date_created >= since
        if fresh and item.sid not in message.known and str(item.direction).startswith("outbound") and message.text in (item.body or ""):
            return _receipt(item)
    return None


def failure(error: Exception) -> ChannelError:
    """What an exception of the client tells about the message."""
    if isinstance(error, TwilioRestException | TwilioServiceException):
        return _refusal(error.status, error.code)
    if isinstance(error, broken.RequestException) and _never_connected(error):
        return ChannelError("连不上短信平台", Failure.RETRY)
    if isinstance(error, broken.Timeout):
        return ChannelError("短信平台没有按时答复", Failure.AMBIGUOUS)
    return ChannelError("与短信平台的通信中断", Failure.AMBIGUOUS)


def _refusal(status: int, code: int | None) -> ChannelError:
    if status == 429 or code == 20429:
        return ChannelError("短信平台限流", Failure.RETRY, code or status)
    if status >= 500 or status == 408:
        return ChannelError("短信平台内部错误", Failure.AMBIGUOUS, code or status)
    if status in (401, 403, 404, 407) or status < 400 or code in _OURS:
        return ChannelError("短信通道设置有误", Failure.RETRY, code or status)
    return ChannelError(_SENTENCES.get(code or 0, "短信平台拒收"), Failure.PERMANENT, code or status)


def _never_connected(error: broken.RequestException) -> bool:
    """Whether not a byte of the request can have reached the other side."""
    if isinstance(error, broken.ConnectTimeout | broken.ProxyError | broken.InvalidURL):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError | ConnectTimeoutError)
