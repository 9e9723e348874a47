"""The rules of a gateway's own watch: what of the rules in force concerns its rooms is sent to it when it says that it has others.

A gateway watches by them while nobody at the centre can, so a limit that was tightened here must hold there too. It takes them over, keeps them and
is born anew, which tells the version that it has.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.local import LocalRules
from alarms.rules import RuleSet, default_rules
from server.store import gateways
from server.store.session import Database
from server.store.tables import Gateway, GatewayCommand
from server.store.tables_gateway import GatewayEvent

log = logging.getLogger("server.org.gateway_rules")

KIND: Final = "rules"
AGAIN_MS: Final = 10 * 60_000
"""A gateway that does not take what it was sent (its disk is full, it is an old one) is sent it again after so long."""
PATIENCE_MS: Final = 2 * 60_000
"""For taking them, before it is said that they were not."""
AT_ONCE: Final = 50
"""Gateways in one pass: each is born anew."""


class GatewayRules:
    """`current()` gives the rules in force."""

    def __init__(self, db: Database, current: Callable[[], RuleSet]) -> None:
        self._db, self._current = db, current
        self._shipped, self._local = LocalRules(default_rules()), LocalRules(default_rules())

    def run_once(self, now: int) -> int:
        """Send the rules to gateways that have others. Returns to how many."""
        rules, wanting = self._current(), dict[str, RuleSet]()
        if rules.version != self._local.version:
            self._local = LocalRules(rules)
        with self._db.read() as session:
            tree = session.info["tree"]
            for code, version, rooms in gateways.own_watches(session, KIND, now):
                places = {room: tree.path(unit) for room, unit in rooms}
                wanted = self._local.of(places)
                # One that was never sent any has those of the product whole.
                shipped = version == self._shipped.version and wanted.version == self._shipped.of(places).version
                if version != wanted.version and not shipped and len(wanting) < AT_ONCE:
                    wanting[code] = wanted
        if wanting:
            with self._db.write() as session:
                for code, wanted in wanting.items():
                    _order(session, code, wanted, now)
            log.info("%d gateways are sent the rules of their own watch", len(wanting))
        return len(wanting)


def _order(session: Session, gateway: str, rules: RuleSet, now: int) -> None:
    """Have a gateway sent these rules. The same ones again are the same order, so that it tells since when they are wanted, and a gateway that never
    takes them does not fill the database; older ones are over.
    """
    rows = session.scalars(select(GatewayCommand).where(GatewayCommand.gateway == gateway, GatewayCommand.kind == KIND)).all()
    same = next((row for row in rows if row.body.get("version") == rules.version), None)
    for row in rows:
        if row is not same:
            session.delete(row)
    if same is None:
        same = GatewayCommand(gateway=gateway, kind=KIND, body={"rules": rules.canonical(), "version": rules.version}, created_at=now)
        session.add(same)
    same.state, same.expires_at = "pending", now + AGAIN_MS


def not_taken(session: Session, codes: Sequence[str], now: int) -> dict[str, tuple[int, str]]:
    """Of those of `codes` that are there and have not taken the rules they were sent: since when, and why as they say themselves ('' where an old
    one says nothing).
    """
    sent = select(GatewayCommand, Gateway.rules_version).join(Gateway, Gateway.code == GatewayCommand.gateway)
    sent = sent.where(GatewayCommand.gateway.in_(codes), GatewayCommand.kind == KIND, GatewayCommand.created_at < now - PATIENCE_MS, Gateway.online)
    found = {row.gateway: (row.created_at, "") for row, version in session.execute(sent) if row.body.get("version", version) != version}
    told = select(GatewayEvent).where(GatewayEvent.gateway.in_(found), GatewayEvent.kind == "rules_refused").order_by(GatewayEvent.id)
    for event in session.scalars(told):
        since, _ = found[event.gateway]
        if event.received_at >= since:
            found[event.gateway] = (since, str(event.detail.get("reason", "")))
    return found
