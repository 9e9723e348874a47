import pytest
from sqlalchemy import func, select, text

from server.org.imports import import_csv
from server.store import audit
from server.store.session import Database
from server.store.tables import AuditEntry, Gateway, Point, Room, Unit
from tests.fresh import fresh

UNITS = "code,parent,level,name,short_name,duty_phone\n350000000000,,1,福建省厅,省厅,059187654321\n350100000000,350000000000,2,福州市局,福州,\n"
PEOPLE = "code,name,phone,unit,duty\nP1,林一,+8613900000001,350100000000,person_in_charge\n"
ROOMS = (
    "code,unit,name,short_name,sms_place,kind,medium,stage,city,demanded,person\n"
    "350100000000-01,350100000000,一号档案库,一库,福州01库,store,paper,in_use,fuzhou,temperature;humidity,P1\n"
)
DEVICES = (
    "gateway,gateway_name,unit,group,device,profile,quantity,channel,room,interval_s,klass,feed\n"
    "GW-1,福州网关,350100000000,350100,th1,xy-md02,humidity,,350100000000-01,10,measure,edge\n"
)


@pytest.fixture
def db(tmp_path):
    database = Database(fresh(tmp_path / "a.db"))
    yield database
    database.close()


def load(db, tmp_path, kind, text, **options):
    path = tmp_path / f"{kind}.csv"
    path.write_text(text, "utf-8-sig")
    return import_csv(db, kind, path, now=1000, **options)


def load_all(db, tmp_path):
    return [load(db, tmp_path, kind, text) for kind, text in (("units", UNITS), ("people", PEOPLE), ("rooms", ROOMS), ("devices", DEVICES))]


def test_a_province_is_loaded_and_a_second_time_changes_nothing(db, tmp_path):
    assert [summary.errors for summary in load_all(db, tmp_path)] == [[], [], [], []]
    with db.read() as session:
        assert session.get(Room, "350100000000-01").demanded == ["temperature", "humidity"]
        assert session.get(Gateway, "GW-1").unit == "350100000000"
        assert session.scalar(select(Point.interval_ms)) == 10_000
    assert all(summary.created == summary.updated == 0 and summary.unchanged == summary.rows for summary in load_all(db, tmp_path))


def test_one_wrong_row_keeps_everything_out_and_names_its_line(db, tmp_path):
    text = UNITS + "350200000000,350000000000,2,厦门市局,名字实在太长了,\n"
    summary = load(db, tmp_path, "units", text)
    assert summary.errors == ["第 4 行：“简称”最多 6 个字，现有 7 个：名字实在太长了"]
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Unit)) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("350100000000-01,350100000000", "350100000000-01,350000000000"), "不以单位编号"),
        (("temperature;humidity", "temperature;wind"), "不认识的测量量：wind"),
        (("福州01库", "福州市鼓楼区东街口一号库"), "最多 9 个字"),
        ((",P1", ",P9"), "没有这个人"),
        (("in_use", "used"), "只能是"),
    ],
)
def test_rooms_are_checked(db, tmp_path, change, sentence):
    load(db, tmp_path, "units", UNITS)
    load(db, tmp_path, "people", PEOPLE)
    [error] = load(db, tmp_path, "rooms", ROOMS.replace(*change)).errors
    assert sentence in error


def test_a_dry_run_writes_nothing(db, tmp_path):
    assert load(db, tmp_path, "units", UNITS, dry_run=True).created == 2
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Unit)) == 0


def test_wrong_columns_and_encodings_are_one_sentence(db, tmp_path):
    with pytest.raises(ValueError, match="缺少列 parent、level"):
        load(db, tmp_path, "units", "code,name,short_name,duty_phone\n")
    path = tmp_path / "units.csv"
    path.write_bytes(b"\x00\xff\xfe,,,\x81")
    with pytest.raises(ValueError, match="UTF-8"):
        import_csv(db, "units", path, now=0)
    path.write_bytes(UNITS.encode("gbk"))
    assert import_csv(db, "units", path, now=0).created == 2


def test_a_changed_audit_entry_is_found(db, tmp_path):
    load_all(db, tmp_path)
    with db.write() as session:
        assert audit.verify(session) is None
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.get(AuditEntry, 2).actor = "somebody else"
        session.flush()
        assert audit.verify(session) == 2


def test_no_import_retires_a_room_with_smoke_and_any_other_one_it_does(db, tmp_path):
    load_all(db, tmp_path)
    load(db, tmp_path, "devices", DEVICES.replace("humidity,,", "smoke,,").replace("th1", "sm1"))
    [error] = load(db, tmp_path, "rooms", ROOMS.replace("in_use", "retired")).errors
    assert "有烟感的库房须两人共同退出" in error
    with db.write() as session:
        session.query(Point).filter_by(quantity="smoke").delete()
    assert load(db, tmp_path, "rooms", ROOMS.replace("in_use", "retired")).errors == []
