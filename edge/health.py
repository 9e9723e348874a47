"""When a silent device counts as failing, quarantined and offline. Pure; `mono` is monotonic milliseconds.

Failing from the first failure, quarantined after `offline_failures` in a row (then it is only probed, at growing distances), offline when it has
besides been failing for `offline_s`. One success ends all of it.
"""

from dataclasses import dataclass, replace

from contract.profile_models import Health as Rule


@dataclass(frozen=True, slots=True)
class Health:
    """`failing_since` is None while all is well; `retry_at` is when the device may be asked again."""

    failures: int = 0
    failing_since: float | None = None
    retry_at: float = float("-inf")
    told: bool = False
    kind: str = ""

    @property
    def word(self) -> str:
        """For the status: ok, failing or offline."""
        return "ok" if self.failing_since is None else "offline" if self.told else "failing"


def quarantined(health: Health, rule: Rule) -> bool:
    """Whether the device is only probed."""
    return health.failures >= rule.offline_failures


def failed(health: Health, rule: Rule, kind: str, mono: float, wait_ms: float = 0, *, backoff: bool = True) -> Health:
    """One more failure; the next try waits `wait_ms`, and in quarantine as long as the rule says, unless it was not the device's fault."""
    failures = health.failures + 1
    step = failures - rule.offline_failures
    pause = rule.backoff_s[min(step, len(rule.backoff_s) - 1)] * 1000 if backoff and step >= 0 and rule.backoff_s else 0
    since = mono if health.failing_since is None else health.failing_since
    return replace(health, failures=failures, failing_since=since, retry_at=mono + max(wait_ms, pause), kind=kind)


def goes_offline(health: Health, rule: Rule, mono: float) -> bool:
    """Whether it is offline and nobody was told yet."""
    if health.told or health.failing_since is None or health.failures < rule.offline_failures:
        return False
    return mono - health.failing_since >= rule.offline_s * 1000
