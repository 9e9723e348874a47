"""`archivewatch-edge check`: what is wrong with a configuration before it runs, each finding with its fix."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge.clock import wall_ms
from edge.load import MOST_FAST, REFUSE, WARN, bus_load, read_s
from edge.plan import Device, Plan
from edge.settings import BusSettings, CameraBus, EdgeSettings, RtuOverTcpBus, SerialBus

_CONNECT_S: Final = 3.0
_SENSIBLE_MS: Final = 1_735_689_600_000  # 1 January 2025: a clock before it was never set
_FAST_S: Final = 2.0
_WANDERING: Final = ("/dev/ttyUSB", "/dev/ttyACM")


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, warning, error or unreachable; the texts are Chinese sentences."""

    level: str
    subject: str
    text: str
    fix: str = ""


def findings(plan: Plan) -> list[Finding]:
    """Everything worth saying about a plan. Connects to what it names, reads and writes nothing there."""
    return [*_devices(plan), *_lines(plan), *_files(plan.settings), *_switches(plan.settings), *_reach(plan)]


def exit_code(found: list[Finding]) -> int:
    """1 for an error, 5 when something could not be reached, else 0."""
    levels = {finding.level for finding in found}
    return 1 if "error" in levels else 5 if "unreachable" in levels else 0


def as_json(plan: Plan, found: list[Finding]) -> dict[str, Any]:
    """The report for programs."""
    return {
        "ok": exit_code(found) == 0,
        "gateway": plan.settings.gateway,
        "devices": sum(1 for _ in plan.devices),
        "points": sum(1 for _ in plan.points),
        "rooms": sorted({point.room for point in plan.points}),
        "plan": {name: list(_reads(plan, name)) for name in plan.buses},
        "load": {name: round(load, 3) for name, load in _loads(plan)},
        "findings": [asdict(finding) for finding in found],
    }


def as_text(plan: Plan, found: list[Finding]) -> str:
    """The report for people."""
    marks = {"ok": "✓", "warning": "!", "error": "✗", "unreachable": "✗"}
    lines = [f"网关 {plan.settings.gateway}：{sum(1 for _ in plan.devices)} 台设备，{sum(1 for _ in plan.points)} 个测点"]
    lines += [f"  {name}：{_read_text(read)}" for name in plan.buses for read in _reads(plan, name)]
    for finding in found:
        lines.append(f"{marks[finding.level]} {finding.subject}：{finding.text}")
        if finding.fix:
            lines.append(f"    怎么办：{finding.fix}")
    bad = sum(finding.level in ("error", "unreachable") for finding in found)
    lines.append("可以运行。" if not bad else f"有 {bad} 处问题。")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------------------------------------------- devices


def _devices(plan: Plan) -> Iterator[Finding]:
    if not list(plan.devices):
        yield Finding("error", "devices.yaml", "一台设备也没有", "照着 docs 里的例子填写 devices")
    for device in plan.devices:
        yield from _device(device)


def _device(device: Device) -> Iterator[Finding]:
    profile = device.profile
    if profile.evidence == "assumed":
        yield Finding("warning", device.name, f"画像 {profile.id} 的地址表未经证实", "现场抓一帧报文，用 archivewatch-edge decode 核对读数")
    if profile.mqtt is not None and profile.mqtt.sleepy:
        hours = profile.mqtt.expected_interval_s / 3600
        yield Finding("warning", device.name, f"电池设备约 {hours:.1f} 小时报一次，不能证明库房一直有人看", "不要让它当唯一的门磁或烟感")
    if profile.connection.kind == "modbus" and device.settings.interval_s is not None:
        least = profile.connection.timing.min_poll_s
        if device.settings.interval_s < least:
            yield Finding("warning", device.name, f"间隔 {device.settings.interval_s:g} 秒小于设备允许的 {least:g} 秒", f"将按 {least:g} 秒读取")


def _loads(plan: Plan) -> Iterator[tuple[str, float]]:
    for name, devices in plan.buses.items():
        bus = plan.bus(name)
        if isinstance(bus, RtuOverTcpBus | SerialBus):
            yield name, bus_load(bus, devices)


def _reads(plan: Plan, name: str) -> Iterator[dict[str, Any]]:
    """The requests of a bus after merging; `line_ms` is how long one occupies a serial line."""
    bus = plan.bus(name)
    for device in plan.buses[name]:
        for job in device.jobs:
            for read in job.reads:
                gap_s = device.profile.connection.timing.gap_ms / 1000
                took = round(1000 * read_s(read, bus.baud, gap_s), 1) if isinstance(bus, RtuOverTcpBus | SerialBus) else None
                yield {
                    "device": device.name, "unit": device.unit, "fc": read.fc, "address": read.address, "count": read.count,
                    "blocks": [block for block, _ in read.blocks], "every_s": job.period_s, "line_ms": took,
                }  # fmt: skip


def _read_text(read: dict[str, Any]) -> str:
    took = "" if read["line_ms"] is None else f"，占线 {read['line_ms']} 毫秒"
    end = read["address"] + read["count"] - 1
    blocks = "+".join(read["blocks"])
    return f"{read['device']}（地址 {read['unit']}）功能码 {read['fc']:02d}，{read['address']}–{end}（{blocks}），每 {read['every_s']:g} 秒{took}"


