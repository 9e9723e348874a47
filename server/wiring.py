"""What several compositions (server, commands) make of the settings in the same way. No logic."""

import secrets

from server.org import broker_access, broker_files
from server.org.broker_access import BrokerAccess
from server.org.broker_files import Host, Listener
from server.org.claiming import Reach
from server.secret_files import SecretFileError, secret
from server.settings import Settings
from server.store.session import Database

_LIVING = {"mosquitto": ("passwords", "acl"), "nats": ("users.conf",)}
"""Files that follow the table of gateways; the others hold what the operator decides."""


def reach(settings: Settings) -> Reach:
    """How gateways find the broker."""
    gateways, broker = settings.gateways, settings.broker
    authority = gateways.broker_ca or broker.tls_ca
    return Reach(
        host=gateways.broker_host or broker.host, port=gateways.broker_port or broker.port, host_id=settings.host_id,
        ca=authority.read_text("utf-8") if authority is not None else "", tls=authority is not None,
    )  # fmt: skip


def broker_host(settings: Settings, kind: str) -> Host:
    """The server as a client of its broker. Raises SecretFileError where anybody could sign in as it: neither password nor certificate."""
    broker = settings.broker
    if broker.password_file is None and broker.tls_cert is None:
        raise SecretFileError("server.yaml 的 broker 没有 password_file，也没有 tls_cert：任何人都能冒充中心登录消息服务器。")
    # With a certificate alone nobody may come in by a password: one that nobody knows.
    password = secret(broker.password_file) or secrets.token_urlsafe(32)
    return broker_access.host(kind, broker.username or "server", password, settings.host_id, settings.groups)


def access(settings: Settings, db: Database) -> BrokerAccess | None:
    """What keeps the broker's files, where the settings ask for it."""
    wanted = settings.gateways
    if wanted.access == "none" or wanted.access_folder is None:
        return None
    kind, render = wanted.access, getattr(broker_files, wanted.access)
    host = broker_host(settings, kind)
    return BrokerAccess(db, wanted.access_folder, kind, lambda clients: render(clients, host, Listener()), _LIVING[kind], wanted.reload)
