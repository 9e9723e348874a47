"""Questions about what gateways prove themselves with, and about boxes that ask to be claimed."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from server.store.tables import Gateway
from server.store.tables_gateway import GatewayCredential, GatewayEnrolment
from server.store.units import below


def admitted(session: Session) -> list[tuple[Gateway, GatewayCredential]]:
    """Claimed gateways whose credentials count, by code: those that the broker lets in."""
    query = select(Gateway, GatewayCredential).join(GatewayCredential, GatewayCredential.gateway == Gateway.code)
    query = query.where(GatewayCredential.revoked_at.is_(None), Gateway.unit.is_not(None)).order_by(Gateway.code)
    return [(gateway, credential) for gateway, credential in session.execute(query)]


def of_token(session: Session, digest: str) -> str | None:
    """Code of the gateway whose HTTP key has this digest, None for a strange or revoked one."""
    return session.scalar(select(GatewayCredential.gateway).where(GatewayCredential.token == digest, GatewayCredential.revoked_at.is_(None)))


def states(session: Session, codes: Sequence[str]) -> dict[str, GatewayCredential]:
    """Credentials of these gateways."""
    return {row.gateway: row for row in session.scalars(select(GatewayCredential).where(GatewayCredential.gateway.in_(codes)))}


def enrolment(session: Session, public_key: str) -> GatewayEnrolment | None:
    """What a box with this key has asked."""
    return session.scalar(select(GatewayEnrolment).where(GatewayEnrolment.public_key == public_key))


def waiting(session: Session, *, code: str = "", since: int = 0) -> Sequence[GatewayEnrolment]:
    """Boxes that nobody has claimed, newest first; those seen since an instant (UTC ms), and with `code` those that show it."""
    query = select(GatewayEnrolment).where(GatewayEnrolment.claimed_at.is_(None), GatewayEnrolment.last_seen_at >= since)
    return session.scalars((query.where(GatewayEnrolment.code == code) if code else query).order_by(GatewayEnrolment.id.desc())).all()


def count_waiting(session: Session, address: str | None = None) -> int:
    """How many wait, of one network address or of all."""
    query = select(func.count()).select_from(GatewayEnrolment).where(GatewayEnrolment.claimed_at.is_(None))
    return session.scalar(query if address is None else query.where(GatewayEnrolment.address == address)) or 0


def forget(session: Session, *, unseen_since: int, claimed_before: int) -> None:
    """Drop boxes that gave up, and what was sealed for those that have had their time to collect it."""
    session.execute(delete(GatewayEnrolment).where(GatewayEnrolment.claimed_at.is_(None), GatewayEnrolment.last_seen_at < unseen_since))
    session.execute(delete(GatewayEnrolment).where(GatewayEnrolment.claimed_at < claimed_before))


def codes_like(session: Session, prefix: str) -> set[str]:
    """Codes of gateways that begin so."""
    return set(session.scalars(select(Gateway.code).where(Gateway.code.startswith(prefix, autoescape=True))))


def in_scope(session: Session, code: str, scope: str | None) -> Gateway | None:
    """A claimed gateway of a subtree."""
    return session.scalar(select(Gateway).where(Gateway.code == code, Gateway.unit.in_(below(scope))))
