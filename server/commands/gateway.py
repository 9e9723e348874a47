"""gateway list, claim, credentials; broker config: who may speak to the broker, and for whom."""

import argparse
from pathlib import Path
from typing import Any

from server.commands import INVALID, NOT_FOUND, OK, CommandError, add, database, emit, now_ms, say, settings_of
from server.commands.remote import ask, server_or_store
from server.org import broker_access, broker_files, claiming, gateway_access
from server.org.broker_files import Listener
from server.settings import Settings
from server.store import gateway_access as queries
from server.store import gateways
from server.store.tables import Gateway
from server.wiring import broker_host, reach

_ALL = 100_000


def gateway_list(args: argparse.Namespace) -> int:
    """All gateways, with what becomes of their credentials."""
    db = database(settings_of(args))
    with db.read() as session:
        rows = gateways.page(session, None, unclaimed=True, after="", limit=_ALL)
        states = queries.states(session, [row.code for row in rows])
        found = [
            {"code": row.code, "group": row.group_id, "unit": row.unit, "online": row.online, "credentials": _state(states.get(row.code))}
            for row in rows
        ]
    lines = (
        f"{one['code']:24} {one['group']:8} {one['unit'] or '未认领':14} {'在线' if one['online'] else '离线'} {one['credentials']}" for one in found
    )
    emit(found, args, "\n".join(lines))
    return OK


def _state(row: Any) -> str:
    if row is None:
        return "none"
    return "valid" if row.revoked_at is None else "revoked"


def credentials_make(args: argparse.Namespace) -> int:
    """New credentials of a gateway, printed once; earlier ones end."""
    db = database(settings_of(args))
    try:
        with db.write() as session:
            made = gateway_access.issue(session, _gateway(session, args.code), "cli", now_ms(), reason=args.reason)
    except gateway_access.NoAccessError as error:
        raise CommandError(str(error), INVALID) from error
    say("以下只显示这一次。用户名是网关编号；写入网关的密码文件（chmod 600）。")
    emit({"username": args.code, "password": made.password, "token": made.token}, args, f"密码 {made.password}\n令牌 {made.token}")
    return OK


def credentials_load(args: argparse.Namespace) -> int:
    """Credentials that were made elsewhere: lines `<gateway> <password> <token>` of a file; those that count already stay as they are."""
    db, taken = database(settings_of(args)), 0
    try:
        with db.write() as session:
            for line in filter(str.strip, args.file.read_text("utf-8").splitlines()):
                code, password, token = line.split()
                given = gateway_access.Secrets(password, token)
                taken += gateway_access.adopt(session, _gateway(session, code), given, "cli", now_ms())
    except (OSError, ValueError) as error:
        raise CommandError(f"凭据未载入：{error}", INVALID) from error
    emit({"loaded": taken}, args, f"已载入 {taken} 个网关的凭据")
    return OK


def credentials_revoke(args: argparse.Namespace) -> int:
    """End the credentials of a gateway."""
    db = database(settings_of(args))
    with db.write() as session:
        done = gateway_access.revoke(session, _gateway(session, args.code), "cli", now_ms(), reason=args.reason)
    emit({"revoked": done}, args, f"{args.code} 的凭据已吊销" if done else f"{args.code} 没有有效的凭据")
    return OK


def _gateway(session: Any, code: str) -> Gateway:
    row = session.get(Gateway, code)
    if row is None:
        raise CommandError(f"没有网关 {code}", NOT_FOUND)
    assert isinstance(row, Gateway)  # noqa: S101 - for the type checker
    return row


def claim(args: argparse.Namespace) -> int:
    """Give the box that shows a code to a unit."""
    settings = settings_of(args)
    body = {"code": args.code, "unit": args.unit, "gateway": args.gateway, "name": args.name, "replace": args.replace}
    with server_or_store(settings) as client:
        found = _claim_here(settings, body) if client is None else ask(client, "POST", "/gateways/claims", json=body).json()
    emit(found, args, f"已认领为 {found['gateway']}，归 {found['unit']}；网关几秒后自动取走凭据。")
    return OK


