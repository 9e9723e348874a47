"""A box that nobody knows asks to be claimed; a person who stands before it types its code; it gets its identity sealed to its own key.

Instants are UTC ms. See contract/claiming.py for why the code vouches for the key.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.orm import Session

from contract.claiming import CONTEXT, as_typed, claim_code
from server.org import gateway_access
from server.store import audit, units
from server.store import gateway_access as queries
from server.store.tables import Gateway, Unit
from server.store.tables_gateway import GatewayEnrolment

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS
LIVING_MS: Final = 10 * _MINUTE_MS
"""A box that has not asked for so long is not shown and cannot be claimed: somebody is to stand before it."""
_FORGET_MS, _COLLECT_MS = 7 * _DAY_MS, 7 * _DAY_MS
MOST, MOST_PER_ADDRESS = 500, 40
"""Boxes that wait at a time. Strangers may ask, so what they can fill is bounded; nothing that already waits is pushed out."""

WRONG, WRONG_MS = 5, 15 * _MINUTE_MS
"""Wrong codes that one person may type within that time."""


class TooManyError(RuntimeError):
    """Too many boxes wait, or too many wrong codes were typed; the sentence is for the person."""


class NotClaimedError(ValueError):
    """The code leads to no box, or the box cannot get what was asked; the sentence is for the person."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How gateways find the broker, told to each with its credentials. `ca` is the PEM of the authority that signed the broker's certificate."""

    host: str
    port: int
    host_id: str
    ca: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a person decides: for which unit, under which code ("" = the next free one), and a name. `replace`: a code that is in use already goes to
    the new box, whose forerunner loses its access."""

    code: str
    unit: str
    gateway: str = ""
    name: str = ""
    replace: bool = False


def ask(session: Session, public_key: str, *, hint: str, version: str, address: str, now: int) -> GatewayEnrolment:
    """A box asks, again and again until it is claimed. Raises ValueError for what is no key, TooManyError when too many wait."""
    raw = base64.b64decode(public_key, validate=True)
    key = X25519PublicKey.from_public_bytes(raw)
    row = queries.enrolment(session, base64.b64encode(raw).decode())
    if row is None:
        X25519PrivateKey.generate().exchange(key)  # refuses the few keys with which a secret would be no secret
        queries.forget(session, unseen_since=now - _FORGET_MS, claimed_before=now - _COLLECT_MS)
        if queries.count_waiting(session) >= MOST or queries.count_waiting(session, address) >= MOST_PER_ADDRESS:
            raise TooManyError("等待认领的网关太多，请先处理或稍后再试。")
        row = GatewayEnrolment(public_key=base64.b64encode(raw).decode(), code=claim_code(raw), first_seen_at=now, claimed_by="")
        session.add(row)
    if row.claimed_at is None:
        row.hint, row.version, row.address = _plain(hint)[:60], _plain(version)[:20], address[:45]
    row.last_seen_at = now
    session.flush()
    return row


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()


def claim(session: Session, asked: Claim, reach: Reach, by: str, now: int) -> tuple[Gateway, GatewayEnrolment]:
    """Give the box behind a code to a unit. The caller has checked that the person may change this unit. Raises NotClaimedError."""
    code = as_typed(asked.code)
    found = queries.waiting(session, code=code, since=now - LIVING_MS) if code else ()
    if len(found) > 1:  # two keys with one fingerprint: somebody looked for the second
        audit.append(session, by, "gateway.claim.doubtful", f"code:{code}", {"boxes": len(found)}, now, unit=asked.unit)
        raise NotClaimedError("有两台设备显示同一个代码，可能有人冒充。请在网关上运行 archivewatch-edge claim --new-key 换一个代码。")
    if not found:
        raise NotClaimedError("没有显示这个代码的网关在线。请核对代码，并确认网关已联网、屏幕上仍在等待认领。")
    row = found[0]
    gateway = _gateway(session, asked, now)
    made = gateway_access.issue(session, gateway, by, now, reason="claim")
    bundle = {
        "gateway": gateway.code, "group": gateway.group_id, "unit": asked.unit, "unit_name": units.names(session, [asked.unit])[asked.unit],
        "host_id": reach.host_id, "broker": {"host": reach.host, "port": reach.port, "tls": reach.tls, "ca": reach.ca},
        "password": made.password, "token": made.token,
    }  # fmt: skip
    row.sealed = seal(base64.b64decode(row.public_key), bundle)
    row.claimed_at, row.claimed_by, row.gateway = now, by[:120], gateway.code
    detail = {"code": code, "hint": row.hint, "address": row.address, "group": gateway.group_id}
    audit.append(session, by, "gateway.claim", f"gateway:{gateway.code}", detail, now, unit=asked.unit)
    session.flush()
    return gateway, row


def _gateway(session: Session, asked: Claim, now: int) -> Gateway:
    """The row that the box becomes: a new one, one that was prepared, or with `replace` the one of a box that is thrown away."""
    if session.get(Unit, asked.unit) is None:
        raise NotClaimedError(f"没有单位 {asked.unit}。")
    code = asked.gateway.strip() or next_code(session, asked.unit)
    if not gateway_access.NODE.fullmatch(code):
        raise NotClaimedError("网关编号只用字母、数字、- 和 _，最长 40 个字符。")
    row = session.get(Gateway, code)
    if row is None:
        row = Gateway(code=code, group_id=group_of(asked.unit), unit=asked.unit, changed_at=now, online=False)
        session.add(row)
    elif row.unit not in (None, asked.unit):
        raise NotClaimedError(f"网关编号 {code} 已属于别的单位。")
    elif row.unit is not None and code in queries.states(session, [code]) and not asked.replace:
        raise NotClaimedError(f"网关编号 {code} 已有设备在用。要换设备，请勾选“更换设备”：旧设备随即失去接入权限。")
    row.unit, row.name = asked.unit, asked.name.strip()[:120] or row.name or ""
    if not row.group_id:
        row.group_id = group_of(asked.unit)
    session.flush()
    return row


def group_of(unit: str) -> str:
    """The Sparkplug group of a unit: its prefecture's code (Pingtan 350128 has its own), that of the province for the province itself."""
    return unit[:6] if unit.startswith("350128") else unit[:4] + "00"


def next_code(session: Session, unit: str) -> str:
    """The next free gateway code of a unit: GW-<the unit's code without trailing zeros, at least 6 digits>-<two digits>."""
    stem = f"GW-{unit[:6] if unit[6:] == '000000' else unit[:9]}-"
    taken = queries.codes_like(session, stem)
    return next(code for number in range(1, 10_000) if (code := f"{stem}{number:02d}") not in taken)


def seal(public_key: bytes, bundle: Mapping[str, Any]) -> dict[str, str]:
    """Encrypt to an X25519 key: a fresh key pair each time, HKDF-SHA256 over the shared secret, ChaCha20-Poly1305. edge/claim.py opens it."""
    fresh = X25519PrivateKey.generate()
    ours = fresh.public_key().public_bytes_raw()
    shared = fresh.exchange(X25519PublicKey.from_public_bytes(public_key))
    key = HKDF(SHA256(), 32, salt=None, info=CONTEXT + ours + public_key).derive(shared)
    box = ChaCha20Poly1305(key).encrypt(bytes(12), json.dumps(bundle, ensure_ascii=False).encode(), CONTEXT)
    return {"key": base64.b64encode(ours).decode(), "box": base64.b64encode(box).decode()}
