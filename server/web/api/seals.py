"""The seals of history: what stands under which digest, and whether it still does."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from server.history import seals as sealing
from server.series.partition import day_label, day_of
from server.store import seals, units
from server.web import problems
from server.web.api.common import PROBLEMS, From, To, Viewer, at, span
from server.web.api.history import DAY_MS, answering
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("history", refusals=PROBLEMS)

LONGEST_MS = 31 * DAY_MS


class SealView(BaseModel):
    """One revision of the seal of a day. `reason`: closed, late, assigned (points were added to the place), differs."""

    day: str
    revision: int
    reason: str
    samples: int
    cut: datetime = Field(description="what had arrived by then is sealed")
    sealed_at: datetime
    digest: str
    chain: str


class FindingView(BaseModel):
    """Something that is not as it was sealed. `kind`: changed, missing, added, chain, anchor; `hours` of the Shanghai day."""

    kind: str
    place: str
    day: str
    point: str
    hours: list[int]
    sentence: str


class Verification(BaseModel):
    """Whether all samples of the days are what was sealed, and all chains and anchors whole."""

    ok: bool
    days: int
    findings: list[FindingView]


@router.get("/rooms/{code}/seals", operation_id="listSeals")
def room_seals(code: str, who: Viewer, services: ServicesOf, start: From = None, end: To = None) -> list[SealView]:
    """The seals of a room's days, by default of the last 31 days."""
    require_room(services, who, code)
    now = services.clock()
    since, until = span(start, end, default=(now - 31 * DAY_MS, now), longest_ms=400 * DAY_MS)
    with services.db.read() as session:
        return [
            SealView(
                day=day_label(row.day), revision=row.revision, reason=row.reason, samples=row.samples, cut=at(row.cut), sealed_at=at(row.sealed_at),
                digest=row.digest, chain=row.chain,
            )
            for row in seals.of_place(session, code, day_of(since), day_of(until - 1))
        ]  # fmt: skip


@router.get("/audit/history", operation_id="verifyHistory", tags=["audit"])
def verify(
    who: Annotated[Principal, Depends(require(Action.AUDIT))],
    services: ServicesOf,
    start: From = None,
    end: To = None,
    most: Annotated[int, Query(ge=1, le=10_000, description="findings to name")] = 1_000,
) -> Verification:
    """Read the samples of some days (by default the last seven, at most 31) against their seals. Spans all units: for accounts of the top unit."""
    with services.db.read() as session:
        if who.unit is not None and len(units.path(session, who.unit)) != 1:
            raise ProblemError(403, problems.NO_RIGHT)
    now = services.clock()
    since, until = span(start, end, default=(now - 7 * DAY_MS, now), longest_ms=LONGEST_MS)
    first, last = day_of(since), day_of(until - 1)
    with answering():
        found = [finding for finding, _ in zip(sealing.verify(services.db, services.store, first, last), range(most), strict=False)]
    return Verification(ok=not found, days=last - first + 1, findings=[_view(finding) for finding in found])


def _view(finding: sealing.Finding) -> FindingView:
    return FindingView(
        kind=finding.kind, place=finding.place, day=finding.day, point=finding.point, hours=list(finding.hours), sentence=finding.sentence()
    )
