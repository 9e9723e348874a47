"""How long stills are kept, and what is covered in them. Every change is audited; what belongs to an incident is kept with its dossier.

A still is deleted picture first, row and audit entry after it in one transaction: a run that is cut off repeats itself, and no picture outlives
its row.
"""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from server import stills
from server.store import audit, snapshots
from server.store.session import Database
from server.store.snapshots import Area
from server.store.tables import Snapshot
from server.store.tables_stills import StillMask, StillPolicy

DEFAULT_DAYS = 90
"""Where no unit says otherwise: the longest of the general figures for video of guarded places (30 and 90 days, neither checked in the standard)."""
LONGEST_DAYS = 3650
MOST_AREAS = 12
_DAY_MS = 86_400_000
_AT_ONCE = 200


class AreaError(ValueError):
    """An area that is no part of a picture; the sentence is for the person."""


def checked(areas: Sequence[Area]) -> list[Area]:
    """Areas as they are kept, cut to the picture, to a thousandth. Raises AreaError."""
    if len(areas) > MOST_AREAS:
        raise AreaError(f"每台摄像机最多 {MOST_AREAS} 个遮挡区。")
    found = []
    for left, top, width, height in areas:
        right, bottom = min(1.0, left + width), min(1.0, top + height)
        if not (0 <= left < right and 0 <= top < bottom):
            raise AreaError("遮挡区要在画面之内，宽和高都要大于零。")
        found.append((round(left, 3), round(top, 3), round(right - left, 3), round(bottom - top, 3)))
    return found


def cover(session: Session, still: Snapshot, areas: Sequence[Area], reason: str, by: str, now: int) -> None:
    """Cover these areas in everything that the camera of `still` has taken and takes, in the caller's write transaction. Raises AreaError."""
    kept = [list(area) for area in checked(areas)]
    row = snapshots.mask(session, still.gateway, still.device)
    before = {"areas": row.areas if row is not None else []}
    session.merge(StillMask(gateway=still.gateway, device=still.device, areas=kept, reason=reason, by=by, at=now))
    camera, room = {"gateway": still.gateway, "device": still.device}, still.room or ""
    audit.append(session, by, "still_mask", f"room:{room}", camera, now, unit=room[:12], before=before, after={"areas": kept}, reason=reason)


def keep(session: Session, unit: str, days: int | None, reason: str, by: str, now: int) -> None:
    """Have a unit and those below keep stills for `days`; None: as the unit above. In the caller's write transaction."""
    row = session.get(StillPolicy, unit)
    before = {"keep_days": row.keep_days if row is not None else None}
    if days is not None:
        session.merge(StillPolicy(unit=unit, keep_days=days, reason=reason, by=by, at=now))
    elif row is not None:
        session.delete(row)
    audit.append(session, by, "still_policy", f"unit:{unit}", {}, now, unit=unit, before=before, after={"keep_days": days}, reason=reason)


def expire(db: Database, folder: Path, default: int, now: int) -> int:
    """Delete the stills whose time is over; returns how many. `folder` is the data folder, `default` the days where no unit says otherwise."""
    with db.read() as session:
        days = snapshots.days_kept(session, default)
    newest = now - min((*days.values(), default)) * _DAY_MS
    after = done = 0
    while True:
        with db.read() as session:
            batch = snapshots.old(session, newest, after, _AT_ONCE)
            over = [row for row, unit in batch if row.taken_at < now - days.get(unit or "", default) * _DAY_MS]
        for room in sorted({row.room or "" for row in over}):
            _delete(db, folder, room, [row for row in over if (row.room or "") == room], now)
        done += len(over)
        if len(batch) < _AT_ONCE:
            return done
        after = batch[-1][0].id


def _delete(db: Database, folder: Path, room: str, over: Sequence[Snapshot], now: int) -> None:
    idents, taken, digests = [row.id for row in over], [row.taken_at for row in over], sorted({row.sha256 for row in over})
    detail = {"stills": len(over), "first": min(taken), "last": max(taken), "sha256": digests}
    with db.write() as session:
        for sha256 in digests:
            if not snapshots.shared(session, sha256, idents):
                stills.remove(folder, sha256)
        session.execute(delete(Snapshot).where(Snapshot.id.in_(idents)))
        audit.append(session, "系统", "still_expire", f"room:{room}", detail, now, unit=room[:12], reason="保存期已满")
