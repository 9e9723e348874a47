"""`archivewatch doctor`: is everything there that the server needs? One finding a part, each with what to do."""

import shutil
import socket
from importlib.resources import files
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from alarms.rules import RuleError, default_rules, load_rules
from server.settings import Settings
from server.store.session import Database

LEAST_FREE = 1 << 30
"""Bytes of free disk below which doctor complains."""


def examine(settings: Settings) -> list[dict[str, Any]]:
    """Look at every part. Each finding has `name`, `ok` and a `sentence` that says what is, or what to do."""
    return [_database(settings), _broker(settings), _disk(settings), _rules(settings), _assets()]


def _finding(name: str, ok: bool, sentence: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "sentence": sentence}


def _database(settings: Settings) -> dict[str, Any]:
    if settings.database is None and not (settings.data_dir / "archivewatch.db").exists():
        return _finding("数据库", False, "还没有建立，请运行 archivewatch migrate。")
    try:
        with Database(settings.database_url).read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        return _finding("数据库", False, f"打不开：{str(error).splitlines()[0]}。请检查 database 设置，或运行 archivewatch migrate。")
    return _finding("数据库", True, "可以读取。")


def _broker(settings: Settings) -> dict[str, Any]:
    address = f"{settings.broker.host}:{settings.broker.port}"
    try:
        socket.create_connection((settings.broker.host, settings.broker.port), 3).close()
    except OSError as error:
        return _finding("消息服务器", False, f"连不上 {address}（{error.strerror or error}）。请启动它，或改正 broker 设置。")
    return _finding("消息服务器", True, f"{address} 可以连接。")


def _disk(settings: Settings) -> dict[str, Any]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    sentence = f"剩余 {free / 2**30:.1f} GiB。"
    return _finding("磁盘", free >= LEAST_FREE, sentence if free >= LEAST_FREE else sentence + "请清理或扩容：写满后网关数据将积压在现场。")


def _rules(settings: Settings) -> dict[str, Any]:
    try:
        rules = load_rules(settings.rules) if settings.rules else default_rules()
    except (RuleError, OSError) as error:
        return _finding("规则", False, f"{error}。请改正该文件。")
    return _finding("规则", True, f"{len(rules.rules)} 条，版本 {rules.version[:12]}。")


def _assets() -> dict[str, Any]:
    built = files("dashboards").joinpath("static/vendor/manifest.json").is_file()
    return _finding("网页资源", built, "已构建。" if built else "没有构建，图表将只显示为表格。请运行 make assets。")
