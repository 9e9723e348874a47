"""One door for every edit of the organisation: an administrator's change is applied, a data keeper's is kept until the level above has decided.

An edit is an import of one row: the same checks, the same writing. Beside rows there are deeds (leave, disable, merge …) in deeds.py.
Every change that is applied is audited with before, after and reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import deeds, granting, rows
from server.org.checks import CheckError
from server.org.imports import KINDS, touched
from server.org.imports.plan import Context, Plan, checked
from server.org.imports.write import apply
from server.store import audit, units
from server.store.tables import Person
from server.store.tables_org import ChangeRequest

OPEN, APPROVED, REFUSED, WITHDRAWN = "open", "approved", "refused", "withdrawn"


class StaleError(ValueError):
    """A proposal whose subject has changed since it was made, or that is decided already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants changed: kind and key of a row (or of a deed's subject), the new cells as text, the reason."""

    kind: str
    key: Mapping[str, str]
    after: Mapping[str, str]
    reason: str

    @property
    def subject(self) -> str:
        """E.g. `rooms:350102000000-01`."""
        return f"{self.kind}:{'|'.join(self.key.values())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks. `unit` is the top of what he may change, None = all; `grants` lets him appoint administrators."""

    name: str
    unit: str | None
    grants: bool = False


@dataclass(slots=True, kw_only=True)
class Applied:
    """What a change did: the cells that differ, the unit that it belongs to, and codes that the watch must read again."""

    unit: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    touched: dict[str, set[str]] = field(default_factory=dict)


def change(session: Session, asked: Asked, who: Asker, now: int, *, write: bool = True) -> Applied:
    """Check a change and (with `write`) carry it out inside the caller's transaction. Raises CheckError with a sentence for the person."""
    if not asked.reason.strip():
        raise CheckError("请写明原因")
    context = Context(session=session, now=now, scope=_scope(session, who), by=who.name, grants=who.grants, why=asked.reason.strip()[:200])
    applied = deeds.DEEDS[asked.kind](context, asked.key, asked.after, write) if asked.kind in deeds.DEEDS else _row(context, asked, write)
    found = Applied(unit=applied[0], before=applied[1], after=applied[2], touched=applied[3])
    if write:
        told: dict[str, Any] = {"unit": found.unit, "before": found.before, "after": found.after, "reason": asked.reason}
        audit.append(session, who.name, f"change_{asked.kind}", asked.subject[:120], {}, now, **told)
        if asked.kind == "people":
            _accounts(session, asked.key["code"], who, now)
    return found


def _accounts(session: Session, code: str, who: Asker, now: int) -> None:
    """Roles may have ended: their accounts end with them."""
    ident = session.scalar(select(Person.id).where(Person.code == code))
    granting.align(session, now, by=who.name, persons=[] if ident is None else [ident])


def _scope(session: Session, who: Asker) -> frozenset[str] | None:
    return None if who.unit is None else frozenset(session.scalars(units.below(who.unit)))


def _row(context: Context, asked: Asked, write: bool) -> deeds.Outcome:
    kind, names = KINDS.get(asked.kind), rows.KEYS.get(asked.kind, ())
    if kind is None or set(asked.key) != set(names):
        raise CheckError(f"不认识的对象：{asked.subject}")
    known = {column.name for column in kind.columns}
    if unknown := sorted(set(asked.after) - known):
        raise CheckError(f"没有这一项：{'、'.join(unknown)}")
    current = rows.READ[asked.kind](context.session, asked.key, context.now)
    cells = dict.fromkeys(kind.required, "") | (current or {}) | dict(asked.key) | dict(asked.after)
    cells = {name: text.strip() for name, text in cells.items()}
    plan = Plan()
    kind.plan(context, list(checked(kind, [(1, cells)], plan)), plan)
    if plan.errors:
        raise CheckError("；".join(f"{f'“{error.title}”' if error.title else ''}{error.sentence}" for error in plan.errors))
    shown = {name: text for name, text in cells.items() if (current or {}).get(name, "") != text}
    if not plan.changes:
        raise CheckError("与现在一样，没有改动")
    if write:
        apply(context.session, plan.changes)
    before = {name: (current or {}).get(name, "") for name in shown} if current is not None else {}
    return plan.unit, before, shown, touched(plan.changes)


def propose(session: Session, asked: Asked, who: Asker, now: int) -> ChangeRequest:
    """Keep a change for the level above. Raises CheckError when it could not be carried out as it is."""
    found = change(session, asked, who, now, write=False)
    row = ChangeRequest(
        subject=asked.subject[:80], unit=found.unit, before=found.before, reason=asked.reason[:200], proposed_by=who.name, proposed_at=now,
        after={"kind": asked.kind, "key": dict(asked.key), "cells": found.after},
    )  # fmt: skip
    session.add(row)
    session.flush()
    told: dict[str, Any] = {"unit": found.unit, "before": found.before, "after": found.after, "reason": asked.reason}
    audit.append(session, who.name, "change_proposed", asked.subject[:120], {"request": row.id}, now, **told)
    return row


def decide(session: Session, row: ChangeRequest, who: Asker, now: int, *, approve: bool, remark: str) -> Applied | None:
    """Approve or refuse an open proposal. Raises StaleError, or CheckError when it can no longer be carried out or is the decider's own."""
    if row.state != OPEN:
        raise StaleError("这份申请已经办过了。")
    if row.proposed_by == who.name:
        raise CheckError("不能审批自己提出的申请")
    row.state, row.decided_by, row.decided_at, row.remark = (APPROVED if approve else REFUSED), who.name, now, remark[:200]
    if not approve:
        audit.append(session, who.name, "change_refused", row.subject, {"request": row.id}, now, unit=row.unit, reason=remark)
        return None
    asked = Asked(kind=row.after["kind"], key=row.after["key"], after=row.after["cells"], reason=f"{row.reason}（申请 {row.id}，{row.proposed_by}）")
    found = change(session, asked, who, now)
    if row.before and found.before != row.before:
        raise StaleError("自提出以来又有改动，请退回重提。")
    return found


def withdraw(session: Session, row: ChangeRequest, who: Asker, now: int) -> None:
    """The proposer takes it back. Raises StaleError, CheckError."""
    if row.state != OPEN:
        raise StaleError("这份申请已经办过了。")
    if row.proposed_by != who.name:
        raise CheckError("只有提出人可以撤回")
    row.state, row.decided_at, row.decided_by = WITHDRAWN, now, who.name
    audit.append(session, who.name, "change_withdrawn", row.subject, {"request": row.id}, now, unit=row.unit)
