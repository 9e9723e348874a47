"""The server's settings: one frozen model from `server.yaml`. Imported by app and cli only; everybody else is handed what he needs."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.engine import make_url

from contract.located_yaml import LocatedYamlError, load_located
from server.net_guard import ANYWHERE, LOCAL
from server.secret_files import secret


class SettingsError(ValueError):
    """The settings cannot be used; the text is one sentence, with file, line and reason where the file is at fault."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Frozen):
    """The MQTT broker. `tls_ca` switches TLS on."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    keepalive_s: int = 20


class GatewaySettings(_Frozen):
    """How gateways reach the broker, as they are told when they are claimed, and the files by which the broker knows them.

    `broker_host` and `broker_port` are those of `broker` unless the gateways see another address; `broker_ca` (PEM) is what they check the broker's
    certificate against. `access` writes the broker's files into `access_folder` whenever credentials change, and then runs `reload`.
    `client_certificates`: the broker asks every gateway for a certificate of ours, so that nothing else lets in one without credentials made here.
    """

    broker_host: str | None = None
    broker_port: int | None = Field(default=None, ge=1, le=65535)
    broker_ca: Path | None = None
    client_certificates: bool = False
    access: Literal["mosquitto", "nats", "none"] = "none"
    access_folder: Path | None = None
    reload: tuple[str, ...] = Field(default=(), description="program and arguments, e.g. [systemctl, reload, mosquitto]")

    @model_validator(mode="after")
    def _somewhere(self) -> "GatewaySettings":
        if self.access != "none" and self.access_folder is None:
            raise ValueError("access needs access_folder")
        return self


class WatchSettings(_Frozen):
    """How long silence may last. A point's deadline is `stale_intervals` of its reporting interval, at least `stale_min_s`.

    A room that is blind for `room_blind_s` becomes an alarm, an urgent one after `room_blind_urgent_s`. Climate out of band for
    `chronic_after_h` becomes a standing state. `manual_min`: how long a person's report counts.
    """

    stale_intervals: float = 3
    stale_min_s: float = 180
    foreign_limit_s: float = 900
    restart_holdoff_s: float = 30
    gather_ms: int = 50
    room_blind_s: float = 600
    room_blind_urgent_s: float = 1800
    chronic_after_h: float = 72
    manual_min: float = 60
    acknowledge_gateways: bool = True
    """False only in the fault test that proves the acknowledgement matters."""

    @property
    def room_blind_ms(self) -> int:
        """`room_blind_s` in ms."""
        return int(self.room_blind_s * 1000)

    @property
    def room_blind_urgent_ms(self) -> int:
        """`room_blind_urgent_s` in ms."""
        return int(self.room_blind_urgent_s * 1000)

    def allowed_ms(self, interval_ms: int | None) -> int:
        """How long a point with that reporting interval may be silent; None: nobody has told the interval."""
        if interval_ms is None:
            return int(self.foreign_limit_s * 1000)
        return max(int(interval_ms * self.stale_intervals), int(self.stale_min_s * 1000))

    @staticmethod
    def grace_ms(allowed: int, left: int) -> int:
        """How long a silent point has after its gateway's return: all its time, or, when the gateway had gone within that, what was `left`; yet a
        third of it, in which it can report once. A line that falls ever so often would otherwise put off for ever that a sensor is dead."""
        return max(left, allowed // 3) if left else allowed


class SeriesSettings(_Frozen):
    """Where history lies: embedded DuckDB and Parquet, or a server of the Influx family."""

    kind: Literal["embedded", "influx"] = "embedded"
    url: str = ""
    org: str = "archivewatch"
    bucket: str = "archivewatch"
    token_file: Path | None = None
    keep_days: int = Field(default=0, ge=0, description="samples older than this are deleted, hourly and daily figures stay; 0 keeps all")


class SmsSettings(_Frozen):
    """The SMS channel. `base_url` points to a relay or a simulated gateway instead of the provider's own address."""

    kind: Literal["twilio", "outbox_file", "none"] = "outbox_file"
    account_sid: str = ""
    token_file: Path | None = None
    sender: str = ""
    base_url: str | None = None
    status_callback: str | None = None
    lookup_grace_s: float = 60
    claim_s: float = 30
    poll_receipts: bool = True
    poll_replies: bool = True
    """Whether the provider is asked for what people reply; nothing is lost without, where its callback reaches us."""
    reply_hint: bool = False
    """Whether texts invite replies: where people can answer by SMS."""
    cap: int = 5
    """Messages to one phone within `cap_minutes`; what is beyond comes as one summary. Never for the highest level; 0 = no cap."""
    cap_minutes: float = 10


class ChannelEntry(_Frozen):
    """A further channel, in order of preference behind `sms`. Calls (twilio_voice) and texts (http, modem) go to persons; the others are groups that
    are told of everything at `levels` in `unit` and below. `options` are those of the channel's module."""

    kind: Literal["twilio", "outbox_file", "twilio_voice", "http", "modem", "email", "webhook", "chat", "screen", "siren"]
    name: str = ""
    title: str = ""
    account_sid: str = ""
    token_file: Path | None = None
    sender: str = ""
    base_url: str | None = None
    timeout_s: float = 10
    unit: str | None = None
    levels: tuple[Literal["critical", "urgent", "alarm", "warn"], ...] = ("critical", "urgent")
    to: tuple[str, ...] = ()
    options: dict[str, str] = Field(default_factory=dict)


class StillSettings(_Frozen):
    """How many days camera stills are kept where no unit says otherwise; those of an incident are kept with its dossier."""

    keep_days: int = Field(default=90, ge=1, le=3650)


