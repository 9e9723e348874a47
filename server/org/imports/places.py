"""Planning of units and rooms."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from server.org import checks, granting, merging, roles, search, smoke
from server.org.checks import CheckError
from server.org.imports.plan import Checked, Column, Context, Kind, Plan, each, table_of
from server.org.vocabulary import CITIES, MEDIA, MEDIA_TITLES, ROOM_KINDS, STAGES, UNIT_KINDS

_UNIT, _ROOM, _CHANGE, _PERSON = (table_of(name) for name in ("unit", "room", "org_change", "person"))
_ENDED = ("not_connected", "retired")
"""Stages in which nothing is expected of a room and nothing alarms."""
_FOLLOWED = {"parent": "move", "name": "rename"}


def plan_units(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Units, parents before children. A changed parent is a move and a changed name a renaming: both enter the history."""
    known = {row["code"]: dict(row) for row in context.session.execute(select(_UNIT)).mappings()}
    tree = {code: (row["parent"], row["level"]) for code, row in known.items()}
    tree |= {row.values["code"]: (row.values["parent"], row.values["level"]) for row in rows}

    def take(row: Checked) -> str:
        values = dict(row.values)
        code, parent = values.pop("code"), values["parent"]
        old = known.get(code)
        _check_standing(context, old, parent, known, values["level"])
        _check_parent(tree, code, parent, values["level"])
        context.may(code if old is not None else parent or code)
        if old is not None and parent is not None and old["parent"] != parent:
            context.may(parent)
            context.may(old["parent"] or "")
        plan.unit = code if old is not None else parent or code
        values["search"] = search.of_place(values["name"], values["short_name"], code=code)
        outcome = plan.put(_UNIT, {"code": code}, old, values, new={"code": code})
        if old is not None:
            _follow(context, plan, code, old, values)
        return outcome

    each(sorted(rows, key=lambda row: (row.values["level"], row.line)), plan, lambda row: row.values["code"], take)


def _check_parent(tree: Mapping[str, tuple[str | None, int]], code: str, parent: str | None, level: int) -> None:
    if parent is None:
        if level != 1:
            raise CheckError("缺少上级单位")
        return
    if parent not in tree:
        raise CheckError(f"没有上级单位 {parent}")
    if tree[parent][1] >= level:
        raise CheckError(f"上级单位 {parent} 的级别不比本单位高")
    if parent == code:
        raise CheckError("上级单位不能是自己")


def _check_standing(context: Context, old: Mapping[str, Any] | None, parent: str | None, known: Mapping[str, Mapping[str, Any]], level: int) -> None:
    """A merged unit is over; and administrators do not sink below their level with a unit."""
    for row in (old, known.get(parent or "")):
        if row is not None and row["closed_at"] is not None:
            raise CheckError(f"{row['name']}（{row['code']}）已并入 {row['merged_into']}")
    sinks = old is not None and roles.administrable(old["level"], old["parent"]) and not roles.administrable(level, parent)
    if old is not None and sinks and granting.administered(context.session, old["code"], context.now):
        raise CheckError(f"本单位有管理员，{granting.NOT_BELOW}；先免去或调走")


