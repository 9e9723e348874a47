"""The live board of rooms, worst first."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from alarms.grouping import stands_alone
from alarms.model import Level
from server.live.board import STATES, RoomTile
from server.live.facts import AlarmFact
from server.store import alarms, drills, units
from server.store.tables import Alarm, Unit
from server.web.auth import Principal, ServicesOf, principal, require_unit
from server.web.pages.common import ScreensOf
from server.web.pages.first_shift import missing
from server.web.pages.rows import WAITING
from server.web.problems import NO_ACTION, ProblemError
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()

PER_PAGE = 60
GROUPS = (*STATES, "unconnected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What the address asks for."""

    state: str
    unit: str
    text: str
    page: int

    def keeps(self, tile: RoomTile) -> bool:
        """Whether a room is shown."""
        words = f"{tile.fact.name} {tile.fact.unit_name} {tile.fact.short_name} {tile.code}".lower()
        return (not self.state or tile.group == self.state) and self.text.lower() in words


def wanted(
    state: Annotated[str, Query()] = "",
    unit: Annotated[str, Query(max_length=12)] = "",
    q: Annotated[str, Query(max_length=40)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Filter:
    """Dependency: the filter. An unknown state shows all."""
    return Filter(state=state if state in GROUPS else "", unit=unit, text=q.strip(), page=page)


@router.get("/")
def board(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Annotated[Principal, Depends(principal)],
    chosen: Annotated[Filter, Depends(wanted)],
    part: str = "",
) -> Response:
    """The board, or with part=grid only what changes."""
    if not who.may(Action.VIEW):
        if who.may(Action.AUDIT):
            return RedirectResponse("/audit", 303)
        raise ProblemError(403, NO_ACTION)
    now = services.clock()
    with services.db.read() as session:
        if chosen.unit:
            require_unit(session, who, chosen.unit)
        top = chosen.unit or who.unit
        children: list[Unit] = list(units.children(session, top)) if top else []
        tiles = services.board.overview(now, top)
        flood = services.board.flood(top)
        shown = sorted(filter(chosen.keeps, tiles), key=lambda tile: (flood is not None and not _alone(tile), *_order(tile)))
        groups = services.board.groups(top)
        names = units.names(session, sorted({one.unit for one, _ in groups}))
        first = (chosen.page - 1) * PER_PAGE
        on_page = [tile for one in shown[first : first + PER_PAGE] if (tile := services.board.room(one.code, now)) is not None]
        check = drills.open_check(session, who.unit) if who.may(Action.HANDLE) else None
        past = alarms.latest_by_room(session, [tile.code for tile in on_page if tile.worst is None])
    instants = [view.at for tile in tiles for view in tile.points if view.at is not None]
    return screens.page(
        request,
        "_grid.html" if part == "grid" else "board.html",
        who=who,
        unready=part != "grid" and missing(services, who),
        tiles=on_page,
        check=check,
        flood=flood,
        grouped=[(one, rooms, services.board.visible(one.unit, who.unit), names.get(one.unit, one.unit)) for one, rooms in groups],
        past=_closed(past),
        counts=Counter(tile.group for tile in tiles),
        watched=sum(not tile.missing for tile in tiles if tile.group != "unconnected"),
        blind=sum(tile.missing == tile.fact.demanded for tile in tiles if tile.group != "unconnected"),
        manual=sum(tile.cause == "manual" for tile in tiles),
        connected=sum(tile.group != "unconnected" for tile in tiles),
        total=len(tiles),
        found=len(shown),
        pages=max(1, -(-len(shown) // PER_PAGE)),
        waiting=_waiting(services.board.alarms(top)),
        latest=max(instants, default=None),
        children=children,
        chosen=chosen,
        groups=GROUPS,
    )


def _alone(tile: RoomTile) -> bool:
    """Whether smoke, fast heat, a leak or an intruder is what the room's alarms are about: on top in a flood."""
    return any(not one.drill and (one.kind == "lost" or stands_alone(one.rule, one.kind, one.quantity, Level.of(one.level))) for one in tile.alarms)


def _waiting(found: list[AlarmFact]) -> int:
    """How many wait to be taken over, counted as the list of alarms does: a group alarm speaks for its members."""
    shown = {alarm.alarm_id for alarm in found}
    return sum(alarm.state in WAITING and alarm.group not in shown for alarm in found)


def _order(tile: RoomTile) -> tuple[int, bool, int, str, str]:
    """Worst first; of equals those that wait for somebody, then the newest alarm, then by name."""
    worst = tile.worst
    return (
        GROUPS.index(tile.group),
        not any(alarm.state in WAITING for alarm in tile.alarms),
        -(worst.raised_at if worst else 0),
        tile.fact.unit_name,
        tile.code,
    )


def _closed(found: dict[str, Alarm]) -> dict[str, Alarm]:
    return {room: alarm for room, alarm in found.items() if alarm.closed_at is not None}
