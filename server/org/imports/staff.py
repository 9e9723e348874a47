"""Planning of people and their roles."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from server.org import checks, granting, roles, search
from server.org.checks import CheckError
from server.org.imports.plan import Checked, Column, Context, Kind, Plan, chunks, each, table_of
from server.store.people import valid
from server.store.tables import Unit

_PERSON, _ROLE, _CHANGE = (table_of(name) for name in ("person", "person_role", "org_change"))


def plan_people(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """People by personnel number. Roles named in a row are exactly those at the row's unit; roles at other units stay, but for a person who moves."""
    known = context.rows(_PERSON, "code", [row.values["code"] for row in rows])
    units = {row.code: row for row in context.session.execute(select(Unit.code, Unit.level, Unit.parent).where(Unit.closed_at.is_(None)))}
    held = _held(context, [row["id"] for row in known.values()])

    def take(row: Checked) -> str:
        values = dict(row.values)
        code, unit, named = values.pop("code"), values["unit"], _roles(values)
        old = known.get(code)
        if unit not in units:
            raise CheckError(f"没有单位 {unit}")
        context.may(unit)
        if old is not None:
            context.may(old["unit"])
        plan.unit = unit if old is None else old["unit"]
        before = held.get(old["id"], []) if old is not None else []
        after = _after(before, unit, named, None if old is None else old["unit"])
        if (clash := roles.conflict(role for _, role in after)) is not None:
            raise CheckError(f"{clash[0]} 与 {clash[1]} 不能由同一人担任")
        appointed = {role for _, role in after ^ {(at, role) for at, role, _ in before} if role in roles.ADMINISTRATORS}
        if appointed and not context.grants:
            raise CheckError("系统、安全、审计管理员由安全管理员任免")
        if set(named or ()) & set(roles.ADMINISTRATORS) and not roles.administrable(units[unit].level, units[unit].parent):
            raise CheckError(granting.NOT_BELOW)
        values["search"] = search.of_person(values["name"], code)
        if "email" in (values.get("ways") or ()) and not values.get("email", old["email"] if old is not None else ""):
            raise CheckError("通知方式有邮件，但没有登记邮箱")
        if old is not None and old["unit"] != unit:
            plan.put(_CHANGE, {}, None, _transfer(context, old, unit), new={})
        values["duty"] = roles.first_duty(role for _, role in after)
        if old is not None and old["phone"] != values["phone"]:
            values["phone_verified_at"] = None
        outcome = plan.put(_PERSON, {"code": code}, old, values, new={"code": code})
        return "updated" if _put_roles(context, plan, code, before, after) and outcome == "unchanged" else outcome

    each(rows, plan, lambda row: row.values["code"], take)


def _roles(values: dict[str, Any]) -> list[str] | None:
    """The roles that a row names; None when the file says nothing about them."""
    duty, several = values.pop("duty", None), values.pop("roles", None)
    if duty is None and several is None:
        return None
    return list(dict.fromkeys([*([duty] if duty else []), *(several or [])]))


Held = list[tuple[str, str, int]]
"""(unit, role, id of the row)."""


def _held(context: Context, people: Sequence[int]) -> dict[int, Held]:
    found: dict[int, Held] = {}
    for part in chunks(people):
        for role in context.session.execute(select(_ROLE).where(_ROLE.c.person.in_(part), valid(context.now))).mappings():
            found.setdefault(role["person"], []).append((role["unit"], role["role"], role["id"]))
    return found


def _after(before: Held, unit: str, named: list[str] | None, old_unit: str | None) -> set[tuple[str, str]]:
    kept = {(at, role) for at, role, _ in before}
    if old_unit is not None and old_unit != unit:
        kept = {(at, role) for at, role in kept if at != old_unit}
    if named is not None:
        kept = {(at, role) for at, role in kept if at != unit} | {(unit, role) for role in named}
    return kept


def _transfer(context: Context, old: dict[str, Any], unit: str) -> dict[str, Any]:
    """The entry in the history of a person who moves to another unit."""
    return {
        "subject": f"person:{old['id']}", "kind": "transfer", "valid_from": context.now, "recorded_at": context.now, "by": context.by,
        "before": {"unit": old["unit"]}, "after": {"unit": unit}, "why": context.why,
    }  # fmt: skip


def _put_roles(context: Context, plan: Plan, person: str, before: Held, after: set[tuple[str, str]]) -> bool:
    held = {(unit, role): ident for unit, role, ident in before}
    for key in sorted(held.keys() - after):
        plan.put(_ROLE, {"id": held[key]}, {"until": None}, {"until": context.now}, new={})
    for unit, role in sorted(after - held.keys()):
        row = {"person": Ref(person), "unit": unit, "role": role, "since": context.now, "until": None, "by": context.by}
        plan.put(_ROLE, {}, None, row, new={})
    return held.keys() != after


class Ref(str):
    """The id of a person who may be made by the same import, by personnel number."""

    __slots__ = ()


PEOPLE = Kind(
    name="people",
    title="人员",
    plan=plan_people,
    columns=(
        Column(name="code", title="人员编号", check=checks.text(32, required=True), example="P350102901000-0001"),
        Column(name="name", title="姓名", check=checks.text(60, required=True), example="林国建"),
        Column(name="phone", title="手机号码", check=checks.phone, example="+8613900001234"),
        Column(name="unit", title="单位编号", check=checks.unit_code, example="350102901000"),
        Column(
            name="duty", title="角色", check=checks.one_of(("", *roles.ROLES)), required=False, help="、".join(roles.DUTY), example="duty_officer"
        ),
        Column(
            name="roles", title="角色（多个）", check=checks.role_list, required=False, help="用分号隔开", example="duty_officer;person_in_charge"
        ),
        Column(name="email", title="邮箱", check=checks.email, required=False),
        Column(name="landline", title="座机", check=checks.flag, required=False, help="号码是座机（只打语音）填 是"),
        Column(
            name="ways",
            title="通知方式",
            check=checks.way_list,
            required=False,
            help="按先后，用分号隔开：短信、语音、邮件；空为这个顺序",
            example="语音;短信",
        ),
    ),
)
