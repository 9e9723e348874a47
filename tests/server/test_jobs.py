"""Housekeeping begins soon after the start where it comes seldom, and at its own pace where it comes often."""

from datetime import datetime, timedelta

import pytest

from server.jobs import ZONE, Job, Jobs
from server.metrics import Metrics


@pytest.mark.parametrize(("every_s", "first_s"), [(3600, 60), (21_600, 60), (600, 600), (5, 5)])
def test_what_comes_seldom_does_not_wait_for_its_first_interval(every_s: int, first_s: int) -> None:
    began = datetime.now(ZONE)
    jobs = Jobs((Job("books", lambda _now: None, every_s=every_s),), Metrics(), lambda: 0)
    jobs._scheduler.start(paused=True)
    found = jobs._scheduler.get_job("books").next_run_time
    jobs.stop()
    assert timedelta(seconds=first_s) <= found - began + timedelta(seconds=1) < timedelta(seconds=first_s + 60)
