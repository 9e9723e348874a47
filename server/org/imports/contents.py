"""Planning of what is known of a room beside its row: what is kept there, and the sheet at its door (一室一卡)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from server.org import checks
from server.org.checks import CheckError
from server.org.imports.plan import Checked, Column, Context, Kind, Plan, each, table_of
from server.org.vocabulary import SHEET, SHEET_TEXT

_ROOM, _HOLDING, _SHEET = (table_of(name) for name in ("room", "holding", "room_sheet"))


def plan_holdings(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Fonds in rooms; unique by room, fonds and name."""
    rooms = context.rows(_ROOM, "code", [row.values["room"] for row in rows])
    known: dict[tuple[str, str, str], dict[str, Any]] = {}
    for room in context.session.execute(select(_HOLDING).where(_HOLDING.c.room.in_(rooms))).mappings() if len(rooms) <= 500 else _all(context):
        known[room["room"], room["fonds"], room["name"]] = dict(room)

    def take(row: Checked) -> str:
        values = dict(row.values)
        key = (values.pop("room"), values.pop("fonds"), values.pop("name"))
        if key[0] not in rooms:
            raise CheckError(f"没有库房 {key[0]}")
        context.may(rooms[key[0]]["unit"])
        plan.unit = rooms[key[0]]["unit"]
        named = dict(zip(("room", "fonds", "name"), key, strict=True))
        return plan.put(_HOLDING, named, known.get(key), values, new=named)

    each(rows, plan, lambda row: (row.values["room"], row.values["fonds"], row.values["name"]), take)


def _all(context: Context) -> Any:
    return context.session.execute(select(_HOLDING)).mappings()


def plan_sheets(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Room sheets. A column that the file does not have keeps what the sheet says; an empty cell clears it."""
    rooms = context.rows(_ROOM, "code", [row.values["room"] for row in rows])
    known = context.rows(_SHEET, "room", list(rooms))

    def take(row: Checked) -> str:
        values = dict(row.values)
        code = values.pop("room")
        if code not in rooms:
            raise CheckError(f"没有库房 {code}")
        context.may(rooms[code]["unit"])
        plan.unit = rooms[code]["unit"]
        old = known.get(code)
        body = {name: text for name, text in ((old["body"] if old is not None else {}) | values).items() if text}
        if old is not None and body == old["body"]:
            return "unchanged"
        return plan.put(_SHEET, {"room": code}, old, {"body": body, "updated_at": context.now, "by": context.by}, new={"room": code})

    each(rows, plan, lambda row: row.values["room"], take)


def _rank(value: str) -> Any:
    """1 is saved first; who says nothing comes last."""
    return checks.number(1, 9, whole=True)(value or "9")


HOLDINGS = Kind(
    name="holdings",
    title="馆藏",
    plan=plan_holdings,
    columns=(
        Column(name="room", title="库房编号", check=checks.room_code, example="350102901000-01"),
        Column(name="fonds", title="全宗号", check=checks.text(24, required=True), example="J012"),
        Column(name="name", title="名称", check=checks.text(120, required=True), example="户籍档案"),
        Column(name="volumes", title="卷（件）数", check=checks.number(0, 100_000_000, whole=True), example="3200"),
        Column(name="years", title="年代", check=checks.text(24), required=False, example="1985—2020"),
        Column(name="rank", title="抢救次序", check=_rank, required=False, help="1 最先", example="1"),
        Column(name="place", title="架位", check=checks.text(60), required=False, example="A 区 1—6 列"),
    ),
)
SHEETS = Kind(
    name="sheets",
    title="一室一卡",
    plan=plan_sheets,
    columns=(
        Column(name="room", title="库房编号", check=checks.room_code, example="350102901000-01"),
        *(Column(name=name, title=title, check=checks.text(SHEET_TEXT), required=False) for name, title in SHEET.items()),
    ),
)
