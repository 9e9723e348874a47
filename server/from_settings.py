"""From the settings to the single parts of the server: each function makes one part or the values that it wants."""

import os
import secrets
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from alarms.builtin import with_smoke
from alarms.rules import Rule, RuleError, RuleSet, default_rules, load_rules
from server.ingest.line import Line
from server.ingest.mqtt import Connection
from server.org.sessions import SignInLimits
from server.org.vouching import ProviderSettings
from server.secret_files import readable, secret
from server.settings import Settings
from server.web.labels import OWN_RULE_FILE
from server.web.services import ApiToken, Rates, WebSettings

if TYPE_CHECKING:
    from server.org.oidc import Provider


def rules(settings: Settings) -> RuleSet:
    """The operator's rules with the product's for smoke, else the product's. An own rule that names no source has the file as its source.

    Raises RuleError, OSError.
    """
    if settings.rules is None:
        return default_rules()
    source = f"{OWN_RULE_FILE} {settings.rules.name}"
    own = RuleSet(tuple(_sourced(rule, source) for rule in load_rules(settings.rules).rules))
    try:
        return with_smoke(own)
    except ValueError as error:
        raise RuleError(str(settings.rules), 1, str(error)) from error


def _sourced(rule: Rule, source: str) -> Rule:
    by_medium = tuple((medium, None if one is None else _sourced(one, source)) for medium, one in rule.by_medium)
    return replace(rule, source=rule.source or source, by_medium=by_medium)


def line(settings: Settings) -> Line:
    """The connection to the broker, not started. Raises SecretFileError."""
    broker = settings.broker
    authority = readable(broker.tls_ca)
    to = Connection(
        host=broker.host, port=broker.port, host_id=settings.host_id, groups=settings.groups, username=broker.username,
        password=secret(broker.password_file), keepalive_s=broker.keepalive_s,
        tls=(authority, readable(broker.tls_cert), readable(broker.tls_key)) if authority is not None else None,
    )  # fmt: skip
    return Line(to)


def provider(settings: Settings) -> "Provider | None":
    """The outside provider of sign-ins; None where the settings name none."""
    entry = settings.provider
    if entry is None:
        return None
    from server.org.oidc import Provider  # noqa: PLC0415 - half a second of libraries: only who has a provider waits for them

    return Provider(
        ProviderSettings(**entry.model_dump(exclude={"secret_file"}), client_secret=secret(entry.secret_file), networks=settings.outgoing_networks)
    )


def web_settings(settings: Settings) -> WebSettings:
    """What the pages and routes want to know. Writes a new key for the command line into the data folder."""
    sign_in = settings.sign_in
    limits = SignInLimits(
        idle_ms=int(sign_in.idle_h * 3_600_000), absolute_ms=int(sign_in.absolute_h * 3_600_000),
        failures=sign_in.failures, lock_ms=int(sign_in.lock_min * 60_000),
    )  # fmt: skip
    tokens = _gateway_tokens(settings.gateway_token_file) | _command_token(settings.data_dir)
    return WebSettings(
        data_folder=settings.data_dir, limits=limits, tokens=tokens, banner=settings.banner,
        provider_token=secret(settings.sms.token_file) if settings.sms.kind == "twilio" else "", public_url=settings.public_url or "",
        trusted_proxies=settings.trusted_proxies, metrics_networks=settings.metrics_networks,
        gateway_certificates=settings.gateways.client_certificates, rates=Rates(**settings.rates.model_dump()), manual_min=settings.watch.manual_min,
        still_days=settings.stills.keep_days,
        version=version("archivewatch"),
    )  # fmt: skip


def _gateway_tokens(path: Path | None) -> dict[str, ApiToken]:
    """Lines `<gateway code> <key>`; the keys let gateways upload stills, nothing else."""
    tokens: dict[str, ApiToken] = {}
    for line in path.read_text("utf-8").splitlines() if path is not None else ():
        if line.strip() and not line.startswith("#"):
            gateway, _, key = line.strip().partition(" ")
            tokens[WebSettings.digest(key.strip())] = ApiToken(name=gateway, role="gateway")
    return tokens


def _command_token(data_dir: Path) -> dict[str, ApiToken]:
    """A new key for the command line at each start, in a file that only this user may read (server/commands/remote.py uses it)."""
    key = secrets.token_urlsafe(32)
    with open(os.open(data_dir / "cli.token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(key)
    return {WebSettings.digest(key): ApiToken(name="cli", role="service")}
