"""Logbooks of gateways: kept once per id, bounded per gateway; outcomes of ordered writes reach their order and the audit log."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from contract import siren
from server.store import audit
from server.store.tables import Gateway, GatewayCommand
from server.store.tables_gateway import GatewayEvent

KEPT: Final = 5_000
"""Entries kept per gateway."""
ANSWERED: Final = ("write", "siren")
"""Kinds of commands whose outcome the gateway tells; they are sent again until it comes."""
OUTCOMES: Final = frozenset({"done", "refused", "failed", "unknown"})
_LONGEST: Final = 4_000  # characters of one entry


def take(session: Session, gateway: str, texts: Sequence[str], now: int) -> list[str]:
    """Keep entries of a claimed gateway; returns the ids that it need not repeat. What is no entry is left out: its id is unknown."""
    row = session.get(Gateway, gateway)
    if row is None or row.unit is None:
        return []
    entries = [entry for entry in map(_entry, texts) if entry is not None]
    idents = [str(entry["id"]) for entry in entries]
    query = select(GatewayEvent.ident).where(GatewayEvent.gateway == gateway, GatewayEvent.ident.in_(idents))
    known = set(session.scalars(query))
    for entry in entries:
        if entry["id"] not in known:
            known.add(str(entry["id"]))
            _keep(session, gateway, entry, now)
    _trim(session, gateway)
    return idents


def _entry(text: str) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(text) if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    ident, at, kind = entry.get("id"), entry.get("at"), entry.get("kind")
    if not (isinstance(ident, str) and isinstance(at, int) and isinstance(kind, str)):
        return None
    return entry if 0 < len(ident) <= 40 and ident.isprintable() and " " not in ident and kind.isprintable() and 0 <= at < 1 << 53 else None


def _keep(session: Session, gateway: str, entry: Mapping[str, Any], now: int) -> None:
    detail = {key: value for key, value in entry.items() if key not in ("id", "at", "kind")}
    session.add(GatewayEvent(gateway=gateway, ident=entry["id"], at=entry["at"], received_at=now, kind=entry["kind"][:24], detail=detail))
    session.flush()
    if entry["kind"] == "write":
        _outcome(session, gateway, detail, entry["at"], now)


def _outcome(session: Session, gateway: str, detail: dict[str, Any], at: int, now: int) -> None:
    """Of an ordered write, or of one that the gateway's own watch or a pulse's end made."""
    ident, outcome = siren.ordered(str(detail.get("order", ""))), str(detail.get("outcome", ""))
    command = session.get(GatewayCommand, int(ident)) if ident.isdecimal() and len(ident) < 19 else None
    if command is not None and command.gateway == gateway and command.kind in ANSWERED and outcome in OUTCOMES:
        command.state = outcome
    audit.append(session, f"gateway:{gateway}", "write.outcome", f"{gateway}/{detail.get('device', '')}", detail | {"at": at}, now)


def _trim(session: Session, gateway: str) -> None:
    newest = select(GatewayEvent.id).where(GatewayEvent.gateway == gateway).order_by(GatewayEvent.id.desc()).offset(KEPT).limit(1)
    edge = session.scalar(newest)
    if edge is not None:
        session.execute(delete(GatewayEvent).where(GatewayEvent.gateway == gateway, GatewayEvent.id <= edge))


def page(session: Session, gateway: str, *, before: int | None, limit: int) -> Sequence[GatewayEvent]:
    """Entries with an id below `before`, newest first."""
    query = select(GatewayEvent).where(GatewayEvent.gateway == gateway).order_by(GatewayEvent.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(GatewayEvent.id < before)).all()


def writes(session: Session, gateway: str, *, before: int | None, limit: int) -> Sequence[GatewayCommand]:
    """Ordered writes of a gateway, newest first."""
    query = select(GatewayCommand).where(GatewayCommand.gateway == gateway, GatewayCommand.kind == "write")
    query = query.order_by(GatewayCommand.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(GatewayCommand.id < before)).all()


def waiting(session: Session, gateway: str) -> int:
    """Ordered writes without an outcome."""
    query = select(func.count()).select_from(GatewayCommand).where(GatewayCommand.gateway == gateway, GatewayCommand.kind == "write")
    return int(session.scalar(query.where(GatewayCommand.state.in_(("held", "pending", "sent")))) or 0)
