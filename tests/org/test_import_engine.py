"""The import: formats, rights, roles, undo, what a stop of the server leaves; through the same functions as API and command."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook
from sqlalchemy import select, update

from server.org import imports
from server.org import people as org_people
from server.org.imports.tables import TableError
from server.org.imports.template import template
from server.store import people, steps
from server.store.session import Database
from server.store.steps import Stretch
from server.store.tables import Alarm, AuditEntry, Gateway, Person, Point, Room, Unit
from server.store.tables_org import Calibration, Holding, ImportRun, OrgChange
from tests.org.conftest import CITY, COUNTY, PROVINCE, SISTER, STATION, T0

ROOM = f"{STATION}-01"
ROOMS = (
    "code,unit,name,short_name,sms_place,kind,medium,stage,city,demanded,person\n"
    f"{ROOM},{STATION},东街1号库,1号库,东街01库,store,paper,in_use,fuzhou,,P1\n"
)
DEVICES = (
    "gateway,gateway_name,unit,group,device,quantity,channel,room,interval_s,klass\n"
    f"GW-1,东街网关,{STATION},350100,th1,humidity,,{ROOM},10,measure\nGW-1,东街网关,{STATION},350100,th1,temperature,,{ROOM},10,measure\n"
)


def load(db: Database, kind: str, content: str | bytes, *, unit: str | None = None, dry_run: bool = False, now: int = T0) -> imports.Summary:
    body = content.encode() if isinstance(content, str) else content
    run = imports.begin(db, kind, f"{kind}.csv", body, by="tester", unit=unit, now=now, dry_run=dry_run)
    return imports.carry_out(db, run, body, lambda: now)


def count(db: Database, table: type) -> int:
    with db.read() as session:
        return session.query(table).count()


def workbook(rows: list[list[object]]) -> bytes:
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for index, row in enumerate(rows):
            sheet.write_row(index, 0, row)
    return stream.getvalue()


@pytest.mark.parametrize("kind", imports.KINDS)
def test_a_template_is_read_back_and_its_example_is_right(db: Database, kind: str) -> None:
    content = template(imports.KINDS[kind])
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert book.sheet_names == [imports.KINDS[kind].title, "填写说明"]
    wrong = load(db, kind, content, dry_run=True).errors
    # Every cell of the example passes its check; what is missing is only what it refers to.
    assert all("没有" in sentence for sentence in wrong), wrong


def test_numbers_of_a_spreadsheet_are_codes_again(db: Database) -> None:
    content = workbook(
        [["单位编号", "上级单位编号", "级别", "全称", "简称", "值班电话"], [350104000000, 350100000000, 3, "仓山分局", "仓山", 59187654321]]
    )
    assert load(db, "units", content).created == 1
    with db.read() as session:
        unit = session.get_one(Unit, "350104000000")
        assert (unit.duty_phone, unit.search.split()[2]) == ("59187654321", "csfj")


def test_every_wrong_cell_is_named_and_nothing_is_written(db: Database) -> None:
    text = ROOMS + f"{STATION}-02,{STATION},二库,名字实在太长了,东街02库,store,reading,in_use,fuzhou,wind,P9\n"
    summary = load(db, "rooms", text)
    assert [sentence.partition("最多")[0] for sentence in summary.errors] == ["第 3 行：“简称”", "第 3 行：“应测的量”不认识的测量量：wind"]
    with db.read() as session:
        run = session.get_one(ImportRun, summary.run)
        assert (run.state, [(e["line"], e["column"]) for e in run.errors]) == ("refused", [(3, "short_name"), (3, "demanded")])
    assert count(db, Room) == 0


def test_the_kind_of_a_room_decides_media_and_what_is_measured(db: Database) -> None:
    head, row = ROOMS.splitlines()
    [error] = load(db, "rooms", f"{head}\n{row.replace('paper', 'reading')}\n").errors
    assert "档案库房的载体类型只能是" in error
    assert load(db, "rooms", f"{head}\n{row}\n{row.replace('-01,', '-02,').replace('store,paper', 'office,')}\n").created == 2
    with db.read() as session:
        assert session.get_one(Room, ROOM).demanded == ["temperature", "humidity", "smoke"]
        office = session.get_one(Room, f"{STATION}-02")
        assert (office.medium, office.demanded) == ("service", ["smoke"])


def test_nobody_imports_outside_his_unit(db: Database) -> None:
    [error] = load(db, "rooms", ROOMS, unit=SISTER).errors
    assert "管辖范围" in error
    [error] = load(db, "people", f"code,name,phone,unit\nP1,林国建,,{SISTER}\n", unit=SISTER).errors
    assert "管辖范围" in error, "a person of another unit is not taken over by naming him"
    assert load(db, "rooms", ROOMS, unit=COUNTY).errors == []


def test_roles_come_and_go_with_the_file_and_administrators_stay_apart(db: Database) -> None:
    def roles(ident: int) -> list[tuple[str, str]]:
        with db.read() as session:
            return sorted((role.unit, role.role) for role in people.roles_of(session, [ident], T0 + 10).get(ident, []))

    text = f"code,name,phone,unit,roles\nP1,林国建,13900000001,{COUNTY},duty_officer;person_in_charge\nP2,曾志文,,{CITY},security\n"
    assert load(db, "people", text).updated == 2
    assert load(db, "people", text, now=T0 + 1).unchanged == 2
    assert roles(1) == [(COUNTY, "duty_officer"), (COUNTY, "person_in_charge")]
    [error] = load(db, "people", text.replace("security", "security;duty_officer")).errors
    assert "不能由同一人担任" in error
    load(db, "people", text.replace(f"{COUNTY},duty", f"{SISTER},duty"), now=T0 + 2)
    assert roles(1) == [(SISTER, "duty_officer"), (SISTER, "person_in_charge")], "roles do not travel: those at the old unit ended"
    load(db, "people", f"code,name,phone,unit\nP1,林国建,13900000001,{SISTER}\n", now=T0 + 3)
    assert len(roles(1)) == 2, "a file without roles says nothing about them"


def test_a_move_by_import_enters_the_history(db: Database) -> None:
    text = f"code,parent,level,name,short_name,duty_phone\n{STATION},{SISTER},4,东街派出所,东街所,\n"
    assert load(db, "units", text).updated == 1
    with db.read() as session:
        kinds = {row.kind: (row.before, row.after) for row in session.query(OrgChange).filter_by(subject=f"unit:{STATION}")}
    assert kinds == {"move": ({"parent": COUNTY}, {"parent": SISTER}), "rename": ({"name": "鼓楼东街所"}, {"name": "东街派出所"})}


def test_a_transfer_ends_the_roles_at_the_old_unit_only_and_enters_the_history(db: Database) -> None:
    with db.write() as session:
        org_people.set_roles(session, session.get_one(Person, 1), {COUNTY: ["duty_officer"], CITY: ["inspector"]}, by="x", now=T0)
    head = "code,name,phone,unit\nP1,林国建,13900000001,"
    assert "没有单位 350199000000" in load(db, "people", f"{head}350199000000\n").errors[0]
    assert load(db, "people", f"{head}{SISTER}\n", now=T0 + 1).updated == 1
    with db.read() as session:
        person = session.get_one(Person, 1)
        assert (person.unit, org_people.held(session, person, T0 + 2)) == (SISTER, {CITY: ["inspector"]})
        change = session.query(OrgChange).filter_by(subject="person:1", kind="transfer").one()
        assert (change.before, change.after, change.by) == ({"unit": COUNTY}, {"unit": SISTER}, "tester")


def test_what_hangs_in_the_air_is_refused(db: Database) -> None:
    head = "code,parent,level,name,short_name,duty_phone\n"
    for row, word in (
        ("350199000000,350198000000,3,x,x,", "没有上级单位"),
        (f"350199000000,{STATION},3,x,x,", "级别不比本单位高"),
        ("350199000000,,3,x,x,", "缺少上级单位"),
    ):
        [error] = load(db, "units", f"{head}{row}\n").errors
        assert word in error
    load(db, "rooms", ROOMS)
    [error] = load(db, "devices", DEVICES.replace(f"东街网关,{STATION}", f"东街网关,{SISTER}")).errors[:1]
    assert "不属于网关所在的单位" in error
    assert any("两种写法" in e for e in load(db, "devices", DEVICES.replace("GW-1,东街网关", "GW-1,另一名", 1)).errors)
    [error] = load(db, "rooms", ROOMS + ROOMS.splitlines()[1]).errors
    assert "与第 2 行重复" in error


def test_holdings_and_calibrations(db: Database) -> None:
    load(db, "rooms", ROOMS)
    load(db, "devices", DEVICES)
    assert load(db, "holdings", f"room,fonds,name,volumes,rank\n{ROOM},J012,户籍档案,3200,1\n").created == 1
    text = "gateway,device,quantity,channel,serial,certificate,calibrated_at,valid_until\nGW-1,th1,humidity,,SN1,C-1,2026-07-11,2027/7/10\n"
    assert load(db, "calibrations", text).created == 1
    assert load(db, "calibrations", text).unchanged == 1
    assert "晚于" in load(db, "calibrations", text.replace("2027/7/10", "2026-07-01")).errors[0]
    with db.read() as session:
        assert session.query(Calibration).one().valid_until == int(datetime(2027, 7, 9, 16, tzinfo=UTC).timestamp() * 1000)
    assert count(db, Holding) == 1


def test_an_undo_takes_back_what_is_still_as_the_import_left_it(db: Database) -> None:
    first = load(db, "rooms", ROOMS)
    text = ROOMS.replace("1号库,东街01库", "新名,东街01库") + f"{STATION}-02,{STATION},二库,二库,东街02库,store,paper,in_use,fuzhou,,\n"
    second = load(db, "rooms", text, now=T0 + 1)
    assert (second.created, second.updated, second.changed) == (1, 1, {"room": {ROOM, f"{STATION}-02"}})
    done, kept, touched = imports.undo(db, second.run, by="x", reason="错", now=T0 + 2)
    assert (done, kept, touched["room"]) == (2, [], {ROOM, f"{STATION}-02"})
    with db.read() as session:
        assert (session.get_one(Room, ROOM).short_name, session.get(Room, f"{STATION}-02")) == ("1号库", None)
        assert session.scalars(select(AuditEntry.action)).all()[-1] == "import_undo"
    with pytest.raises(imports.ImportRefusedError):
        imports.undo(db, second.run, by="x", reason="", now=T0 + 3)
    with db.write() as session:
        session.execute(update(Room).values(location="三楼"))
        session.execute(update(Room).values(name="改过"))
    done, kept, _ = imports.undo(db, first.run, by="x", reason="", now=T0 + 4)
    assert (done, len(kept)) == (0, 1)
    assert "又有改动" in kept[0]


def test_an_undo_keeps_what_was_edited_where_the_file_said_nothing(db: Database) -> None:
    made = load(db, "rooms", ROOMS)
    staff = load(db, "people", f"code,name,phone,unit,duty\nP8,新来的,,{COUNTY},\nP9,又一个,,{COUNTY},\n")
    with db.write() as session:
        session.execute(update(Room).where(Room.code == ROOM).values(location="三楼"))
        session.execute(update(Person).where(Person.code == "P8").values(last_seen_at=T0))
        session.execute(update(Person).where(Person.code == "P9").values(ways=["email"], email="n@example.cn"))
    done, kept, _ = imports.undo(db, made.run, by="x", reason="", now=T0 + 1)
    assert (done, kept) == (0, [f"用房 东街1号库（{ROOM}）：导入后又有改动，保持现状"])
    done, kept, _ = imports.undo(db, staff.run, by="x", reason="", now=T0 + 1)
    assert (done, len(kept)) == (1, 1), "a sign of life is no edit, an address is"
    with db.read() as session:
        assert (session.get_one(Room, ROOM).location, people.get(session, "P8")) == ("三楼", None)
        assert people.get(session, "P9").ways == ["email"]


def test_an_undo_keeps_what_is_in_use_and_retires_it(db: Database) -> None:
    made = load(db, "rooms", ROOMS)
    with db.write() as session:
        session.add(
            Alarm(
                subject=f"room:{ROOM}",
                rule="x",
                kind="state",
                room=ROOM,
                unit=STATION,
                state="active_unacked",
                level="warn",
                raised_at=T0,
                number="1",
            )
        )
    done, kept, _ = imports.undo(db, made.run, by="x", reason="", now=T0 + 1)
    assert (done, len(kept)) == (0, 1)
    assert "停用" in kept[0]
    with db.read() as session:
        assert session.get_one(Room, ROOM).stage == "retired"


def test_people_and_their_roles_are_undone(db: Database) -> None:
    text = f"code,name,phone,unit,duty\nP1,林新名,13900000009,{COUNTY},archive_head\nP9,新来的,,{COUNTY},duty_officer\n"
    made = load(db, "people", text)
    imports.undo(db, made.run, by="x", reason="", now=T0 + 1)
    with db.read() as session:
        assert (session.get_one(Person, 1).name, session.get_one(Person, 1).duty, people.get(session, "P9")) == ("林国建", "", None)
        assert people.roles_of(session, [1], T0 + 2) == {}


def test_a_list_of_people_sets_their_order_of_ways(db: Database) -> None:
    head = f"code,name,phone,unit,email,ways\nP9,新来的,13900000009,{COUNTY},"
    load(db, "people", f"{head}n@example.cn,邮件；短信\n")
    with db.read() as session:
        assert people.get(session, "P9").ways == ["email", "sms"]
    load(db, "people", f"code,name,phone,unit\nP9,新来的,13900000009,{COUNTY}\n")
    with db.read() as session:
        assert people.get(session, "P9").ways == ["email", "sms"], "a list that does not speak of it leaves it"
    for ways in ("鸽子", "短信;短信"):
        assert load(db, "people", f"{head},{ways}\n").errors
    assert load(db, "people", f"code,name,phone,unit,ways\nP8,无邮箱,13900000008,{COUNTY},邮件\n").errors


def test_what_a_stop_cut_off_is_taken_back(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    load(db, "rooms", ROOMS)

    class StopError(BaseException):
        pass

    written = imports.write_part

    def stop(session, run, number, changes):
        if number == 1:
            raise StopError
        written(session, run, number, changes)

    monkeypatch.setattr(imports, "write_part", stop)
    monkeypatch.setattr(imports, "PART", 2)
    with pytest.raises(StopError):
        load(db, "devices", DEVICES)
    assert count(db, Gateway) == 1, "the first part was committed when the server died"
    assert imports.recover(db, T0 + 9) == 1
    assert (count(db, Gateway), count(db, Point)) == (0, 0)
    with db.read() as session:
        run = session.query(ImportRun).order_by(ImportRun.id.desc()).first()
        assert (run.state, "中断" in run.sentence) == ("failed", True)
    assert imports.recover(db, T0 + 10) == 0


def test_progress_is_seen_while_it_runs(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PART", 10)
    seen: list[int] = []
    written = imports.write_part

    def spy(session, run, number, changes):
        with db.read() as other:
            seen.append(other.get_one(ImportRun, run).done)
        written(session, run, number, changes)

    monkeypatch.setattr(imports, "write_part", spy)
    rows = "".join(f"X{i},某人,,{COUNTY}\n" for i in range(40))
    assert load(db, "people", "code,name,phone,unit\n" + rows).created == 40
    assert seen == [0, 10, 20, 30]


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"", b"code,name\n", b"\xff\xfe\x00"])
def test_what_is_no_table_is_one_sentence(db: Database, content: bytes) -> None:
    with pytest.raises(TableError):
        load(db, "people", content)
    with db.read() as session:
        assert session.query(ImportRun).one().state == "failed"


def test_reading_twice_the_province(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    path.write_text(f"code,parent,level,name,short_name,duty_phone\n{PROVINCE},,1,福建省厅,省厅,\n{CITY},{PROVINCE},2,福州市局,福州,\n", "utf-8-sig")
    assert imports.import_csv(db, "units", path, now=T0).updated == 2
    assert imports.import_csv(db, "units", path, now=T0 + 1).unchanged == 2


def test_a_list_of_devices_keeps_the_interval_that_it_changes(db: Database) -> None:
    load(db, "rooms", ROOMS)
    load(db, "devices", DEVICES)
    with db.read() as session:
        assert steps.of(session) == {}
    changed = load(db, "devices", DEVICES.replace(f"humidity,,{ROOM},10", f"humidity,,{ROOM},60"), now=T0 + 5)
    with db.read() as session:
        ((point, stretches),) = steps.of(session).items()
        assert stretches == [Stretch(point, 0, T0 + 5, 10_000)]
    imports.undo(db, changed.run, by="x", reason="", now=T0 + 6)
    with db.read() as session:
        assert steps.of(session) == {}
