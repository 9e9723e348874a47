"""Housekeeping by the calendar. Nothing else imports APScheduler, and nothing here is an alarm timer: those are stored instants.

A job is a row: name, how often, a function of the time. One that fails is logged, once for as long as its reason stays the same, and counted by its
missing success in /metrics; it runs again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from server.metrics import Metrics

log = logging.getLogger("server.jobs")

ZONE = ZoneInfo("Asia/Shanghai")
_SELDOM_S, _SOON_S = 3600, 60
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Job:
    """`every_s` seconds, or daily at `at` (hour, minute) Beijing time. `title` is what people call it."""

    name: str
    title: str
    run: Callable[[int], object]
    every_s: int | None = None
    at: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failing:
    """A job that has not succeeded since an instant (UTC ms), and its last reason."""

    job: Job
    since: int
    reason: str


class Jobs:
    """The scheduler of one server."""

    def __init__(self, jobs: tuple[Job, ...], metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self._failing: dict[str, Failing] = {}
        # A run that the machine slept through is made up for once, however late.
        self._scheduler = BackgroundScheduler(timezone=ZONE, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1})
        for job in jobs:
            self._scheduler.add_job(self._run, self._trigger(job), args=(job,), id=job.name, replace_existing=True, **self._first(job))

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """Let a running job end and stop."""
        self._scheduler.shutdown(wait=True)

    def failing(self) -> tuple[Failing, ...]:
        """Jobs whose last run failed; safe from any thread."""
        return tuple(self._failing.copy().values())

    @staticmethod
    def _first(job: Job) -> dict[str, datetime]:
        """What runs each hour or more seldom begins a minute after the start: a server that is restarted often would never come to it."""
        soon = job.every_s is not None and job.every_s >= _SELDOM_S
        return {"next_run_time": datetime.now(ZONE) + timedelta(seconds=_SOON_S)} if soon else {}

    @staticmethod
    def _trigger(job: Job) -> Any:
        if job.at is not None:
            return CronTrigger(hour=job.at[0], minute=job.at[1], timezone=ZONE)
        return IntervalTrigger(seconds=job.every_s, timezone=ZONE)

    def _run(self, job: Job) -> None:
        now = self._clock()
        try:
            job.run(now)
        except Exception as error:
            before, reason = self._failing.get(job.name), f"{type(error).__name__}: {error}"
            # A job of every two seconds would bury everything else in the log.
            if before is None or before.reason != reason:
                log.exception("job %s failed; it runs again at its next time and is silent until that changes", job.name)
            self._failing[job.name] = Failing(job, now if before is None else before.since, reason)
            return
        if self._failing.pop(job.name, None) is not None:
            log.warning("job %s works again", job.name)
        self._metrics.job_success.labels(job.name).set(now / 1000)
