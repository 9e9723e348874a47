"""应急授权 (break-glass): for some hours an account works with another role's rights, because nobody who holds that role can be reached.

One administrator asks, another grants with his own password; a notice and an urgent alarm stand as long as it lasts, everything is audited, and it
ends by itself. It replaces the account's own role: nobody holds two, and no role is above the others.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from server.org import notice_words, notices
from server.org.checks import CheckError
from server.store import audit
from server.store.tables import Account
from server.store.tables_org import EmergencyAccess

RULE: Final = "emergency_access"
KIND: Final = "emergency"
ROLES: Final = {"duty": "值班员", "in_charge": "库房责任人", "system": "系统管理员", "security": "安全管理员"}
LONGEST_H: Final = 8
ASKED_FOR_MS: Final = 3_600_000
"""How long a request waits to be granted."""


def ask(session: Session, account: Account, *, role: str, reason: str, now: int) -> EmergencyAccess:
    """Ask for a role at the account's own unit, in the caller's write transaction. Raises CheckError."""
    if role not in ROLES or role == account.role:
        raise CheckError("不能申请这个角色")
    if not reason.strip():
        raise CheckError("请写明原因")
    if any(row.account == account.id for row in standing(session, now)):
        raise CheckError("已有一份申请或授权")
    row = EmergencyAccess(account=account.id, role=role, unit=account.unit, reason=reason.strip()[:200], asked_at=now)
    session.add(row)
    session.flush()
    audit.append(session, account.login, "emergency_ask", f"emergency:{row.id}", {"role": role}, now, unit=row.unit, reason=row.reason)
    return row


def grant(session: Session, row: EmergencyAccess, by: Account, *, hours: int, now: int) -> None:
    """Grant a request. Raises CheckError for one's own, one that is over, and more than LONGEST_H hours."""
    asker = session.get_one(Account, row.account)
    if row.granted_at is not None or row.ended_at is not None or now - row.asked_at > ASKED_FOR_MS:
        raise CheckError("这份申请已经办过或过期")
    if by.id == asker.id or (by.person is not None and by.person == asker.person):
        raise CheckError("不能批准自己的申请，须另一人批准")
    if not 1 <= hours <= LONGEST_H:
        raise CheckError(f"时限为 1 至 {LONGEST_H} 小时")
    row.granted_by, row.granted_at, row.until = by.id, now, now + hours * 3_600_000
    said = {"name": asker.display_name, "role": ROLES[row.role], "hours": hours, "by": by.display_name, "reason": row.reason}
    sentence = notice_words.EMERGENCY % said
    notices.put_up(session, key=_key(row), kind=KIND, level="urgent", unit=row.unit, subject=f"emergency:{row.id}", sentence=sentence, now=now)
    detail = {"account": asker.login, "role": row.role, "hours": hours}
    audit.append(session, by.login, "emergency_grant", f"emergency:{row.id}", detail, now, unit=row.unit, reason=row.reason)


def end(session: Session, row: EmergencyAccess, *, by: str, now: int) -> None:
    """End a request or a grant now; whoever asked or granted may, or any administrator of the unit. Again does nothing."""
    if row.ended_at is None:
        row.ended_at = now
        notices.take_down(session, _key(row), now)
        audit.append(session, by, "emergency_end", f"emergency:{row.id}", {"role": row.role}, now, unit=row.unit)


def overdue(session: Session, now: int) -> list[EmergencyAccess]:
    """What has run out and is not written as ended yet."""
    rows = session.scalars(select(EmergencyAccess).where(EmergencyAccess.ended_at.is_(None))).all()
    return [row for row in rows if (row.until or row.asked_at + ASKED_FOR_MS) <= now]


def expire(session: Session, now: int) -> int:
    """Write the end of what has run out; the right itself ended at that instant. Returns how many."""
    found = overdue(session, now)
    for row in found:
        end(session, row, by="系统", now=now)
    return len(found)


def running(account: Any, now: Any) -> ColumnElement[bool]:
    """The condition for a grant under which an account works at this instant; both may be columns or parameters."""
    return and_(EmergencyAccess.account == account, EmergencyAccess.until > now, EmergencyAccess.ended_at.is_(None))


def standing(session: Session, now: int) -> Sequence[EmergencyAccess]:
    """Requests that wait and grants that run, oldest first."""
    rows = session.scalars(select(EmergencyAccess).where(EmergencyAccess.ended_at.is_(None)).order_by(EmergencyAccess.id)).all()
    return [row for row in rows if (row.until or row.asked_at + ASKED_FOR_MS) > now]


def _key(row: EmergencyAccess) -> str:
    return f"{KIND}:{row.id}"
