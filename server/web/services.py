"""What the web part is handed at composition, and nothing else: it builds none of it and closes none of it."""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry

from server.duty.calendar import Workdays
from server.duty.cards import Cards, default_cards
from server.live.board import Board
from server.live.hub import Hub
from server.net_guard import LOCAL
from server.notify.forecast import Forecast
from server.org.claiming import Reach
from server.org.import_jobs import ImportJobs
from server.org.sessions import SignInLimits
from server.org.still_keeping import DEFAULT_DAYS
from server.pool import Pool
from server.reports.desk import Desk
from server.series import SeriesStore
from server.settings import WatchSettings
from server.store.session import Database
from server.watch.commands import Command, Outcome
from server.watch.rulebook import RuleBook

if TYPE_CHECKING:
    from server.org.oidc import Provider


class WatchDoor(Protocol):
    """The watch as the web sees it: the one place where an alarm changes."""

    def submit(self, command: Command) -> "Future[Outcome]":
        """Queue a command; the future holds its outcome after the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A static key for a program. `role` is a role of rights.py (`service` or `gateway`); a gateway's `name` is its code; `unit` None reaches all."""

    name: str
    role: str
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per minute; 0 = no limit. Failed sign-ins count per address, requests and exports per session, key or, without either, address."""

    sign_in: int = 0
    requests: int = 0
    exports: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Settings of the web part. `tokens` maps SHA-256 (hex) of a bearer key to what it may do; keys themselves are never held."""

    data_folder: Path
    limits: SignInLimits = field(default_factory=SignInLimits)
    tokens: Mapping[str, ApiToken] = field(default_factory=dict)
    banner: str | None = None
    provider_token: str = field(default="", repr=False)
    """Signs the SMS provider's calls."""
    public_url: str = ""
    """Where the outside world finds this server, e.g. https://watch.example.cn; "" when it does not."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or CIDR of reverse proxies whose X-Forwarded-For is believed."""
    metrics_networks: tuple[str, ...] = LOCAL
    """Addresses or CIDR that may read /metrics."""
    gateway_certificates: bool = False
    """The broker lets gateways in by client certificate alone."""
    rates: Rates = field(default_factory=Rates)
    version: str = ""
    command_timeout_s: float = 10.0
    ping_ms: int = 5_000
    still_days: int = DEFAULT_DAYS
    """How long stills are kept where no unit says otherwise."""
    manual_min: float = 60
    """How long a person's report counts, for the page that takes it."""

    @staticmethod
    def digest(key: str) -> str:
        """The form in which a bearer key is kept."""
        return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a request may need. `clock` gives UTC ms; `ready` names what is not ready, with the reason: empty means ready.

    `rulebook` holds the rules in force, `pool` does what takes long, `workdays` is the calendar, `reach` says where gateways find the broker,
    `forecast` who will be called next (None where nothing is sent).
    """

    db: Database
    watch: WatchDoor
    hub: Hub
    board: Board
    store: SeriesStore
    desk: Desk
    settings: WebSettings
    clock: Callable[[], int]
    registry: CollectorRegistry
    cards: Cards = field(default_factory=default_cards)
    ready: Callable[[], Mapping[str, str]]
    imports: ImportJobs = field(default_factory=ImportJobs)
    rulebook: RuleBook
    pool: Pool = field(default_factory=Pool)
    provider: "Provider | None" = None
    watch_settings: WatchSettings = field(default_factory=WatchSettings)
    workdays: Workdays = field(default_factory=Workdays)
    forecast: Forecast | None = None
    reach: Reach = field(default_factory=lambda: Reach("127.0.0.1", 1883, "aw"))