def _claim_here(settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    db = database(settings)
    try:
        with db.write() as session:
            gateway, _ = claiming.claim(session, claiming.Claim(**body), reach(settings), "cli", now_ms())
            return {"gateway": gateway.code, "unit": gateway.unit, "group": gateway.group_id}
    except (claiming.NotClaimedError, gateway_access.NoAccessError) as error:
        raise CommandError(str(error), INVALID) from error


def broker_config(args: argparse.Namespace) -> int:
    """Files for the broker: listeners, passwords, and each gateway's rights."""
    settings = settings_of(args)
    tls = (args.tls_cert, args.tls_key, args.tls_ca) if args.tls_cert else None
    if args.client_certificates and tls is None:
        raise CommandError("--client-certificates 需要 --tls-cert、--tls-key、--tls-ca", INVALID)
    listener = Listener(
        port=args.port, address=args.address, tls=tls, certificates=args.client_certificates, crl=args.crl,
        folder=args.folder or str(args.output.resolve()), store=args.store,
    )  # fmt: skip
    db = database(settings)
    with db.read() as session:
        found = broker_access.clients(session, args.kind)
    try:
        files = getattr(broker_files, args.kind)(found, broker_host(settings, args.kind), listener)
        changed = broker_access.write(args.output, files)
    except (OSError, ValueError) as error:
        raise CommandError(f"没有写成：{error}", INVALID) from error
    emit(
        {"gateways": len(found), "files": sorted(files), "changed": changed},
        args,
        f"{len(found)} 个网关，已写入 {args.output}：{'、'.join(sorted(files))}",
    )
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("gateway", help="网关：列表、认领、凭据").add_subparsers(required=True)
    add(group, "list", gateway_list, "列出网关和凭据状态")
    claiming_ = add(group, "claim", claim, "认领一台显示代码的网关")
    claiming_.add_argument("code", help="网关屏幕或标签上的代码")
    claiming_.add_argument("--unit", required=True, help="归属单位（12 位）")
    claiming_.add_argument("--gateway", default="", help="网关编号；不写则取下一个")
    claiming_.add_argument("--name", default="")
    claiming_.add_argument("--replace", action="store_true", help="更换设备：旧设备随即失去接入权限")
    keys = group.add_parser("credentials", help="网关的接入凭据").add_subparsers(required=True)
    made = add(keys, "make", credentials_make, "发放或轮换凭据（只显示一次）")
    loading = add(keys, "load", credentials_load, "载入一批凭据（每行：网关 密码 令牌）")
    loading.add_argument("file", type=Path)
    ended = add(keys, "revoke", credentials_revoke, "吊销凭据")
    for command in (made, ended):
        command.add_argument("code", help="网关编号")
        command.add_argument("--reason", default="", help="原因，记入审计")
    _register_broker(commands.add_parser("broker", help="消息服务器").add_subparsers(required=True))


def _register_broker(group: Any) -> None:
    config = add(group, "config", broker_config, "生成消息服务器的配置：密码文件与按网关的主题权限")
    config.add_argument("kind", choices=broker_files.KINDS)
    config.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    config.add_argument("--port", type=int, default=1883)
    config.add_argument("--address", default="127.0.0.1", help="监听地址；对外时写 0.0.0.0 并启用 TLS")
    for name, text in (("cert", "服务器证书"), ("key", "私钥"), ("ca", "签发机构")):
        config.add_argument(f"--tls-{name}", default="", help=f"{text}（PEM，按消息服务器看到的路径）")
    config.add_argument("--client-certificates", action="store_true", help="网关以客户端证书登录（通用名 = 网关编号），不用密码")
    config.add_argument("--crl", default="", help="吊销列表（PEM）")
    config.add_argument("--folder", default="", help="消息服务器看到的配置文件夹（默认与 -o 相同）")
    config.add_argument("--store", default="", help="会话与保留消息存放处")
