"""Credentials of gateways: made, renewed and revoked; each is shown once and kept as digests alone. Instants are UTC ms."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from sqlalchemy.orm import Session

from server.org import credentials
from server.store import audit
from server.store.tables import Gateway
from server.store.tables_gateway import GatewayCredential

TOKEN_PREFIX = "awg_"  # noqa: S105 - what all such keys begin with
NODE = re.compile(r"[A-Za-z0-9_-]{1,40}")
GROUP = re.compile(r"[A-Za-z0-9_-]{1,12}")
"""Names that may stand in a topic and in a line of a broker's files. Brokers had holes where names held `+`, `#` or an end of line."""

_ROUNDS = 101  # those of mosquitto_passwd; the passwords are 192 random bits, which no number of rounds would make harder to guess
_BCRYPT_COST = 4  # a province that reconnects signs in 1,310 times at once


class NoAccessError(ValueError):
    """Credentials cannot be made; the sentence is for the person."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is shown once: the password for the broker, and the key for HTTP (stills)."""

    password: str
    token: str


def mosquitto_digest(password: str) -> str:
    """The second field of a line in Mosquitto's password file: PBKDF2-HMAC-SHA512."""
    salt = secrets.token_bytes(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def nats_digest(password: str) -> str:
    """The form in which nats-server keeps a password: bcrypt."""
    import bcrypt  # noqa: PLC0415 - only who makes credentials needs it

    digest: bytes = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_BCRYPT_COST, prefix=b"2a"))
    return digest.decode()


def issue(session: Session, gateway: Gateway, by: str, now: int, *, reason: str = "") -> Secrets:
    """New credentials; those before end at once. Raises NoAccessError for a gateway of nobody, or with a name that no broker should see."""
    made = Secrets(secrets.token_urlsafe(24), TOKEN_PREFIX + secrets.token_urlsafe(24))
    _keep(session, gateway, made, by, now, reason)
    return made


def adopt(session: Session, gateway: Gateway, given: Secrets, by: str, now: int) -> bool:
    """Take credentials that were made elsewhere; False when they count already. Raises NoAccessError as `issue`."""
    row = session.get(GatewayCredential, gateway.code)
    if row is not None and row.revoked_at is None and row.token == credentials.digest(given.token):
        return False
    _keep(session, gateway, given, by, now, "load")
    return True


def _keep(session: Session, gateway: Gateway, made: Secrets, by: str, now: int, reason: str) -> None:
    if gateway.unit is None:
        raise NoAccessError(f"网关 {gateway.code} 还没有归属单位，不能发放凭据。")
    if not (NODE.fullmatch(gateway.code) and GROUP.fullmatch(gateway.group_id)):
        raise NoAccessError(f"网关编号 {gateway.code} 或分组 {gateway.group_id} 含有主题里不允许的字符（只用字母、数字、- 和 _）。")
    row = session.get(GatewayCredential, gateway.code)
    action = "gateway.credentials.make" if row is None else "gateway.credentials.renew"
    if row is None:
        row = GatewayCredential(gateway=gateway.code)
        session.add(row)
    row.mosquitto, row.nats, row.token = mosquitto_digest(made.password), nats_digest(made.password), credentials.digest(made.token)
    row.made_at, row.made_by, row.revoked_at = now, by[:120], None
    gateway.born_stamp = None  # another box may stand there now, with a clock and a count of its own
    session.flush()
    audit.append(session, by, action, f"gateway:{gateway.code}", {"group": gateway.group_id}, now, unit=gateway.unit, reason=reason)


def revoke(session: Session, gateway: Gateway, by: str, now: int, *, reason: str) -> bool:
    """End the credentials of a gateway; False when none count."""
    row = session.get(GatewayCredential, gateway.code)
    if row is None or row.revoked_at is not None:
        return False
    row.revoked_at = now
    audit.append(session, by, "gateway.credentials.revoke", f"gateway:{gateway.code}", {}, now, unit=gateway.unit or "", reason=reason)
    return True