def _lines(plan: Plan) -> Iterator[Finding]:
    fix = "提高波特率、放宽间隔，或把部分设备接到另一条总线"
    for name, load in _loads(plan):
        text = f"负载 {load:.0%}"
        if load > REFUSE:
            yield Finding("error", f"总线 {name}", f"{text}，超过上限 {REFUSE:.0%}，读不过来", fix)
        elif load > WARN:
            yield Finding("warning", f"总线 {name}", f"{text}，偏高（建议低于 {WARN:.0%}）", fix)
        else:
            yield Finding("ok", f"总线 {name}", text)
        fast = sum(len(device.points) for device in plan.buses[name] for job in device.jobs if job.period_s <= _FAST_S)
        if fast > MOST_FAST:
            yield Finding(
                "warning", f"总线 {name}", f"每秒读取的测点有 {fast} 个，建议不超过 {MOST_FAST} 个", "烟感、门磁改接开关量模块，一帧读 8 路"
            )


# ------------------------------------------------------------------------------------------------------------------------------------- files


def _files(settings: EdgeSettings) -> Iterator[Finding]:
    yield from _data_dir(settings)
    for subject, path in _secrets(settings):
        if not path.is_file():
            yield Finding("error", subject, f"找不到文件 {path}", "建立这个文件，第一行写密码或令牌")
        elif path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            yield Finding("warning", subject, f"{path} 别的用户也能读", f"chmod 600 {path}")
    if wall_ms() < _SENSIBLE_MS:
        yield Finding("error", "时钟", "系统时间还没有校准", "启用 NTP 对时（timedatectl set-ntp true）")


def _secrets(settings: EdgeSettings) -> Iterator[tuple[str, Path]]:
    if settings.broker.password_file is not None:
        yield "消息服务器密码", settings.broker.password_file
    if settings.server_token_file is not None:
        yield "画面上送令牌", settings.server_token_file
    tls = settings.broker.tls
    for path in (tls.ca_file, tls.cert_file, tls.key_file) if tls else ():
        if path is not None and not path.is_file():
            yield "证书", path
    for bus in settings.buses:
        if (path := getattr(bus, "password_file", None)) is not None:
            yield f"总线 {bus.name} 的密码", path


def _data_dir(settings: EdgeSettings) -> Iterator[Finding]:
    folder = settings.data_dir
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(parent, os.W_OK):
        yield Finding("error", "数据目录", f"不能写入 {folder}", "换一个 data_dir，或修改目录权限")
        return
    free_mb = shutil.disk_usage(parent).free / 2**20
    if free_mb < settings.spool.quota_mb:
        text = f"剩余空间 {free_mb:.0f} MB，小于缓存上限 {settings.spool.quota_mb:g} MB"
        yield Finding("warning", "数据目录", text, "清理磁盘，或调小 spool.quota_mb")


def _switches(settings: EdgeSettings) -> Iterator[Finding]:
    """The three switches of the fault tests."""
    weak = {
        "spool.synchronous: off": settings.spool.synchronous == "off",
        "spool.verify_crc: false": not settings.spool.verify_crc,
        "uplink.acknowledgement: none": settings.uplink.acknowledgement == "none",
    }
    for name, on in weak.items():
        if on:
            yield Finding("error", "edge.yaml", f"{name} 只供故障测试使用，会丢数据", "删掉这一行")


# ------------------------------------------------------------------------------------------------------------------------------------- reach


def _reach(plan: Plan) -> Iterator[Finding]:
    broker = plan.settings.broker
    yield _tcp("消息服务器", broker.host, broker.port, "检查网线、防火墙和 broker.host、broker.port；没有网络时数据先存本机")
    for name, devices in plan.buses.items():
        yield from _bus(plan.bus(name), devices)


def _bus(bus: BusSettings, devices: tuple[Device, ...]) -> Iterator[Finding]:
    subject = f"总线 {bus.name}"
    if isinstance(bus, SerialBus):
        usable = Path(bus.device).exists() and os.access(bus.device, os.R_OK | os.W_OK)
        text = f"串口 {bus.device} {'可用' if usable else '不存在或没有权限'}"
        yield Finding("ok" if usable else "unreachable", subject, text, "" if usable else "检查接线和设备名；把运行用户加入 dialout 组")
        if bus.device.startswith(_WANDERING):
            yield Finding("warning", subject, f"{bus.device} 在换口或重启后可能换名，读到别的设备", "改用 /dev/serial/by-path/ 下的固定名称")
    elif isinstance(bus, CameraBus):
        for host, port in sorted({_address(device.settings.url or "") for device in devices}):
            yield _tcp(subject, host, port, "检查摄像机供电、网线和 url")
    else:
        yield _tcp(subject, bus.host, bus.port, "检查设备供电、网线、地址和端口")


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _tcp(subject: str, host: str, port: int, fix: str) -> Finding:
    with suppress(OSError), socket.create_connection((host, port), _CONNECT_S):
        return Finding("ok", subject, f"{host}:{port} 连得上")
    return Finding("unreachable", subject, f"{host}:{port} 连不上", fix)
