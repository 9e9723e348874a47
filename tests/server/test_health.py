"""The centre looks at itself: what fails there is an alarm with words of its own, and it ends when the fault does."""

import pytest
from sqlalchemy import select

from server.history.drain import History
from server.jobs import Failing, Job
from server.jobs_health import HISTORY_MS, LEAST_FREE, LOW_FREE, PATIENCE_MS, RULE, Health, trouble_of_history, troubles_of_jobs
from server.metrics import Metrics
from server.series.embedded import EmbeddedStore
from server.store.tables import Alarm, Journal

OFTEN = Job("broker_access", "消息服务器的权限文件", lambda _now: None, every_s=2)
DAILY = Job("audit_anchor", "审计锚", lambda _now: None, at=(0, 5))


@pytest.fixture
def centre(slice_):
    """The health of a running watch whose disk and jobs are as the test says."""

    class Centre:
        free: float = 100 << 30
        failing: tuple[Failing, ...] = ()
        metrics = Metrics()

        def look(self):
            health = Health(
                slice_.db, slice_.folder, lambda now: troubles_of_jobs(self.failing, now), slice_.watch.submit,
                free=lambda _folder: self.free, on_free=self.metrics.disk_free.set,
            )  # fmt: skip
            health.run_once(slice_.now)
            slice_.run()

        def alarms(self):
            with slice_.db.read() as session:
                query = select(Alarm).where(Alarm.rule == RULE).order_by(Alarm.id)
                return [(row.subject, row.level, row.state, row.note) for row in session.scalars(query)]

    return Centre()


def test_a_disk_that_fills_is_an_alarm_that_rises_and_ends(centre):
    centre.look()
    assert centre.alarms() == []
    centre.free = LOW_FREE - 1
    centre.look()
    centre.look()
    [(subject, level, state, note)] = centre.alarms()
    assert (subject, level, state) == ("centre:disk", "alarm", "active_unacked")
    assert "5.0 GiB" in note
    centre.free = LEAST_FREE - 1
    centre.look()
    assert [row[1] for row in centre.alarms()] == ["urgent"]
    assert centre.metrics.registry.get_sample_value("archivewatch_disk_free_bytes") == LEAST_FREE - 1
    centre.free = LOW_FREE
    centre.look()
    assert [row[2] for row in centre.alarms()] == ["cleared_unacked"]


def test_work_that_never_succeeds_is_an_alarm_and_a_hiccup_is_none(centre, slice_):
    began = slice_.now
    centre.failing = (Failing(OFTEN, began, "BrokerReloadError: no such process"),)
    centre.look()
    assert centre.alarms() == []
    slice_.run(PATIENCE_MS / 1000)
    centre.look()
    [(subject, level, _state, note)] = centre.alarms()
    assert (subject, level) == ("centre:job:broker_access", "alarm")
    assert "消息服务器的权限文件" in note
    assert "no such process" in note
    centre.failing = ()
    centre.look()
    assert [row[2] for row in centre.alarms()] == ["cleared_unacked"]


def test_daily_work_is_a_fault_at_its_first_failure():
    assert [one.subject for one in troubles_of_jobs([Failing(DAILY, 0, "OSError: full")], 1)] == ["centre:job:audit_anchor"]
    assert [one.subject for one in troubles_of_jobs([Failing(OFTEN, 0, "OSError: full")], 1)] == []


def test_history_that_is_not_written_is_told_from_the_journal(slice_, tmp_path):
    history = History(slice_.db, EmbeddedStore(tmp_path / "series"), limits=dict)
    slice_.birth()
    slice_.send(("th1/humidity", 55.0))
    with slice_.db.read() as session:
        waiting = history.waiting_since(session)
        assert waiting == session.scalar(select(Journal.received_at).order_by(Journal.id))
    assert list(trouble_of_history(waiting, waiting + HISTORY_MS - 1)) == []
    [trouble] = trouble_of_history(waiting, waiting + HISTORY_MS)
    assert "没有丢" in trouble.note
    history.run_once(slice_.now)
    with slice_.db.read() as session:
        assert history.waiting_since(session) is None
