"""`archivewatch-edge claim`: a box without an identity shows a code and gets its identity once a person has typed that code into the server's page.

The private key never leaves the folder, and what the server sends back opens with it alone (contract/claiming.py). The server itself is proved by
TLS: `--ca` names its authority where the system does not know it.
"""

import argparse
import base64
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contract.claiming import CONTEXT, claim_code

KEY, EDGE, DEVICES, PASSWORD, TOKEN, CA = "claim-key", "edge.yaml", "devices.yaml", "broker-password", "server-token", "broker-ca.pem"
_OK, _FAILED, _INVALID, _UNREACHABLE = 0, 1, 4, 5
_PATH: Final = "/api/v1/gateways/enrolments"
_RETRY_S: Final = 5.0


class ClaimError(RuntimeError):
    """It cannot go on; the sentence is for the person."""


def run(args: argparse.Namespace) -> int:
    """Show the code, wait to be claimed, write the configuration. Returns the exit code."""
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        key = private_key(args.output / KEY, fresh=args.new_key)
        public = key.public_key().public_bytes_raw()
        code = claim_code(public)
        if args.label is not None:
            args.label.write_text(label(code), "utf-8")
            _told(args, {"code": code, "label": str(args.label)}, f"认领代码 {code}，标签写在 {args.label}")
            return _OK
        _told(args, {"code": code}, banner(code, args.server))
        with httpx.Client(base_url=args.server, verify=_trust(args.ca), timeout=10, trust_env=False) as client:
            ask = {
                "public_key": base64.b64encode(public).decode(),
                "hint": (args.hint or socket.gethostname())[:60],
                "version": version("archivewatch"),
            }
            sealed = wait(client, ask, args.seconds)
        found = unseal(key, sealed)
        written = write(args.output, found, args.server)
    except ClaimError as error:
        print(error, file=sys.stderr)
        return _UNREACHABLE
    except (ValueError, InvalidTag) as error:
        print(f"中心的答复打不开：{error or '不是给这台网关的'}", file=sys.stderr)
        return _INVALID
    except OSError as error:
        print(f"{error.filename or args.output}：{error.strerror or error}", file=sys.stderr)
        return _FAILED
    text = f"已认领为 {found['gateway']}（{found['unit_name']}），写好了 {'、'.join(written)}。"
    text += f"\n下一步：archivewatch-edge run --config {args.output / EDGE}"
    _told(args, {"gateway": found["gateway"], "unit": found["unit"], "written": written}, text)
    return _OK


def _told(args: argparse.Namespace, value: Mapping[str, Any], text: str) -> None:
    print(json.dumps(value, ensure_ascii=False) if args.json else text, flush=True)


def banner(code: str, server: str) -> str:
    """What the console shows while the box waits."""
    line = "=" * 46
    how = f"请有权限的同事打开 {server.rstrip('/')}/gateways ，输入这个代码。\n认领后本机自动取得身份和密码，不用再做别的。"
    return f"{line}\n  认领代码    {code}\n{line}\n{how}"


def label(code: str) -> str:
    """A label of 62 × 29 mm for the box."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="62mm" height="29mm" viewBox="0 0 620 290">'
        '<rect width="620" height="290" fill="#fff"/>'
        '<text x="310" y="70" font-family="sans-serif" font-size="40" text-anchor="middle">档案用房值守网关 认领代码</text>'
        f'<text x="310" y="185" font-family="monospace" font-size="92" font-weight="bold" text-anchor="middle">{code}</text>'
        '<text x="310" y="255" font-family="sans-serif" font-size="32" text-anchor="middle">ArchiveWatch gateway · claim code</text></svg>\n'
    )


def private_key(file: Path, *, fresh: bool = False) -> X25519PrivateKey:
    """The box's key pair, made at the first call and kept until it is claimed: the code on a label stays true."""
    if file.exists() and not fresh:
        return X25519PrivateKey.from_private_bytes(base64.b64decode(file.read_text("ascii"), validate=True))
    made = X25519PrivateKey.generate()
    secret_file(file, base64.b64encode(made.private_bytes_raw()).decode())
    return made


