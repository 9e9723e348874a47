"""Voice through the Twilio Calls API: the text read twice, digits gathered where the provider can reach us (language.md 3.4, 3.5).

A call says what the text of the same notification says, so that one registered text serves both. A call has no idempotency key either, and the
provider's list does not tell what was said in it: after doubt the look-up takes the newest call to this phone since then that no other message has.
That is the right one only because a phone has one call in doubt at a time (Abilities.tells_apart).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from requests import exceptions as broken
from twilio.base.exceptions import TwilioException
from twilio.rest import Client
from twilio.twiml.voice_response import Gather, VoiceResponse

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, Receipt
from server.notify.channels.twilio_sms import SKEW_MS, failure, transport

LANGUAGE = "cmn-CN"
_STATUS: Mapping[str, str] = MappingProxyType(
    {"queued": "queued", "initiated": "queued", "ringing": "sending", "in-progress": "sent", "completed": "delivered", "busy": "undelivered",
     "no-answer": "undelivered", "failed": "undelivered", "canceled": "canceled"}
)  # fmt: skip
_DIGITS = "〇一二三四五六七八九"
_KEYS = "接手按1，去不了按2，已到场按3，求援按4，现场无险情按5，重听按9。"
_SHORT_KEYS = "接手按1，去不了按2，重听按9。"
_LOOK_KEYS = "平安按1，有情况按2，重听按9。"
_NEWS_KEYS = "重听按9。"
_KEYS_OF: Mapping[str, str] = MappingProxyType({"look": _LOOK_KEYS, "progress": _KEYS, "taken": _NEWS_KEYS, "cleared": _NEWS_KEYS})
_FIRE = "本系统是辅助值守，火灾报警以消防控制室和119为准。"
_DRILL = "这是演练，不要拨打119。"


def status_word(status: str) -> str:
    """The provider's word for a call as one of receipts.RANK."""
    return _STATUS.get(status, status)


def spoken(text: str, number: str, *, reason: str = "raised", drill: bool = False) -> str:
    """What is read out: the registered text without brackets, times and the number in words that are heard rightly, and the keys."""
    body = text.removeprefix("【档案值守】").removesuffix(f"编号{number}").replace("回1接手2转交", "")
    body = re.sub(r"(\d{1,2}):(\d\d)", lambda m: f"{int(m[1])}点{m[2]}分", body).replace("：", "。", 1)
    said = "".join(_DIGITS[int(digit)] for digit in number)
    words = f"档案值守{body}编号{said[:3]}，{said[3:]}。{_KEYS_OF.get(reason, _SHORT_KEYS)}{_FIRE}"
    return f"{_DRILL}{words}{_DRILL}" if drill else words


def twiml(words: str, action: str = "") -> str:
    """The call as TwiML: read twice; with an address for the digits, each reading waits for one key."""
    response = VoiceResponse()
    for _ in range(2):
        if action:
            gather = Gather(num_digits=1, action=action, method="POST", timeout=5, action_on_empty_result=False)
            gather.say(words, language=LANGUAGE)
            response.append(gather)
        else:
            response.say(words, language=LANGUAGE)
            response.pause(length=1)
    return str(response)


class TwilioVoice:
    """The channel. `public_url` is our address as the provider reaches it; without it nothing is gathered and receipts are polled."""

    name = "twilio_voice"
    abilities = Abilities(lookup=True, receipts=True, way="voice", tells_apart=False)

    def __init__(self, settings: ChannelSettings) -> None:
        if not (settings.account_sid and settings.token and settings.sender):
            raise ValueError("the Twilio voice channel needs account_sid, a token and a sender")
        self._http = transport(settings.base_url, settings.timeout_s, settings.networks)
        self._client = Client(settings.account_sid, settings.token, http_client=self._http)
        self._calls = self._client.calls  # loads what the first alarm would wait for
        self._sender, self._public = settings.sender, settings.public_url.rstrip("/")

    def send(self, message: Message) -> Receipt:
        """One POST, no retry. Raises ChannelError."""
        options: dict[str, Any] = {}
        action = ""
        if self._public:
            action = f"{self._public}/callbacks/voice/{message.id}"
            options = {
                "status_callback": f"{self._public}/callbacks/voice/status", "status_callback_event": ["completed"],
                "status_callback_method": "POST",
            }  # fmt: skip
        words = spoken(message.text, message.number, reason=message.reason, drill=message.drill)
        try:
            made = self._calls.create(to=message.phone, from_=self._sender, twiml=twiml(words, action), timeout=40, **options)
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error
        if not made.sid:
            raise ChannelError("语音平台没有给出编号", Failure.AMBIGUOUS)
        return Receipt(str(made.sid), status_word(str(made.status)))

    def lookup(self, message: Message) -> Receipt | None:
        """The newest call to this phone since the message that nobody else has. Raises ChannelError."""
        since = datetime.fromtimestamp((message.since - SKEW_MS) / 1000, UTC)
        try:
            listed = self._calls.list(to=message.phone, limit=50, page_size=50)
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error
        for call in listed:
            fresh = call.date_created is None or call.date_created >= since
            if fresh and call.sid not in message.known and str(call.direction).startswith("outbound"):
                return Receipt(str(call.sid), status_word(str(call.status)))
        return None

    def fetch(self, provider_id: str) -> Receipt:
        """What became of a call. Raises ChannelError."""
        try:
            return Receipt(provider_id, status_word(str(self._client.calls(provider_id).fetch().status)))
        except (TwilioException, broken.RequestException, ValueError) as error:
            raise failure(error) from error

    def close(self) -> None:
        """Release connections."""
        self._http.close()


def make(settings: ChannelSettings) -> TwilioVoice:
    """From the settings. Raises ValueError when account, token or sender is missing."""
    return TwilioVoice(settings)
