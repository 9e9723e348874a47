"""A siren behind an HTTP relay: one POST switches it on for some seconds. A drill sounds it for two.

The relay is asked to sound, never to stop: that is the button beside it. Options: `seconds` (30).
"""

import json

from server.notify.channels import Abilities, ChannelSettings, Message, OneWay, Receipt
from server.notify.channels.posting import post

DRILL_S = 2


class Siren(OneWay):
    """The channel."""

    abilities = Abilities(lookup=False, receipts=False, way="group")

    def __init__(self, settings: ChannelSettings) -> None:
        if not settings.base_url:
            raise ValueError("the siren needs base_url of its relay")
        self.name, self._url, self._timeout = settings.name or "siren", settings.base_url, settings.timeout_s
        self._token, self._seconds = settings.token, int(settings.options.get("seconds", "30"))

    def send(self, message: Message) -> Receipt:
        """Sound. News (taken over, recovered) makes no noise. Raises ChannelError."""
        if message.reason in ("taken", "cleared"):
            return Receipt(f"{self.name}-{message.id}", "delivered")
        body = json.dumps({"id": message.id, "seconds": DRILL_S if message.drill else self._seconds, "level": message.level}).encode()
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        post(self._url, body, headers, self._timeout, "警号")
        return Receipt(f"{self.name}-{message.id}", "delivered")


def make(settings: ChannelSettings) -> Siren:
    """From the settings. Raises ValueError."""
    return Siren(settings)
