"""What a broker must know so that a gateway can speak for itself alone: files for Mosquitto and for nats-server, made of the table of gateways.

A gateway may publish births, data and deaths under its own group AND its own code, and read the commands to itself and the server's STATE. Nothing
else: not another gateway's topics, not another group with its own code, not STATE, not a command. Patterns like `spBv1.0/+/NDATA/%u` would leave
the group free; so every right is written out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contract.topics import NAMESPACE
from server.org.gateway_access import GROUP, NODE

KINDS: Final = ("mosquitto", "nats")
_NODE_SAYS, _DEVICE_SAYS = ("NBIRTH", "NDATA", "NDEATH"), ("DBIRTH", "DDATA", "DDEATH")
_MADE = "# Made by ArchiveWatch from its table of gateways. Changes by hand are lost."


@dataclass(frozen=True, slots=True)
class Client:
    """A gateway as the broker sees it; `digest` in the broker's own form."""

    gateway: str
    group: str
    digest: str


@dataclass(frozen=True, slots=True)
class Host:
    """The server itself: its user name and the digest of its password, its host id (STATE), and the groups that it listens to."""

    username: str
    digest: str
    host_id: str
    groups: tuple[str, ...] = ("+",)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the broker listens. `tls`: certificate, key and CA of the broker (paths as the broker sees them). `certificates`: gateways show a client
    certificate instead of a password, whose common name is their code; `crl` then refuses the revoked ones."""

    port: int = 1883
    address: str = "127.0.0.1"
    tls: tuple[str, str, str] | None = None
    certificates: bool = False
    crl: str = ""
    folder: str = "."
    """Where the broker finds the files beside its configuration."""
    store: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def gateway_rights(client: Client, host_id: str) -> tuple[list[str], list[str]]:
    """Topics that a gateway may publish and those that it may read, as MQTT filters. Raises ValueError for a name that could widen them."""
    if not (NODE.fullmatch(client.gateway) and GROUP.fullmatch(client.group)):
        raise ValueError(f"{client.group}/{client.gateway} is no name for a topic")
    base, node = f"{NAMESPACE}/{client.group}", client.gateway
    write = [f"{base}/{kind}/{node}" for kind in _NODE_SAYS] + [f"{base}/{kind}/{node}/+" for kind in _DEVICE_SAYS]
    return write, [f"{base}/NCMD/{node}", f"{base}/DCMD/{node}/+", f"{NAMESPACE}/STATE/{host_id}"]


def host_rights(host: Host) -> tuple[list[str], list[str]]:
    """The same for the server: STATE and commands are its own, and it reads what gateways say."""
    write, read = [f"{NAMESPACE}/STATE/{host.host_id}"], [f"{NAMESPACE}/STATE/{host.host_id}"]
    for group in host.groups:
        write += [f"{NAMESPACE}/{group}/NCMD/+", f"{NAMESPACE}/{group}/DCMD/+/+"]
        read += [f"{NAMESPACE}/{group}/{kind}/+" for kind in _NODE_SAYS] + [f"{NAMESPACE}/{group}/{kind}/+/+" for kind in _DEVICE_SAYS]
    return write, read


# -- Mosquitto ----------------------------------------------------------------------------------------------------------------------------


def mosquitto(clients: Sequence[Client], host: Host, listener: Listener) -> dict[str, str]:
    """`mosquitto.conf`, `passwords` and `acl`; the latter two are read again on SIGHUP, which also ends sessions that lost their right."""
    users = [(host.username, host.digest), *((client.gateway, client.digest) for client in clients)]
    return {
        "mosquitto.conf": _mosquitto_conf(listener),
        "passwords": "".join(f"{name}:{digest}\n" for name, digest in users),
        "acl": "\n".join([_MADE, *_acl(clients, host)]) + "\n",
    }


def _acl(clients: Iterable[Client], host: Host) -> Iterable[str]:
    for name, (write, read) in [(host.username, host_rights(host)), *((c.gateway, gateway_rights(c, host.host_id)) for c in clients)]:
        yield f"\nuser {name}"
        yield from (f"topic write {topic}" for topic in write)
        yield from (f"topic read {topic}" for topic in read)


def _mosquitto_conf(listener: Listener) -> str:
    lines = [
        _MADE,
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {listener.folder}/acl",
        "# When the power of a region fails, the deaths of all its gateways come at once; the default (1000) would drop most of them.",
        "max_queued_messages 100000",
        "max_inflight_messages 100",
        "max_packet_size 262144",
        "persistence true" if listener.store else "persistence false",
        *([f"persistence_location {listener.store}/", "autosave_interval 60"] if listener.store else []),
        *(f"log_type {kind}" for kind in ("error", "warning", "notice")),
        "log_dest stderr",
        f"listener {listener.port} {listener.address}",
        "# A client id is the user name: nobody can end another one's session by taking its id.",
        "use_username_as_clientid true",
    ]
    if listener.tls is not None:
        certificate, key, ca = listener.tls
        lines += [f"certfile {certificate}", f"keyfile {key}", f"cafile {ca}", "tls_version tlsv1.2"]
    if listener.certificates:
        lines += ["require_certificate true", "use_identity_as_username true", *([f"crlfile {listener.crl}"] if listener.crl else [])]
    else:
        lines.append(f"password_file {listener.folder}/passwords")
    return "\n".join(lines) + "\n"


# -- nats-server --------------------------------------------------------------------------------------------------------------------------


def nats(clients: Sequence[Client], host: Host, listener: Listener) -> dict[str, str]:
    """`nats-server.conf` and `users.conf`, which is read again on SIGHUP. An MQTT topic `a/b/+` is the subject `a.b.*` there.

    A dot inside of a level becomes `//` in a subject: `spBv1.0` is `spBv1//0`. The permissions for `$MQTT.>` are what a client's own QoS 1
    subscription delivers by; the server makes and guards those subjects itself.
    """
    users = [(host.username, host.digest, *host_rights(host)), *((c.gateway, c.digest, *gateway_rights(c, host.host_id)) for c in clients)]
    lines = [_MADE, "authorization {", "  users = [", *map(_user, users), "  ]", "}"]
    return {"nats-server.conf": _nats_conf(listener), "users.conf": "\n".join(lines) + "\n"}


def subject(topic: str) -> str:
    """The NATS subject of an MQTT topic filter."""
    return ".".join("*" if level == "+" else level.replace(".", "//") for level in topic.split("/"))


def _user(entry: tuple[str, str, Sequence[str], Sequence[str]]) -> str:
    name, digest, write, read = entry
    permissions = {"publish": {"allow": list(map(subject, write))}, "subscribe": {"allow": [*map(subject, read), "$MQTT.sub.>", "$MQTT.deliver.>"]}}
    return f"    {{ user: {json.dumps(name)}, password: {json.dumps(digest)}, permissions: {json.dumps(permissions)} }}"


def _nats_conf(listener: Listener) -> str:
    tls = ""
    if listener.tls is not None:
        certificate, key, ca = listener.tls
        verify = "verify_and_map: true" if listener.certificates else "verify: false"
        tls = f"\n  tls {{ cert_file: {json.dumps(certificate)}, key_file: {json.dumps(key)}, ca_file: {json.dumps(ca)}, {verify} }}"
    return f"""{_MADE}
# Up to about 200 gateways: every subscription with QoS 1 costs a consumer. A province needs Mosquitto or EMQX.
server_name: archivewatch
listen: "127.0.0.1:{listener.extra.get("client_port", "-1")}"
max_payload: 262144
jetstream {{
  store_dir: {json.dumps(listener.store or listener.folder + "/data")}
  limits {{ default_max_consumers: 20000 }}
}}
mqtt {{
  host: {json.dumps(listener.address)}
  port: {listener.port}
  consumer_memory_storage: true{tls}
}}
include "users.conf"
"""