def secret_file(file: Path, content: str) -> None:
    """Write a file that only its owner may read; whole or not at all."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)


def _trust(ca: Path | None) -> Any:
    import ssl  # noqa: PLC0415

    return True if ca is None else ssl.create_default_context(cafile=str(ca))


def wait(client: httpx.Client, ask: Mapping[str, str], seconds: float, pause: Callable[[float], None] = time.sleep) -> Mapping[str, str]:
    """Ask until somebody has claimed the box; troubles on the way are said once and borne. Raises ClaimError when the time is up or it is refused."""
    end, said = time.monotonic() + seconds if seconds else float("inf"), ""
    while True:
        trouble, rest = "", _RETRY_S
        try:
            answer = client.post(_PATH, json=dict(ask))
            if answer.status_code == 200:
                content = answer.json()
                if content.get("sealed"):
                    return dict(content["sealed"])
                rest = float(content.get("poll_s", _RETRY_S))
            elif answer.status_code in (404, 422):
                raise ClaimError(f"{client.base_url} 不是本系统的中心，或版本不合（HTTP {answer.status_code}）")
            else:
                trouble = f"中心暂时不受理（HTTP {answer.status_code}），继续等"
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            trouble = f"连不上 {client.base_url}（{error}），继续试"
        if trouble and trouble != said:
            print(trouble, file=sys.stderr, flush=True)
        said = trouble
        if time.monotonic() + rest > end:
            raise ClaimError(trouble or "还没有人认领，等候时间已到；代码仍然有效，可再次运行")
        pause(rest)


def unseal(key: X25519PrivateKey, sealed: Mapping[str, str]) -> dict[str, Any]:
    """Open what server/org/claiming.py sealed. Raises InvalidTag, ValueError."""
    theirs, box = (base64.b64decode(sealed[name], validate=True) for name in ("key", "box"))
    derive = HKDF(SHA256(), 32, salt=None, info=CONTEXT + theirs + key.public_key().public_bytes_raw())
    plain = ChaCha20Poly1305(derive.derive(key.exchange(X25519PublicKey.from_public_bytes(theirs)))).decrypt(bytes(12), box, CONTEXT)
    found: dict[str, Any] = json.loads(plain)
    return found


def write(folder: Path, found: Mapping[str, Any], server: str) -> list[str]:
    """Passwords always; the configuration only where there is none, for an installer's own is not ours to replace. Returns the names written."""
    broker = found["broker"]
    secret_file(folder / PASSWORD, found["password"] + "\n")
    secret_file(folder / TOKEN, found["token"] + "\n")
    written = [PASSWORD, TOKEN]
    if broker["ca"]:
        (folder / CA).write_text(broker["ca"], "utf-8")
        written.append(CA)
    lines = [
        f"gateway: {json.dumps(found['gateway'])}", f"group: {json.dumps(found['group'])}", f"host_id: {json.dumps(found['host_id'])}",
        "broker:", f"  host: {json.dumps(broker['host'])}", f"  port: {int(broker['port'])}", f"  username: {json.dumps(found['gateway'])}",
        f"  password_file: {PASSWORD}", *(["  tls:", f"    ca_file: {CA}"] if broker["ca"] else ["  tls: {}"] if broker["tls"] else []),
        "data_dir: data", f"devices_file: {DEVICES}", f"server_url: {json.dumps(server)}", f"server_token_file: {TOKEN}", "buses: []",
    ]  # fmt: skip
    name = EDGE if not (folder / EDGE).exists() else f"{EDGE}.new"
    (folder / name).write_text(f"# {found['unit_name']}\n" + "\n".join(lines) + "\n", "utf-8")
    written.append(name)
    if not (folder / DEVICES).exists():
        (folder / DEVICES).write_text("version: 1\ndevices: []\n", "utf-8")
        written.append(DEVICES)
    (folder / KEY).unlink(missing_ok=True)
    return written
