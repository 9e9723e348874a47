"""When a gateway's line went and came, kept in its logbook by the server: what the silence of a gateway and of its points is judged by."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from server.store.tables_gateway import GatewayEvent

LOST, FLAPPING, BACK = "line_lost", "line_flapping", "line_back"
"""FLAPPING: it is here again, but has fallen so often that its alarm stands until it has held."""
_WRITE = insert(GatewayEvent.__table__)  # type: ignore[arg-type]


def row(gateway: str, kind: str, at: int, now: int) -> dict[str, Any]:
    """A row for write(): what became of a line at an instant, as known at `now`."""
    return {"gateway": gateway, "ident": f"{kind}-{at}-{now}", "at": at, "received_at": now, "kind": kind, "detail": {}}


def write(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Keep these rows."""
    if rows:
        session.connection().execute(_WRITE, rows)


def absences(session: Session, gateway: str, end: int, *, here: Sequence[str] = (BACK,)) -> Iterator[tuple[int, int]]:
    """[gone, here again) up to `end`, in order. `here`: which entries count as being here again."""
    kinds = (LOST, *here)
    entries = select(GatewayEvent.kind, GatewayEvent.at).where(GatewayEvent.gateway == gateway, GatewayEvent.kind.in_(kinds), GatewayEvent.at < end)
    gone: int | None = None
    for kind, at in session.execute(entries.order_by(GatewayEvent.at, GatewayEvent.id)):
        if kind == LOST:
            gone = at if gone is None else gone
        elif gone is not None:
            yield gone, at
            gone = None
    if gone is not None:
        yield gone, end


def first_here(session: Session, gateway: str) -> int | None:
    """When a gateway that the books knew before came for the first time; None where its first entry is another."""
    query = select(GatewayEvent.kind, GatewayEvent.at).where(GatewayEvent.gateway == gateway, GatewayEvent.kind.in_((LOST, FLAPPING, BACK)))
    found = session.execute(query.order_by(GatewayEvent.at, GatewayEvent.id).limit(1)).first()
    return found[1] if found is not None and found[0] == BACK else None
