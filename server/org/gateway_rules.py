"""The rules of a gateway's own watch: what of the rules in force concerns its rooms is sent to it when it says that it has others.

A gateway watches by them while nobody at the centre can, so a limit that was tightened here must hold there too. It takes them over, keeps them and
is born anew, which tells the version that it has.
"""

import logging
from collections.abc import Callable
from typing import Final

from alarms.local import LocalRules
from alarms.rules import RuleSet, default_rules
from server.store import gateways
from server.store.session import Database
from server.store.tables import GatewayCommand

log = logging.getLogger("server.org.gateway_rules")

KIND: Final = "rules"
AGAIN_MS: Final = 10 * 60_000
"""A gateway that does not take what it was sent (its disk is full, it is an old one) is sent it again after so long."""
AT_ONCE: Final = 50
"""Gateways in one pass: each is born anew."""


class GatewayRules:
    """`current()` gives the rules in force."""

    def __init__(self, db: Database, current: Callable[[], RuleSet]) -> None:
        self._db, self._current = db, current
        self._shipped, self._local = LocalRules(default_rules()), LocalRules(default_rules())

    def run_once(self, now: int) -> int:
        """Send the rules to gateways that have others. Returns to how many."""
        rules, orders = self._current(), list[GatewayCommand]()
        if rules.version != self._local.version:
            self._local = LocalRules(rules)
        with self._db.read() as session:
            tree = session.info["tree"]
            for code, version, rooms in gateways.own_watches(session, KIND, now - AGAIN_MS):
                places = {room: tree.path(unit) for room, unit in rooms}
                wanted = self._local.of(places)
                # One that was never sent any has those of the product whole.
                shipped = version == self._shipped.version and wanted.version == self._shipped.of(places).version
                if version != wanted.version and not shipped:
                    body = {"rules": wanted.canonical()}
                    orders.append(GatewayCommand(gateway=code, kind=KIND, body=body, created_at=now, expires_at=now + AGAIN_MS))
        del orders[AT_ONCE:]
        if orders:
            with self._db.write() as session:
                session.add_all(orders)
            log.info("%d gateways are sent the rules of their own watch", len(orders))
        return len(orders)
