"""What a transition remembers of the rules of its day, and that the migrations and the tables say the same."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from server.store import rule_sets
from server.store.schema import Base
from server.store.tables import Transition
from server.store.tables_alarms import RuleSetVersion
from server.watch import commands


def test_a_transition_keeps_version_limit_and_origin(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 70.0))
    slice_.run(20)
    slice_.send(("th1/humidity", 70.0))
    slice_.send(("smoke1/smoke", 1))
    version = slice_.watch._rules.version
    kept = [(row.name, row.level, row.limit, row.limit_origin, row.rule_set == version) for row in slice_.rows(Transition)]
    assert kept == [("raised", "alarm", 65, "everywhere", True), ("raised", "critical", 1, "everywhere", True)]


def test_each_rule_set_that_was_in_force_is_kept_with_its_first_instant(slice_):
    began, first = slice_.now, slice_.watch._rules
    slice_.now += 60_000
    slice_.start()
    slice_.rules = slice_.rules.replace("above: 60", "above: 59")
    slice_.start()
    with slice_.db.read() as session:
        assert {row.version: row.since for row in session.query(RuleSetVersion)} == {first.version: began, slice_.watch._rules.version: slice_.now}
        assert rule_sets.get(session, first.version) == first
        assert rule_sets.get(session, "0" * 64) is None


def test_smoke_of_two_persons_stays_heard_in_maintenance_and_needs_a_second_name_to_be_retired(slice_):
    slice_.rules = slice_.rules.replace("latch: true", "latch: true\n    two_persons: true")
    slice_.start()
    slice_.birth()
    until = slice_.now + 3_600_000
    assert slice_.order(commands.Maintenance(room=slice_.ROOM, until=until, reason="除尘", person="王", by="li")).ok
    slice_.send(("smoke1/smoke", 1))
    alarm = slice_.rows(Transition, name="raised")[0].alarm
    assert slice_.order(commands.OutOfService(alarm=alarm, by="li", reason="送检")).code == "not_allowed"
    assert slice_.order(commands.OutOfService(alarm=alarm, by="li", reason="送检", second="li")).code == "not_allowed"
    assert slice_.order(commands.OutOfService(alarm=alarm, by="li", reason="送检", second="wang")).ok


def test_the_migrations_make_exactly_the_tables_of_the_code(slice_):
    with slice_.db.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert [entry for entry in found if not isinstance(entry, list)] == []
