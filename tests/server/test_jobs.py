"""Housekeeping begins soon after the start where it comes seldom, and at its own pace where it comes often."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from server.jobs import ZONE, Job, Jobs, first_runs
from server.metrics import Metrics


@pytest.mark.parametrize(("every_s", "first_s"), [(3600, 60), (21_600, 60), (600, 370), (5, 3)])
def test_what_comes_seldom_does_not_wait_for_its_first_interval(every_s: int, first_s: int) -> None:
    began = datetime.now(ZONE)
    jobs = Jobs((Job("books", "账号", lambda _now: None, every_s=every_s),), Metrics(), lambda: 0)
    jobs._scheduler.start(paused=True)
    found = jobs._scheduler.get_job("books").next_run_time
    jobs.stop()
    assert timedelta(seconds=first_s) <= found - began + timedelta(seconds=1) < timedelta(seconds=first_s + 60)


def test_a_failure_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    reasons = iter(["full", "full", "gone", None, "full"])

    def run(_now: int) -> None:
        if (reason := next(reasons)) is not None:
            raise OSError(reason)

    metrics = Metrics()
    job = Job("books", "账号", run, every_s=2)
    jobs = Jobs((job,), metrics, lambda: 5_000)
    for _ in range(5):
        jobs._run(job)
    told = [record.getMessage().split(";")[0] for record in caplog.records]
    assert told == ["job books failed", "job books failed", "job books works again", "job books failed"]
    assert metrics.registry.get_sample_value("archivewatch_job_last_success_timestamp", {"job": "books"}) == 5


def test_no_two_jobs_begin_at_the_same_moment_and_what_is_seldom_comes_one_behind_the_other() -> None:
    paces = [2, 5, 15, 15, 15, 15, 30, 60, 60, 60, 60, 60, 300, 3600, 3600, 3600, 86400]
    jobs = [Job(f"job{number}", "", int, every_s=pace) for number, pace in enumerate(paces)]
    begins = first_runs([*jobs, Job("daily", "", int, at=(3, 0))])
    assert begins.keys() == {job.name for job in jobs}
    assert all(begins[job.name] <= (job.every_s or 0) for job in jobs)
    for pace in (15, 60):
        same = sorted(begins[job.name] for job in jobs if job.every_s == pace)
        assert min(later - before for before, later in pairwise([*same, same[0] + pace])) > 1.5
    assert [begins[f"job{number}"] for number in range(13, 17)] == [60, 67, 74, 81]