def _follow(context: Context, plan: Plan, code: str, old: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    for column, kind in _FOLLOWED.items():
        if old[column] != values[column]:
            change = {
                "subject": f"unit:{code}", "kind": kind, "valid_from": context.now, "recorded_at": context.now, "by": context.by, "why": context.why,
                "before": {column: old[column]}, "after": {column: values[column]},
            }  # fmt: skip
            plan.put(_CHANGE, {}, None, change, new={})


def plan_rooms(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Rooms. The kind decides which media are possible and, for a new room without `demanded`, what has to be measured."""
    known = context.rows(_ROOM, "code", [row.values["code"] for row in rows])
    units = {code for (code,) in context.session.execute(select(_UNIT.c.code).where(_UNIT.c.closed_at.is_(None)))}
    keepers = context.rows(_PERSON, "code", [row.values["person"] for row in rows if row.values["person"]])

    def take(row: Checked) -> str:
        values = dict(row.values)
        code, unit, keeper = values.pop("code"), values["unit"], values["person"]
        if unit not in units:
            raise CheckError(f"没有单位 {unit}")
        old = known.get(code)
        if old is not None:
            context.may(old["unit"])
        elif not code.startswith(unit):
            raise CheckError(f"库房编号 {code} 不以单位编号 {unit} 开头")
        context.may(unit)
        plan.unit = unit
        if keeper and keeper not in keepers:
            raise CheckError(f"没有这个人：{keeper}")
        values["person"] = keepers[keeper]["id"] if keeper else None
        kind = ROOM_KINDS[values["kind"]]
        values["medium"] = room_medium(values["kind"], values["medium"])
        if not values["demanded"] and old is None and values["stage"] not in _ENDED:
            values["demanded"] = list(kind.demanded)
        smoke.keep_stage(context.session, old, values["stage"])
        smoke.keep_demanded(context.session, old, values["demanded"])
        values["search"] = search.of_place(values["name"], values["short_name"], code=code)
        if old is not None and old["unit"] != unit:
            _hand_on(context, plan, code, old["unit"], unit)
        return plan.put(_ROOM, {"code": code}, old, values, new={"code": code})

    each(rows, plan, lambda row: row.values["code"], take)


def _hand_on(context: Context, plan: Plan, code: str, old: str, unit: str) -> None:
    """What is at work in a room that another unit takes over goes along: a limit that names the old unit would hold no more."""
    for table, wanted in merging.WITH_A_ROOM:
        for ident in context.session.scalars(select(table.c.id).where(table.c.room == code, wanted)):
            plan.put(table, {"id": ident}, {"unit": old}, {"unit": unit}, new={})


def room_medium(kind: str, medium: str) -> str:
    """The medium profile of a room: the given one where its kind allows it, the kind's first when none is given. Raises CheckError."""
    allowed = ROOM_KINDS[kind].media
    if medium and medium not in allowed:
        named = "、".join(f"{MEDIA_TITLES[one]}（{one}）" for one in allowed)
        raise CheckError(f"{ROOM_KINDS[kind].title}的载体类型只能是 {named}，现为 {MEDIA_TITLES[medium]}（{medium}）")
    return medium or allowed[0]


UNITS = Kind(
    name="units",
    title="单位",
    plan=plan_units,
    columns=(
        Column(name="code", title="单位编号", check=checks.unit_code, help="12 位，前 6 位为行政区划代码", example="350102901000"),
        Column(name="parent", title="上级单位编号", check=checks.match(r"\d{12}", "12 位数字", required=False), example="350102000000"),
        Column(
            name="level",
            title="级别",
            check=checks.number(1, 4, whole=True),
            help="1 省 2 市 3 县 4 所",
            example="4",
            choices=("1", "2", "3", "4"),
            words="unit_level",
        ),
        Column(name="name", title="全称", check=checks.text(120, required=True), example="鼓楼东街所"),
        Column(name="short_name", title="简称", check=checks.short_name, help="最多 6 个字", example="东街所"),
        Column(name="duty_phone", title="值班电话", check=checks.phone, example="0591-87550110"),
        Column(
            name="kind",
            title="类别",
            check=checks.one_of(UNIT_KINDS),
            required=False,
            help="专门单位填写，如 traffic 交通；属地单位留空",
            choices=tuple(UNIT_KINDS),
            words="unit_kind",
        ),
    ),
)
ROOMS = Kind(
    name="rooms",
    title="库房",
    plan=plan_rooms,
    columns=(
        Column(name="code", title="库房编号", check=checks.room_code, help="单位编号-两位序号", example="350102901000-01"),
        Column(name="unit", title="单位编号", check=checks.unit_code, example="350102901000"),
        Column(name="name", title="全称", check=checks.text(120, required=True), example="鼓楼东街所1号档案库房"),
        Column(name="short_name", title="简称", check=checks.short_name, help="最多 6 个字", example="东街1号库"),
        Column(name="sms_place", title="短信地点", check=checks.sms_place, help="最多 9 个字，短信里用", example="鼓楼东街01库"),
        Column(
            name="kind",
            title="用房种类",
            check=checks.one_of(ROOM_KINDS, "store"),
            help="、".join(ROOM_KINDS),
            example="store",
            choices=tuple(ROOM_KINDS),
            words="room_kind",
        ),
        Column(
            name="medium",
            title="载体类型",
            check=checks.one_of(("", *MEDIA)),
            help="决定适用范围；留空按用房种类",
            example="paper",
            choices=MEDIA,
            words="medium",
        ),
        Column(name="stage", title="阶段", check=checks.one_of(STAGES), help="、".join(STAGES), example="in_use", choices=STAGES, words="stage"),
        Column(name="city", title="气候参考地", check=checks.one_of(CITIES, "fuzhou"), example="fuzhou"),
        Column(name="demanded", title="应测的量", check=checks.quantities, help="用分号隔开", example="temperature;humidity;smoke"),
        Column(name="person", title="库房责任人编号", check=checks.text(32), example="P350102901000-0001"),
        Column(name="location", title="位置", check=checks.text(120), required=False, example="办公楼 3 层东侧"),
    ),
)
