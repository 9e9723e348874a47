"""Down to the gateways: rows of gateway_command become NCMD messages. Everybody else only inserts rows; a row has an expiry.

NCMD travels at QoS 0 and may be lost: what matters is judged by its effect (a birth with the new rules version), not by having been sent.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from contract.batch import rebirth_command, rules_command
from contract.sparkplug import Payload, encode
from contract.topics import Kind, Topic
from server.store.session import Database
from server.store.tables import Gateway, GatewayCommand

log = logging.getLogger("server.ingest.downlink")

PENDING, SENT, EXPIRED, UNKNOWN = "pending", "sent", "expired", "unknown"

_KINDS: Mapping[str, Callable[[Mapping[str, Any], int], Payload]] = {
    "rebirth": lambda _body, now: rebirth_command(now),
    "rules": lambda body, now: rules_command(str(body["rules"]), now),
}


class Downlink:
    """Drains gateway_command. `send(topic, payload)` publishes."""

    def __init__(self, db: Database, send: Callable[[str, bytes], None]) -> None:
        self._db, self._send = db, send

    def run_once(self, now: int) -> int:
        """Send what is pending; returns how many messages left."""
        with self._db.read() as session:
            if session.scalar(select(GatewayCommand.id).where(GatewayCommand.state == PENDING).limit(1)) is None:
                return 0
        sent = 0
        with self._db.write() as session:
            for command in session.scalars(select(GatewayCommand).where(GatewayCommand.state == PENDING).order_by(GatewayCommand.id).limit(100)):
                gateway = session.get(Gateway, command.gateway)
                if command.expires_at <= now:
                    command.state = EXPIRED
                elif gateway is None or command.kind not in _KINDS:
                    command.state = UNKNOWN
                    log.warning("gateway command %s (%s) names something unknown", command.id, command.kind)
                elif gateway.online:
                    self._send(str(Topic(gateway.group_id, Kind.NCMD, gateway.code)), encode(_KINDS[command.kind](command.body, now)))
                    command.state = SENT
                    sent += 1
        return sent

    def run(self, stop: threading.Event, clock: Callable[[], int]) -> None:
        """The downlink thread."""
        failing = False
        while not stop.wait(1):
            try:
                self.run_once(clock())
                failing = False
            except SQLAlchemyError:
                if not failing:
                    log.exception("gateway commands cannot be read; trying again")
                failing = True
