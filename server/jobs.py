"""Housekeeping by the calendar. Nothing else imports APScheduler, and nothing here is an alarm timer: those are stored instants.

A job is a row: name, how often, a function of the time. One that fails is logged, once for as long as its reason stays the same, and counted by its
missing success in /metrics; it runs again.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from server.metrics import Metrics

log = logging.getLogger("server.jobs")

ZONE = ZoneInfo("Asia/Shanghai")
_SELDOM_S, _SOON_S, _APART_S = 3600, 60, 7
_GOLDEN = 0.618034
_SELDOM_AT_ONCE = 2
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


def first_runs(jobs: Iterable[Job]) -> dict[str, float]:
    """Seconds from the start to the first run of each job that runs at intervals.

    No two meet: ten at once take the interpreter from an alarm for a second. What runs often begins somewhere within its interval; what runs each
    hour or more seldom begins after a minute, one behind the other: a server that is restarted often would never come to it.
    """
    at_intervals = [(job.name, job.every_s) for job in jobs if job.every_s is not None]
    often = [(name, every) for name, every in at_intervals if every < _SELDOM_S]
    seldom = [name for name, every in at_intervals if every >= _SELDOM_S]
    begins = {name: every * (number * _GOLDEN % 1) for number, (name, every) in enumerate(often, 1)}
    return begins | {name: float(_SOON_S + number * _APART_S) for number, name in enumerate(seldom)}


class Jobs:
    """The scheduler of one server. What is seldom has time, and shares a narrow pool."""

    def __init__(self, jobs: tuple[Job, ...], metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self._failing: dict[str, Failing] = {}
        # A run that the machine slept through is made up for once, however late.
        self._scheduler = BackgroundScheduler(
            timezone=ZONE, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            executors={"default": ThreadPoolExecutor(10), "seldom": ThreadPoolExecutor(_SELDOM_AT_ONCE)},
        )  # fmt: skip
        begins, now = first_runs(jobs), datetime.now(ZONE)
        for job in jobs:
            first = {"next_run_time": now + timedelta(seconds=begins[job.name])} if job.name in begins else {}
            pool = "default" if job.every_s is not None and job.every_s < _SELDOM_S else "seldom"
            self._scheduler.add_job(self._run, self._trigger(job), args=(job,), id=job.name, replace_existing=True, executor=pool, **first)

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
