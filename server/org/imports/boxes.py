"""Planning of devices (gateways with their points) and of calibrations."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from contract.quantities import QUANTITIES
from server.org import checks, smoke
from server.org.checks import CheckError
from server.org.imports.plan import Checked, Column, Context, Kind, Plan, each, table_of
from server.store import steps
from server.store.tables import Unit

_GATEWAY, _POINT, _POINT_STEP, _ROOM, _CALIBRATION = (table_of(name) for name in ("gateway", "point", "point_step", "room", "calibration"))
CLASSES = ("alarm", "state", "measure", "health")
Address = tuple[str, str, str, str]


def plan_devices(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Points, and the gateways behind them as soon as the first of them is named. A room must lie in the gateway's unit or below it."""
    gateways = context.rows(_GATEWAY, "code", [row.values["gateway"] for row in rows])
    rooms = context.rows(_ROOM, "code", [row.values["room"] for row in rows if row.values["room"]])
    parents = dict(context.session.execute(select(Unit.code, Unit.parent)).all())
    points = _points(context, [row.values["gateway"] for row in rows])
    settled: dict[str, Mapping[str, Any]] = {}

    def take(row: Checked) -> str:
        values = row.values
        room, unit = values["room"], values["unit"]
        if unit not in parents:
            raise CheckError(f"没有单位 {unit}")
        context.may(unit)
        plan.unit = unit
        if room and room not in rooms:
            raise CheckError(f"没有库房 {room}")
        if room and not _below(parents, rooms[room]["unit"], unit):
            raise CheckError(f"库房 {room} 不属于网关所在的单位 {unit}")
        claim = {"unit": unit, "name": values["gateway_name"], "group_id": values["group"]}
        _claim(context, plan, gateways, settled, values["gateway"], claim)
        address = _address(values)
        identity = dict(zip(("gateway", "device", "quantity", "channel"), address, strict=True))
        interval = int(values["interval_s"] * 1000) if values["interval_s"] else None
        point = {"room": room, "unit": QUANTITIES[values["quantity"]].unit, "interval_ms": interval, "klass": values["klass"]}
        old = points.get(address)
        smoke.keep_room(context.session, old, room)
        if old is not None and old["interval_ms"] != interval:
            plan.put(_POINT_STEP, {"point": old["id"]}, None, steps.until(old["interval_ms"], context.now), new={"point": old["id"]})
        return plan.put(_POINT, identity, old, point, new=identity | {"created_at": context.now})

    each(rows, plan, lambda row: _address(row.values), take)


def _claim(
    context: Context,
    plan: Plan,
    known: Mapping[str, Mapping[str, Any]],
    settled: dict[str, Mapping[str, Any]],
    code: str,
    claim: Mapping[str, Any],
) -> None:
    if code in settled:
        if settled[code] != claim:
            raise CheckError(f"网关 {code} 在文件里有两种写法（单位、名称或分组不同）")
        return
    settled[code] = claim
    old = known.get(code)
    if old is not None and old["unit"] is not None:
        context.may(old["unit"])
    plan.put(_GATEWAY, {"code": code}, old, claim, new={"code": code, "changed_at": context.now})


def _address(values: Mapping[str, Any]) -> Address:
    return values["gateway"], values["device"], values["quantity"], values["channel"]


def _points(context: Context, gateways: Sequence[str]) -> dict[Address, dict[str, Any]]:
    wanted, found = set(gateways), {}
    query = select(_POINT) if len(wanted) > 400 else select(_POINT).where(_POINT.c.gateway.in_(wanted))
    for row in context.session.execute(query).mappings():
        found[_address(row)] = dict(row)  # type: ignore[arg-type]
    return found


def _below(parents: Mapping[str, str | None], unit: str | None, top: str) -> bool:
    while unit is not None:
        if unit == top:
            return True
        unit = parents.get(unit)
    return False


def plan_calibrations(context: Context, rows: Sequence[Checked], plan: Plan) -> None:
    """Calibration records of points, by point and date."""
    points = _points(context, [row.values["gateway"] for row in rows])
    owners = context.rows(_GATEWAY, "code", [row.values["gateway"] for row in rows])
    ids = [point["id"] for point in points.values()]
    known = {
        (row["point"], row["calibrated_at"]): dict(row)
        for row in context.session.execute(select(_CALIBRATION)).mappings()
        if row["point"] in set(ids)
    }  # fmt: skip

    def take(row: Checked) -> str:
        values = dict(row.values)
        address = _address(values)
        for name in ("gateway", "device", "quantity", "channel"):
            del values[name]
        point = points.get(address)
        if point is None:
            raise CheckError(f"没有测点 {'/'.join(filter(None, address))}")
        unit = owners[address[0]]["unit"] if address[0] in owners else None
        context.may(unit or "")
        plan.unit = unit or ""
        if values["valid_until"] <= values["calibrated_at"]:
            raise CheckError("有效期须晚于校准日期")
        key = {"point": point["id"], "calibrated_at": values.pop("calibrated_at")}
        return plan.put(
            _CALIBRATION, key, known.get((key["point"], key["calibrated_at"])), values, new=key | {"by": context.by, "recorded_at": context.now}
        )

    each(rows, plan, lambda row: (_address(row.values), row.values["calibrated_at"]), take)


_POINT_COLUMNS = (
    Column(name="gateway", title="网关编号", check=checks.ident, example="GW-350102901-01"),
    Column(name="device", title="设备", check=checks.ident, example="th1"),
    Column(name="quantity", title="测量量", check=checks.quantity, example="humidity"),
    Column(name="channel", title="通道", check=checks.text(24), help="一台设备有几个同类测点时填写"),
)
DEVICES = Kind(
    name="devices",
    title="设备",
    plan=plan_devices,
    columns=(
        *_POINT_COLUMNS,
        Column(name="gateway_name", title="网关名称", check=checks.text(120), example="鼓楼东街所网关"),
        Column(name="unit", title="单位编号", check=checks.unit_code, example="350102901000"),
        Column(name="group", title="分组", check=checks.ident, help="地市代码", example="350100"),
        Column(name="room", title="库房编号", check=checks.match(r"\d{12}-\d{2}", "库房编号", required=False), example="350102901000-01"),
        Column(name="interval_s", title="上报间隔（秒）", check=checks.number(0.5, 86_400, required=False), example="30"),
        Column(name="klass", title="类别", check=checks.one_of(CLASSES), help="、".join(CLASSES), example="measure"),
    ),
)
CALIBRATIONS = Kind(
    name="calibrations",
    title="校准",
    plan=plan_calibrations,
    columns=(
        *_POINT_COLUMNS,
        Column(name="serial", title="出厂编号", check=checks.text(60), example="SN20260711"),
        Column(name="certificate", title="证书编号", check=checks.text(60), example="RH-2026-0117"),
        Column(name="laboratory", title="校准机构", check=checks.text(120), required=False),
        Column(name="calibrated_at", title="校准日期", check=checks.day, example="2026-07-11"),
        Column(name="valid_until", title="有效期至", check=checks.day, example="2027-07-10"),
    ),
)
