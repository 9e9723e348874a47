"""What a transition remembers of the rules of its day, and that the migrations and the tables say the same."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from server.store import rule_sets
from server.store.schema import Base
from server.store.tables import Alarm, Transition
from server.store.tables_alarms import RuleSetVersion
from server.watch import commands
from server.watch.loop import Watch


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


TWO = """
  - {name: smoke_votes, kind: voting, quantity: smoke, ladder: {urgent: {above: 0}}, two_persons: true}
  - {name: heat, kind: threshold, quantity: temperature, ladder: {critical: {above: 50}}, two_persons: true}
"""


def test_no_single_person_silences_what_needs_two_by_any_way_around(slice_):
    slice_.rules = slice_.rules.replace("latch: true", "latch: true\n    two_persons: true") + TWO
    slice_.start()
    slice_.birth()
    slice_.send(("smoke1/smoke", 1), ("th1/temperature", 60.0), ("th1/humidity", 50.0))
    raised = {row.rule: row for row in slice_.rows(Alarm)}
    assert set(raised) == {"smoke", "smoke_votes", "heat"}
    who = {"by": "li", "room": slice_.ROOM}
    for rule in raised.values():
        assert slice_.order(commands.Shelve(alarm=rule.id, by="li", until=slice_.now + 60_000, reason="吵")).code == "not_allowed"
        assert slice_.order(commands.OutOfService(alarm=rule.id, by="li", reason="送检", second=" li ")).code == "not_allowed"
    assert slice_.order(commands.Maintenance(until=slice_.now + 60_000, reason="除尘", person="王", **who)).ok
    for stage in ("retired", "not_connected"):
        assert slice_.order(commands.SetStage(stage=stage, reason="搬迁", **who)).code == "not_allowed"
        assert slice_.order(commands.SetStage(stage=stage, reason="搬迁", second="li", **who)).code == "not_allowed"
    assert {row.state for row in slice_.rows(Alarm)} == {"active_unacked"}
    slice_.start()
    assert {row.state for row in slice_.rows(Alarm)} == {"active_unacked"}
    assert slice_.order(commands.SetStage(stage="retired", reason="搬迁", second="wang", **who)).ok
    assert {row.state for row in slice_.rows(Alarm)} == {"out_of_service"}
    assert {row.by for row in slice_.rows(Transition, name="out_of_service")} == {"li、wang"}


def test_a_failure_nobody_thought_of_fails_alone_and_never_ends_the_writer(slice_, monkeypatch):
    slice_.birth()
    stop, judged = threading.Event(), []

    def one(self, item, judge, tx):
        judged.append(item)
        if isinstance(item, commands.Report):
            raise KeyError("nobody thought of this")
        return commands.Outcome(state="fine")

    monkeypatch.setattr(Watch, "_one", one)
    bad, good = (
        slice_.watch.submit(command) for command in (commands.Report(by="li", room="x"), commands.NewRules(by="", rules=slice_.watch._rules))
    )
    writer = threading.Thread(target=slice_.watch.run, args=(stop, lambda: slice_.now))
    writer.start()
    with pytest.raises(KeyError):
        bad.result(20)
    again = [slice_.watch.submit(command) for command in (commands.Report(by="li", room="x"), commands.NewRules(by="", rules=slice_.watch._rules))]
    assert again[1].result(20).state == "fine", "what stood behind the poison was judged by itself"
    assert isinstance(again[0].exception(20), KeyError)
    assert writer.is_alive()
    stop.set()
    writer.join(20)
    assert good.done()


@pytest.mark.filterwarnings("ignore:.*expression-based index.*audit_by_place")  # test_changes_of_a_unit looks whether it is there
def test_the_migrations_make_exactly_the_tables_of_the_code(slice_):
    with slice_.db.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert [entry for entry in found if not isinstance(entry, list)] == []
