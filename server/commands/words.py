"""Limits in words, for what the commands print to people; `--json` keeps the codes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alarms.model import CHANGE
from server.instants import beijing

SIDES = {"above": "高于", "below": "低于", "equals": "等于"}
_ORIGINS = {"everywhere": "全省规则", None: "程序内置", "": "程序内置"}


def origin(code: str | None) -> str:
    """Which layer a limit comes from; a place stands for itself."""
    return "限值调整" if (code or "").startswith(CHANGE) else _ORIGINS.get(code, code or "")


def asked(level: Mapping[str, Any], kind: str) -> str:
    """What a level asks for, e.g. 高于 60; the limit of a rule about silence says nothing, that of a stuck sensor is a time."""
    if kind == "stale":
        return "没有数据"
    if kind == "stuck":
        return f"{level['above']:g} 秒不变"
    side = next(side for side in SIDES if side in level)
    values = level[side] if side == "equals" else [level[side]]
    return f"{SIDES[side]} {'、'.join(f'{value:g}' for value in values)}"


def clock(instant: str) -> str:
    """An instant of the interface (UTC) as people here read it."""
    return beijing(int(datetime.fromisoformat(instant).timestamp() * 1000))
