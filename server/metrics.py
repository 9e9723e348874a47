"""The counters and gauges of /metrics; names are shared with the Grafana board and outside tests (surface.md)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "archivewatch_"


class Metrics:
    """One registry per server, handed in at composition: nothing global, so that two servers can live in one test process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.samples_accepted = Counter(_PREFIX + "samples_accepted", "Samples committed to the journal", registry=self.registry)
        self.refused = Counter(_PREFIX + "refused", "Messages or samples refused", ["reason"], registry=self.registry)
        self.duplicates = Counter(_PREFIX + "duplicate_batches", "Batches at or below the watermark", registry=self.registry)
        self.commits = Counter(_PREFIX + "commits", "Transactions of the watch", registry=self.registry)
        self.commit_failures = Counter(_PREFIX + "commit_failures", "Transactions of the watch that failed", registry=self.registry)
        self.rebirths = Counter(_PREFIX + "rebirth_requests", "Rebirths asked of gateways", registry=self.registry)
        self.watermark_lag = Gauge(_PREFIX + "watermark_lag_seconds", "Age of the newest committed sample", registry=self.registry)
        self.journal_backlog = Gauge(_PREFIX + "journal_backlog_rows", "Journal rows not yet in the series store", registry=self.registry)
        self.sample_to_alarm = Histogram(
            _PREFIX + "sample_to_alarm_seconds",
            "From taken_at to the committed alarm",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30),
            registry=self.registry,
        )
        self.outbox_oldest = Gauge(_PREFIX + "outbox_oldest_seconds", "Age of the oldest notification not yet sent", registry=self.registry)
        self.notifications = Counter(_PREFIX + "notifications", "Notifications by outcome", ["channel", "result"], registry=self.registry)
        self.gateways_offline = Gauge(_PREFIX + "gateways_offline", "Claimed gateways that are offline", registry=self.registry)
        self.rooms = Gauge(_PREFIX + "rooms", "Rooms by state", ["state"], registry=self.registry)
        self.stream_clients = Gauge(_PREFIX + "stream_clients", "Open event streams", registry=self.registry)
        self.disk_free = Gauge(_PREFIX + "disk_free_bytes", "Free space where the data lie", registry=self.registry)
        self.job_success = Gauge(_PREFIX + "job_last_success_timestamp", "Unix time of the last success", ["job"], registry=self.registry)
