"""Down to the gateways: rows of gateway_command become NCMD messages. Everybody else only inserts rows; a row has an expiry.

NCMD travels at QoS 0 and may be lost: what matters is judged by its effect (a birth with the new rules version), not by having been sent. A write,
and an order to the siren, is sent again until its outcome comes back in the gateway's logbook; the gateway knows it by its id and obeys once.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from contract.batch import rebirth_command, rules_command, write_command
from contract.drill import DrillOrder, drill_command
from contract.siren import SoundOrder, sound_command
from contract.sparkplug import Payload, encode
from contract.topics import Kind, Topic
from server.store import audit
from server.store.gateway_events import ANSWERED
from server.store.session import Database
from server.store.tables import Gateway, GatewayCommand

log = logging.getLogger("server.ingest.downlink")

PENDING, SENT, EXPIRED, UNKNOWN = "pending", "sent", "expired", "unknown"

_KINDS: Mapping[str, Callable[[Mapping[str, Any], int], Payload]] = {
    "rebirth": lambda _body, now: rebirth_command(now),
    "rules": lambda body, now: rules_command(str(body["rules"]), now),
    "drill": lambda body, now: drill_command(DrillOrder(**body), now),
    "siren": lambda body, now: sound_command(SoundOrder(int(body["id"]), int(body["seconds"]), int(body["expires_at"])), now),
    "write": lambda body, now: write_command(json.dumps(body, ensure_ascii=False), now),
}
_RESEND_MS: Final = 5_000
_GRACE_MS: Final = 60_000  # an outcome may still come after the order ran out: the gateway tells an expired order as refused


class Downlink:
    """Drains gateway_command. `send(topic, payload)` publishes."""

    def __init__(self, db: Database, send: Callable[[str, bytes], None]) -> None:
        self._db, self._send = db, send
        self._sent: dict[int, int] = {}  # writes without an outcome: id -> when they were sent last

    def run_once(self, now: int) -> int:
        """Send what is pending; returns how many messages left."""
        wanted = or_(GatewayCommand.state == PENDING, and_(GatewayCommand.state == SENT, GatewayCommand.kind.in_(ANSWERED)))
        with self._db.read() as session:
            if not [ident for ident in session.scalars(select(GatewayCommand.id).where(wanted).limit(100)) if self._due(ident, now)]:
                return 0
        sent = 0
        with self._db.write() as session:
            for command in session.scalars(select(GatewayCommand).where(wanted).order_by(GatewayCommand.id).limit(100)):
                if not self._due(command.id, now):
                    continue
                gateway = session.get(Gateway, command.gateway)
                if command.expires_at + (_GRACE_MS if command.state == SENT else 0) <= now:
                    self._expire(session, command, now)
                elif gateway is None or command.kind not in _KINDS:
                    command.state = UNKNOWN
                    log.warning("gateway command %s (%s) names something unknown", command.id, command.kind)
                elif gateway.online:
                    self._send(str(Topic(gateway.group_id, Kind.NCMD, gateway.code)), encode(_KINDS[command.kind](command.body, now)))
                    command.state = SENT
                    self._sent[command.id] = now
                    sent += 1
        return sent

    def _due(self, ident: int, now: int) -> bool:
        return now - self._sent.get(ident, 0) >= _RESEND_MS

    def _expire(self, session: Session, command: GatewayCommand, now: int) -> None:
        command.state = EXPIRED
        self._sent.pop(command.id, None)
        if command.kind == "write":
            audit.append(session, "server", "write.expired", f"{command.gateway}/{command.body.get('device', '')}", {"order": command.id}, now)

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
