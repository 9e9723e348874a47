"""`archivewatch doctor`: is everything there that the server needs? One finding a part, each with what to do."""

import shutil
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from server import from_settings, named_units
from server.duty.cards import default_cards, load_cards
from server.notify import compose
from server.secret_files import SecretFileError, readable, secret
from server.settings import Settings
from server.store.session import Database
from server.store.tables import Journal

LEAST_FREE = 1 << 30
"""Bytes of free disk below which doctor complains."""
_TIMEOUT_S = 3
_AHEAD = timedelta(days=31)
"""So long before a year begins its holidays must be known; they are published in November."""
_SECRETS = frozenset({"password_file", "token_file", "secret_file", "database_password_file"})
_CERTIFICATES = frozenset({"tls_ca", "tls_cert", "tls_key", "broker_ca", "ca", "gateway_token_file"})


def examine(settings: Settings, config: Path) -> list[dict[str, Any]]:
    """Look at every part. Each finding has `name`, `ok` and a `sentence` that says what is, or what to do. `config` is the file of the settings."""
    probes = (_files, _database, _clock, _broker, _series, _messages, _rules, partial(_units, config), _holidays, _disk, _assets, _service)
    return [probe(settings) for probe in probes]


def _finding(name: str, ok: bool, sentence: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "sentence": sentence}


def _files(settings: Settings) -> dict[str, Any]:
    try:
        number = sum(bool(secret(path) if name in _SECRETS else readable(path)) for name, path in _named(settings))
    except SecretFileError as error:
        return _finding("密码与证书文件", False, str(error))
    return _finding("密码与证书文件", True, f"{number} 个，都能读取。")


def _named(model: BaseModel) -> Iterator[tuple[str, Path]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path) and name in _SECRETS | _CERTIFICATES:
            yield name, value
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from _named(one)


def _database(settings: Settings) -> dict[str, Any]:
    if settings.database is None and not (settings.data_dir / "archivewatch.db").exists():
        return _finding("数据库", False, "还没有建立，请运行 archivewatch migrate。")
    try:
        with Database(settings.database_url).read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))
    except (SQLAlchemyError, SecretFileError) as error:
        return _finding("数据库", False, f"打不开：{str(error).splitlines()[0]}。请检查 database 设置，或运行 archivewatch migrate。")
    return _finding("数据库", True, "可以读取。")


def _clock(settings: Settings) -> dict[str, Any]:
    """A clock that went back is seen by what was received in the future."""
    now = time.time_ns() // 1_000_000
    try:
        with Database(settings.database_url).read() as session:
            newest = session.scalar(select(func.max(Journal.received_at))) or 0
    except (SQLAlchemyError, SecretFileError):
        newest = 0  # the finding about the database says why
    if newest > now + 1000 * _TIMEOUT_S:
        return _finding("时钟", False, f"比库里最新的记录慢 {(newest - now) // 1000} 秒。请校时（NTP），否则失联和逐级上报都会算错。")
    return _finding("时钟", True, f"{datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC。")


def _broker(settings: Settings) -> dict[str, Any]:
    address = f"{settings.broker.host}:{settings.broker.port}"
    try:
        socket.create_connection((settings.broker.host, settings.broker.port), _TIMEOUT_S).close()
    except OSError as error:
        return _finding("消息服务器", False, f"连不上 {address}（{error.strerror or error}）。请启动它，或改正 broker 设置。")
    return _finding("消息服务器", True, f"{address} 可以连接。")


def _series(settings: Settings) -> dict[str, Any]:
    if settings.series.kind == "embedded":
        return _finding("历史库", True, f"内置，在 {settings.data_dir / 'series'}。")
    try:
        httpx.get(f"{settings.series.url.rstrip('/')}/ping", timeout=_TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _finding("历史库", False, f"{settings.series.url} 没有应答（{error or type(error).__name__}）。请启动它，或改正 series 设置。")
    return _finding("历史库", True, f"{settings.series.url} 有应答。")


def _messages(settings: Settings) -> dict[str, Any]:
    """Channels and the table of who is told when. Whether a message arrives, only a test message shows."""
    db = Database(settings.database_url)
    try:
        opened = compose.open_channels(settings, db)
        compose.table(settings)
    except SecretFileError as error:
        return _finding("通知", False, str(error))
    except ValueError as error:
        return _finding("通知", False, f"{error}。请改正 sms、channels 或 escalation 设置。")
    finally:
        db.close()
    for channel in opened:
        channel.close()
    names = "、".join(channel.name for channel in opened if channel.name != "outbox_file")
    return _finding(
        "通知", bool(names), f"通道：{names}。" if names else "没有短信平台：告警只写进文件，不会有人收到。请设置 sms.kind: twilio，或 channels。"
    )


def _rules(settings: Settings) -> dict[str, Any]:
    try:
        rules = from_settings.rules(settings)
        _ = load_cards(settings.cards) if settings.cards else default_cards()
    except (ValueError, OSError) as error:
        return _finding("规则", False, f"{error}。请改正该文件。")
    return _finding("规则", True, f"{len(rules.rules)} 条，版本 {rules.version[:12]}。")


def _units(config: Path, settings: Settings) -> dict[str, Any]:
    """What a merger or a closing left behind in the operator's files."""
    try:
        named = list(named_units.lines(named_units.of_operator(settings, config)))
        with Database(settings.database_url).read() as session:
            silent = named_units.silent(session, named)
    except (SQLAlchemyError, SecretFileError, OSError):
        return _finding("单位编号", True, "没有核对，原因见其他各项。")
    if silent:
        return _finding("单位编号", False, f"{'；'.join(silent)}。合并单位不改这些文件，请改成接收单位的编号。")
    return _finding("单位编号", True, f"设置与规则文件里的 {len(named)} 处单位编号都在用。")


def _holidays(settings: Settings) -> dict[str, Any]:
    try:
        days, year = compose.workdays(settings), (datetime.now(UTC) + _AHEAD).year
    except ValueError as error:
        return _finding("节假日", False, f"{error}。请改正该文件。")
    if days.known(year):
        return _finding("节假日", True, f"{year} 年的放假与调休已知。")
    return _finding("节假日", False, f"{year} 年的放假与调休未知，只按周一至周五算工作日。请升级，或在 holidays 文件里写明。")


def _disk(settings: Settings) -> dict[str, Any]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    sentence = f"剩余 {free / 2**30:.1f} GiB。"
    return _finding("磁盘", free >= LEAST_FREE, sentence if free >= LEAST_FREE else sentence + "请清理或扩容：写满后网关数据将积压在现场。")


def _assets(_settings: Settings) -> dict[str, Any]:
    built = files("dashboards").joinpath("static/vendor/manifest.json").is_file()
    return _finding("网页资源", built, "已构建。" if built else "没有构建，图表将只显示为表格。请运行 make assets。")


def _service(settings: Settings) -> dict[str, Any]:
    """The running server's own answer; that it does not run is for whoever starts it to judge."""
    try:
        answer = httpx.get(f"http://{settings.listen}/readyz", timeout=_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError:
        return _finding("服务", False, f"没有在 {settings.listen} 运行。请启动 archivewatch serve。")
    ready = answer.status_code == httpx.codes.OK
    return _finding("服务", ready, f"在 {settings.listen} 运行。" if ready else f"在 {settings.listen} 运行，但没有就绪：{answer.text.strip()}")
