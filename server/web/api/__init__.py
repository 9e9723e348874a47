"""The HTTP interface for programs, `/api/v1`: each module holds the routes of one noun."""

from fastapi import APIRouter

from server.web import stream
from server.web.api import (
    alarms,
    annotations,
    control,
    coverage,
    history,
    imports,
    incidents,
    maintenance,
    organisation,
    people,
    records,
    rooms,
    session,
    sheets,
    snapshots,
    units,
)

PREFIX = "/api/v1"


def router() -> APIRouter:
    """All routes under the prefix."""
    whole = APIRouter(prefix=PREFIX)
    for module in (session, units, rooms, history, annotations, maintenance, alarms, incidents, coverage, records, control, snapshots, stream):
        whole.include_router(module.router)
    for module in (organisation, imports, people, sheets):
        whole.include_router(module.router)
    return whole
