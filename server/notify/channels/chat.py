"""A group chat (WeCom 企业微信, DingTalk 钉钉, Feishu 飞书 and whatever else Apprise speaks): beside the texts, never instead of them.

`token` is the Apprise address (wecombot://…, dingtalk://…, feishu://…), which is a secret. `base_url` replaces the scheme and host of the service,
for a relay in a sealed network or a simulated endpoint. Apprise says only yes or no, so a failure leaves us in doubt.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

import apprise

from server import net_guard
from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, OneWay, Receipt

logging.getLogger("apprise").setLevel(logging.ERROR)

_ANYWHERE_ELSE = ("json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises", "apprs", "mailto", "mailtos", "file", "syslog")


class Chat(OneWay):
    """The channel."""

    abilities = Abilities(lookup=False, receipts=False, way="group")

    def __init__(self, settings: ChannelSettings) -> None:
        self.name = settings.name or "chat"
        plugin: Any = apprise.Apprise.instantiate(settings.token) if settings.token else None
        if not isinstance(plugin, apprise.NotifyBase):
            raise ValueError("the chat channel needs an Apprise address as its token")  # noqa: TRY004 - a setting, not a type
        if urlsplit(settings.token).scheme in _ANYWHERE_ELSE:
            raise ValueError("an address of one's own choice belongs to the webhook channel, where it is judged")
        there = urlsplit(settings.base_url or "")
        for address in ("notify_url", "api_url") if settings.base_url else ():
            if hasattr(plugin, address):
                setattr(plugin, address, urlsplit(getattr(plugin, address))._replace(scheme=there.scheme, netloc=there.netloc).geturl())
        # One request per message; the outbox retries by itself, and its cap is what keeps a chat quiet: Apprise would sleep seconds between two.
        plugin.request_rate_per_sec = 0
        plugin.socket_connect_timeout = plugin.socket_read_timeout = settings.timeout_s
        self._plugin, self._relay, self._networks = plugin, settings.base_url, settings.networks

    def send(self, message: Message) -> Receipt:
        """Post the text. Raises ChannelError."""
        try:
            if self._relay:
                net_guard.configured(self._relay, self._networks)
            accepted = self._plugin.send(body=message.text, title="")
        except net_guard.ForbiddenTargetError as error:
            raise ChannelError(f"群消息的地址不可用：{error}", Failure.RETRY) from error
        except (TypeError, ValueError) as error:
            raise ChannelError("群消息地址有误", Failure.PERMANENT) from error
        if not accepted:
            raise ChannelError("群消息没有被接收", Failure.AMBIGUOUS)
        return Receipt(f"{self.name}-{message.id}", "delivered")


def make(settings: ChannelSettings) -> Chat:
    """From the settings. Raises ValueError."""
    return Chat(settings)
