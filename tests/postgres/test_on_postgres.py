"""The same product on PostgreSQL: schema, triggers, upserts, the way of a sample to a message, import, backup, and the whole server."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from contract.batch import Outbox, PointDeclaration, node_birth
from contract.sparkplug import encode
from server.app import build
from server.history import History, backup
from server.ingest.mqtt import Incoming
from server.org import imports
from server.series.choose import open_store
from server.settings import load_settings
from server.store import audit, schema, triggers
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Alarm, AlarmMemory, AuditEntry, EscalationStep, Journal, Person, Point, Refused, Room, Transition, Unit, Watermark
from server.watch.commands import Reset
from tests.server.conftest import GATEWAY, ROOM, populated
from tests.server.ingesting import Ingest

T0 = 1_790_000_000_000
PROVINCE = Path(__file__).resolve().parents[2] / "deploy" / "province"


@pytest.fixture
def db(postgres_url):
    made = Database(postgres_url)
    yield made
    made.close()


@pytest.fixture
def made(postgres_url, tmp_path):
    """The county of the watch tests, its rows in PostgreSQL."""
    found = populated(tmp_path / "slice", url=postgres_url)
    yield found
    found.db.close()


def test_the_migrations_make_exactly_the_tables_of_the_code(db):
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.Base.metadata) == []
    assert migrate(db)[0] == migrate(db)[1]


@pytest.mark.parametrize("table", triggers.APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = 0", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_written_into_the_record_stays(made, table, statement):
    made.birth()
    made.send(("smoke1/smoke", 1))
    with made.db.write() as session:
        audit.append(session, "tester", "test", "x", {"a": 1}, T0)
    with made.db.write() as session, pytest.raises(DatabaseError, match="append-only"):
        session.execute(text(statement.format(table)))
    with made.db.read() as session:
        assert session.scalar(text(f"SELECT count(*) FROM {table}")) >= 1
        there = set(session.scalars(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")))
    assert set(triggers.names("postgresql", table)) <= there


SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "verify_audit.py"


BENDS = (
    "UPDATE audit SET actor = '别人' WHERE id = {}",
    "DELETE FROM audit WHERE id = {}",
    "UPDATE audit SET id = CASE id WHEN {0} THEN -{0} - 1 ELSE -{0} END WHERE id IN ({0}, {0} + 1)",
)


def test_what_the_owner_of_the_database_bends_is_found(db, tmp_path):
    """Whoever may switch triggers off alters, removes or moves a row of the log: the walk and the stand-alone script say so."""
    with db.write() as session:
        for number in range(12):
            audit.append(session, f"某人{number}", "rules_change", f"room:{number}", {"说明": "“引号”"}, T0 + number, after={"limit": number})
    for change in ("", *BENDS):
        with db.engine.connect() as connection, Session(connection) as session:
            ident = session.scalar(select(func.min(AuditEntry.id))) + 5
            session.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in (change.format(ident), "UPDATE audit SET id = -id WHERE id < 0") if change else ():
                session.execute(text(statement))
            assert (audit.verify(session) is None, _script(session, tmp_path / "log")) == ((False, 1) if change else (True, 0)), change


def _script(session, path):
    path.write_text("".join(audit.as_line(row) + "\n" for row in session.execute(audit.stored())), "utf-8")
    return subprocess.run([sys.executable, "-I", SCRIPT, path], capture_output=True, check=False).returncode


def test_writers_at_the_same_time_do_not_fork_the_chain_of_the_record(db):
    def append(name):
        for n in range(15):
            with db.write() as session:
                audit.append(session, name, "test", f"{name}-{n}", {"n": n, "text": "甲乙"}, T0 + n)

    threads = [threading.Thread(target=append, args=(f"writer {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with db.read() as session:
        found = audit.walk(session)
    assert (found.rows, found.broken) == (60, None)


def test_a_sample_becomes_an_alarm_and_a_step_and_states_are_replaced(made):
    made.birth()
    assert made.send(("smoke1/smoke", 1), ("th1/humidity", 80)).upto == 2
    made.run(20)
    made.send(("smoke1/smoke", 0), ("th1/humidity", 50))
    made.run(60)
    alarms = {row.rule: row for row in made.rows(Alarm)}
    assert alarms["smoke"].level == "critical"
    assert "humidity_high" in alarms
    with made.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Transition)) >= 3
        assert session.scalar(select(func.count()).select_from(EscalationStep)) >= 1
        assert session.get(Watermark, (GATEWAY, "77")).upto == 4
        assert session.scalar(select(func.sum(Journal.count))) == 4
        assert session.scalar(select(func.count()).select_from(AlarmMemory)) >= 1
    made.start()  # memory is read back
    made.run(1)
    made.order(Reset(alarm=alarms["smoke"].id, by="tester", note="x"))
    made.send(("smoke1/smoke", 1))
    made.run(5)
    assert len([row for row in made.rows(Alarm) if row.rule == "smoke" and row.open_key]) == 1


def test_the_example_province_is_imported_and_again_without_a_change(db):
    for kind, table in (("units", Unit), ("people", Person), ("rooms", Room), ("devices", Point)):
        first = imports.import_csv(db, kind, PROVINCE / f"{kind}.csv", now=T0, dry_run=False)
        again = imports.import_csv(db, kind, PROVINCE / f"{kind}.csv", now=T0 + 1, dry_run=False)
        assert not first.errors
        assert (again.created, again.updated) == (0, 0)
        with db.read() as session:
            assert session.scalar(select(func.count()).select_from(table)) == first.rows == first.created


def test_a_backup_goes_into_another_postgresql_and_life_goes_on_there(made, tmp_path, postgres):
    made.birth()
    made.send(("smoke1/smoke", 1), ("th1/humidity", 61))
    with made.db.write() as session:
        audit.append(session, "tester", "test", "x", {"text": "甲"}, T0)
    store = open_store("embedded", tmp_path / "data" / "series")
    while History(made.db, store).run_once(T0):
        pass
    backup.save(made.db, store, tmp_path / "data", tmp_path / "copy", T0, "0.1.0")
    store.close()
    postgres.psql("CREATE DATABASE restored")
    try:
        url = postgres.url("restored")
        assert backup.restore(tmp_path / "copy", url, tmp_path / "new", T0).samples == 2
        db = Database(url)
        with db.read() as session:
            assert audit.verify(session) is None
            assert [row.rule for row in session.scalars(select(Alarm))] == [row.rule for row in made.rows(Alarm)]
        with db.write() as session:  # the counters of ids stand behind what was restored
            session.add(Room(code=f"{ROOM[:12]}-77", unit=ROOM[:12], name="x", short_name="x", sms_place="x"))
            session.add(Person(code="P-new", name="新", unit=ROOM[:12]))
            session.flush()
        with db.write() as session, pytest.raises(DatabaseError, match="append-only"):
            session.execute(text("DELETE FROM audit"))
        db.close()
        # And back into SQLite: the file of a backup is SQLite whatever it came from.
        assert backup.restore(tmp_path / "copy", f"sqlite:///{tmp_path / 'lite' / 'aw.db'}", tmp_path / "lite", T0).samples == 2
    finally:
        postgres.psql("DROP DATABASE restored WITH (FORCE)")


def test_the_whole_server_stands_on_it(postgres_url, tmp_path, free_port):
    config = tmp_path / "server.yaml"
    config.write_text(json.dumps({"data_dir": "data", "database": postgres_url, "broker": {"port": free_port}, "sms": {"kind": "outbox_file"}}))
    settings = load_settings(config)
    settings.data_dir.mkdir()
    app, parts = build(settings)
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert set(client.get("/readyz").json().get("reasons", {})) <= {"broker"}  # nothing but the broker is missing
        key = (settings.data_dir / "cli.token").read_text()
        headers = {"Authorization": f"Bearer {key}"}
        for path in ("units", "rooms", "alarms", "gateways", "audit", "notifications"):
            assert client.get(f"/api/v1/{path}", headers=headers).status_code == 200, path
        files = {"file": ("units.csv", (PROVINCE / "units.csv").read_bytes())}
        assert client.post("/api/v1/imports", headers=headers, files=files, data={"kind": "units"}).status_code in (200, 201, 202)
    assert parts.db.engine.dialect.name == "postgresql"


LONG = "x" * 300


@pytest.mark.parametrize(
    ("node", "group", "points", "more"),
    [
        ("G" * 41, "350100", [("th1/humidity", 10)], {}),
        (GATEWAY, "3" * 13, [("th1/humidity", 10)], {}),
        (GATEWAY, "350100", [(f"{LONG}/humidity", 10)], {}),
        (GATEWAY, "350100", [(f"th1/humidity/{LONG}", 10)], {}),
        (GATEWAY, "350100", [("th\x001/humidity", 10)], {}),
        (GATEWAY, "350100", [("th1/humidity", 1e30)], {}),
        (GATEWAY, "350100", [("th1/humidity", 10)], {"outbox": Outbox(9, 1, 2**63)}),
    ],
)
def test_no_name_or_number_of_one_gateway_fails_the_transaction_of_all(made, node, group, points, more):
    """PostgreSQL counts characters and refuses NUL, where SQLite takes anything: such a birth is refused alone, and said."""
    acceptor = Ingest(made.watch, lambda *_: None, made.metrics)
    declared = [PointDeclaration(metric, alias, ROOM, "", interval) for alias, (metric, interval) in enumerate(points, 1)]
    payload = encode(node_birth(declared, now=made.now, **{"bd_seq": 1, "outbox": Outbox(9, 1, 0)} | more))
    made.birth()
    acceptor.accept(Incoming(f"spBv1.0/{group}/NBIRTH/{node}", payload, made.now))
    assert made.send(("th1/humidity", 50)).upto == 1  # in the same transaction, had it been let in
    with made.db.read() as session:
        assert len(session.scalars(select(Refused)).all()) == 1
