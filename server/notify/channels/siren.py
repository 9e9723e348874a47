"""A siren: it sounds for an alarm, stops when somebody has taken over or it is over, and tries itself for a moment in a drill.

Behind an HTTP relay each of them is one POST with `seconds`, 0 = stop. Behind a gateway (option `gateway`: its code) it is an order to the relay that
the gateway's `guard.siren` names; the gateway keeps the time, reads the relay back and tells the outcome. Options: `seconds` (30).
"""

import json
from typing import Final

from sqlalchemy import select

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, OneWay, Receipt
from server.notify.channels.posting import post
from server.store.session import Database
from server.store.tables import Gateway, GatewayCommand

DRILL_S: Final = 2
_EXPIRES_MS: Final = 60_000
_RECEIPT: Final = {"done": "delivered", "refused": "failed", "failed": "failed", "unknown": "undelivered", "expired": "undelivered"}
"""State of a gateway's command -> receipt; what is not settled yet is on its way."""


def _seconds(message: Message, full: int) -> int | None:
    """How long it shall sound, 0 = stop, None = as it is: the news of a drill silence nobody's real alarm."""
    if message.reason in ("taken", "cleared"):
        return None if message.drill else 0
    return DRILL_S if message.drill else full


class Siren(OneWay):
    """Behind an HTTP relay."""

    def __init__(self, settings: ChannelSettings) -> None:
        if not settings.base_url:
            raise ValueError("the siren needs base_url of its relay, or options.gateway")
        self.name, self._url, self._timeout = settings.name or "siren", settings.base_url, settings.timeout_s
        self._token, self._full, self._networks = settings.token, int(settings.options.get("seconds", "30")), settings.networks
        self.abilities = Abilities(way="group", sounds_s=self._full)

    def send(self, message: Message) -> Receipt:
        """Sound or stop. Raises ChannelError."""
        seconds = _seconds(message, self._full)
        if seconds is not None:
            body = json.dumps({"id": message.id, "seconds": seconds, "level": message.level}).encode()
            headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
            post(self._url, body, headers, self._timeout, "警号", self._networks)
        return Receipt(f"{self.name}-{message.id}", "delivered")


class GatewaySiren:
    """Behind a gateway, as a row of its commands; the outcome in that row is the receipt."""

    def __init__(self, settings: ChannelSettings, db: Database) -> None:
        self.name, self._db, self._gateway = settings.name or "siren", db, settings.options["gateway"]
        self._full = int(settings.options.get("seconds", "30"))
        self.abilities = Abilities(lookup=True, receipts=True, way="group", sounds_s=self._full)

    def send(self, message: Message) -> Receipt:
        """Order it. Raises ChannelError where the gateway cannot be reached."""
        seconds = _seconds(message, self._full)
        if seconds is None:
            return Receipt(f"{self.name}-{message.id}", "delivered")
        with self._db.write() as session:
            gateway = session.get(Gateway, self._gateway)
            if gateway is None or not gateway.online:
                raise ChannelError(f"网关 {self._gateway} {'不存在' if gateway is None else '离线'}，警号叫不响", Failure.RETRY)
            expires_at = message.now + _EXPIRES_MS
            order = GatewayCommand(gateway=gateway.code, kind="siren", created_at=message.now, expires_at=expires_at)
            session.add(order)
            session.flush()
            order.body = {"id": order.id, "seconds": seconds, "expires_at": expires_at, "message": message.id}
            return Receipt(self._provider_id(order), "queued")

    def lookup(self, message: Message) -> Receipt | None:
        """The order of a message, if there is one."""
        query = select(GatewayCommand).where(GatewayCommand.gateway == self._gateway, GatewayCommand.kind == "siren")
        with self._db.read() as session:
            orders = session.scalars(query.where(GatewayCommand.created_at >= message.since)).all()
            found = next((order for order in orders if order.body.get("message") == message.id), None)
            return None if found is None else self._receipt(found)

    def fetch(self, provider_id: str) -> Receipt:
        """What became of an order. Raises ChannelError for one that is not ours."""
        ident = provider_id.rpartition("-")[2]
        with self._db.read() as session:
            order = session.get(GatewayCommand, int(ident)) if ident.isdecimal() else None
            if order is None or order.kind != "siren":
                raise ChannelError("没有这条警号指令", Failure.PERMANENT)
            return self._receipt(order)

    def close(self) -> None:
        """Nothing is held open between two messages."""

    def _provider_id(self, order: GatewayCommand) -> str:
        return f"{self.name}-order-{order.id}"

    def _receipt(self, order: GatewayCommand) -> Receipt:
        return Receipt(self._provider_id(order), _RECEIPT.get(order.state, "sending"))


def make(settings: ChannelSettings) -> Siren | GatewaySiren:
    """From the settings. Raises ValueError."""
    if "gateway" not in settings.options:
        return Siren(settings)
    if settings.db is None:
        raise ValueError("the siren of a gateway needs our own tables")
    return GatewaySiren(settings, settings.db)