class ReportSettings(_Frozen):
    """Papers: set times of the register (Beijing), how far from them a sample may lie, and a folder whose forms take the place of the packaged."""

    morning: str = Field(default="09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    afternoon: str = Field(default="15:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    tolerance_min: float = Field(default=15, gt=0, le=180)
    forms: Path | None = None


class SignInSettings(_Frozen):
    """Idle and absolute timeouts of a browser session, and the lock-out. A board that runs all night is a terminal, which no time-out ends."""

    idle_h: float = 0.5
    absolute_h: float = 24
    failures: int = 5
    lock_min: float = 15


class ProviderEntry(_Frozen):
    """Sign-in through a provider by OpenID Connect. `claim` of its ID token must be the code of a person here; `title` stands on the button."""

    issuer: str
    client_id: str
    secret_file: Path
    claim: str = "preferred_username"
    title: str = "统一身份认证"


class RateSettings(_Frozen):
    """Per minute: failed sign-ins of an address; requests, and orders of papers and exports, of a session, key or address. 0 = no limit."""

    sign_in: int = Field(default=20, ge=0)
    requests: int = Field(default=3_000, ge=0)
    exports: int = Field(default=60, ge=0)


class LdapSettings(_Frozen):
    """A directory of people. `attributes` maps columns of the import (code, name, phone, unit, email) to the directory's attributes; `unit` must hold
    the 12-digit code. Without `start_tls` use ldaps://, or plain ldap:// on a trusted line alone."""

    url: str
    base: str
    user: str | None = None
    password_file: Path | None = None
    filter: str = "(objectClass=person)"
    attributes: dict[str, str] = Field(
        default_factory=lambda: {"code": "employeeNumber", "name": "cn", "phone": "mobile", "unit": "departmentNumber", "email": "mail"}
    )
    state_attribute: str = "employeeType"
    left: tuple[str, ...] = ("离职", "退休", "left", "inactive")
    start_tls: bool = False
    ca: Path | None = None


class PeopleFeedSettings(_Frozen):
    """Where people come from: a folder for lists, looked at each minute, and a directory, read every `every_h` hours (at most 24: leavers)."""

    folder: Path | None = None
    ldap: LdapSettings | None = None
    every_h: float = Field(default=6, gt=0, le=24)


class Settings(_Frozen):
    """All of server.yaml. Relative paths count from the file's folder."""

    listen: str = "127.0.0.1:8080"
    data_dir: Path = Path("var")
    database: str | None = None
    database_password_file: Path | None = None
    host_id: str = "aw"
    groups: tuple[str, ...] = ("+",)
    broker: BrokerSettings = BrokerSettings()
    gateways: GatewaySettings = GatewaySettings()
    watch: WatchSettings = WatchSettings()
    series: SeriesSettings = SeriesSettings()
    sms: SmsSettings = SmsSettings()
    channels: tuple[ChannelEntry, ...] = ()
    public_url: str | None = Field(default=None, description="our own address as a provider calls it, e.g. https://aw.example.org")
    holidays: Path | None = Field(default=None, description="days that are worked or not, over the library's calendar")
    sign_in: SignInSettings = SignInSettings()
    rates: RateSettings = RateSettings()
    provider: ProviderEntry | None = Field(default=None, description="sign-in through an OpenID Connect provider")
    outgoing_networks: tuple[str, ...] = Field(default=ANYWHERE, description="where webhooks, HTTP gateways and chat relays may lead, as CIDR")
    people_feed: PeopleFeedSettings = PeopleFeedSettings()
    reports: ReportSettings = ReportSettings()
    stills: StillSettings = StillSettings()
    rules: Path | None = None
    escalation: Path | None = None
    watch_checks_per_day: float = Field(
        default=0.0, ge=0, le=48, description="random questions to each staffed duty desk in a day on average; 0 = none"
    )
    cards: Path | None = Field(default=None, description="action cards of the operator; the packaged ones unless set")
    gateway_token_file: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    metrics_networks: tuple[str, ...] = Field(default=LOCAL, description="who may read /metrics without a sign-in, as addresses or CIDR")
    anchor_folders: tuple[Path, ...] = Field(default=(), description="further folders for the daily audit anchor, e.g. a mount of another machine")
    banner: str | None = Field(default=None, description="shown on every page, e.g. by the demo")

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL; SQLite in the data folder unless set. A password comes from its file. Raises SecretFileError."""
        url = self.database or f"sqlite:///{self.data_dir / 'archivewatch.db'}"
        if self.database_password_file is None:
            return url
        return make_url(url).set(password=secret(self.database_password_file)).render_as_string(hide_password=False)

    @property
    def host(self) -> str:
        """Address part of `listen`."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Port part of `listen`."""
        return int(self.listen.rpartition(":")[2])


def load_settings(path: Path) -> Settings:
    """Read server.yaml. Raises SettingsError with file, line and reason."""
    try:
        document = load_located(path.read_text("utf-8"))
        settings = Settings.model_validate(document.data)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except LocatedYamlError as error:
        raise SettingsError(f"{path}:{error.line}: {error.reason}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}:{document.line(first['loc'])}: {where}: {first['msg']}") from error
    return _resolve(settings, path.resolve().parent)


def _resolve(settings: Settings, folder: Path) -> Settings:
    def absolute(model: BaseModel) -> BaseModel:
        changes: dict[str, Any] = {}
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, Path):
                changes[name] = folder / value
            elif isinstance(value, BaseModel):
                changes[name] = absolute(value)
            elif isinstance(value, tuple) and any(isinstance(one, BaseModel | Path) for one in value):
                changes[name] = tuple(absolute(one) if isinstance(one, BaseModel) else folder / one for one in value)
        return model.model_copy(update=changes)

    resolved = absolute(settings)
    assert isinstance(resolved, Settings)  # noqa: S101 - for the type checker
    return resolved
