"""A webhook: one CloudEvent 1.0 (structured JSON) per message, signed as Standard Webhooks say (webhook-id, -timestamp, -signature).

The id of the event is the notification's, so that a receiver drops what it has seen.
"""

import json
from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

from server.notify.channels import Abilities, ChannelSettings, Message, OneWay, Receipt
from server.notify.channels.posting import post

TYPE = "cn.archivewatch.notification"


class Webhook(OneWay):
    """The channel. `token` is the shared secret (whsec_… or base64); without it nothing is signed."""

    abilities = Abilities(lookup=False, receipts=False, way="group")

    def __init__(self, settings: ChannelSettings) -> None:
        if not settings.base_url:
            raise ValueError("the webhook needs base_url")
        self.name, self._url, self._timeout = settings.name or "webhook", settings.base_url, settings.timeout_s
        self._networks = settings.networks
        self._signer = Signer(settings.token) if settings.token else None
        self._source = settings.options.get("source", "/archivewatch")

    def send(self, message: Message) -> Receipt:
        """One POST. Raises ChannelError."""
        body = json.dumps(self._event(message), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", **self._signed(message, body)}
        post(self._url, body, headers, self._timeout, "推送接收方", self._networks)
        return Receipt(f"{self.name}-{message.id}", "delivered")

    def _event(self, message: Message) -> dict[str, object]:
        return {
            "specversion": "1.0",
            "id": f"notification-{message.id}",
            "source": self._source,
            "type": f"{TYPE}.{message.reason or 'raised'}",
            "time": datetime.fromtimestamp(message.since / 1000, UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"number": message.number, "text": message.text, "level": message.level, "drill": message.drill},
        }

    def _signed(self, message: Message, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        headers = {"webhook-id": f"notification-{message.id}", "webhook-timestamp": str(int(now.timestamp()))}
        if self._signer is not None:
            headers["webhook-signature"] = self._signer.sign(headers["webhook-id"], now, body.decode())
        return headers


def make(settings: ChannelSettings) -> Webhook:
    """From the settings. Raises ValueError."""
    return Webhook(settings)
