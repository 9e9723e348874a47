"""Housekeeping begins soon after the start where it comes seldom, and at its own pace where it comes often."""

from datetime import datetime, timedelta

import pytest

from server.jobs import ZONE, Job, Jobs
from server.metrics import Metrics


@pytest.mark.parametrize(("every_s", "first_s"), [(3600, 60), (21_600, 60), (600, 600), (5, 5)])
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
