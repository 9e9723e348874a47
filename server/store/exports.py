"""Questions about papers and exports that were made."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables_papers import ExportJob
from server.store.units import below


def page(session: Session, scope: str | None, *, before: int | None, limit: int) -> Sequence[ExportJob]:
    """Jobs of a subtree, newest first."""
    query = select(ExportJob).where(ExportJob.unit.in_(below(scope))).order_by(ExportJob.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(ExportJob.id < before)).all()


def waiting(session: Session) -> ExportJob | None:
    """The oldest job that nobody has begun."""
    query = select(ExportJob).where(ExportJob.state == "queued").order_by(ExportJob.id).limit(1)
    return session.scalar(query)
