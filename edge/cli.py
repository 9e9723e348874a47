"""Commands of `archivewatch-edge`. JSON goes to stdout, everything else to stderr; exit codes are those of surface.md."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, cast

from contract.installation import usual
from contract.profile import ProfileError, UnknownProfileError, catalogue, find, load_file
from contract.profile_models import Profile
from edge import address, check, decode, scan
from edge.configfile import ConfigError, load, load_devices, read_secret
from edge.plan import Plan, build
from edge.settings import ModbusBus, RtuOverTcpBus, SerialBus, TcpBus

OK, FAILED, USAGE, NOT_FOUND, INVALID, UNREACHABLE = range(6)
_NOBODY_FITS: Final = {
    "reply": "没有合适的画像",
    "exception": "没有合适的画像",
    "garbled": "有应答，但是坏的：两台设备同一地址、波特率或校验位不对，或线路干扰",
}
_DESCRIPTION: Final = "ArchiveWatch 网关：采集、本机缓存、上送"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="archivewatch-edge", description=_DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="命令")
    for name, text in (("run", "开始采集"), ("check", "检查配置，逐条给出解决办法")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help="edge.yaml")
        command.add_argument("--json", action="store_true", help="只输出 JSON" if name == "check" else argparse.SUPPRESS)
        command.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="日志级别")
    _decode_arguments(commands.add_parser("decode", help="用设备画像解一帧报文", description="用设备画像解一帧报文"))
    profiles = commands.add_parser("profiles", help="列出全部设备画像", description="列出全部设备画像")
    profiles.add_argument("--json", action="store_true", help="只输出 JSON")
    _line_arguments(commands.add_parser("scan", help="扫描一条 Modbus 总线（只读）", description="扫描一条 Modbus 总线（只读）"))
    found = commands.add_parser("discover", help="读取设备自述（Home Assistant 发现），生成画像", description="读取设备自述")
    found.add_argument("--host", required=True, help="消息服务器")
    found.add_argument("--port", type=int, default=1883)
    found.add_argument("--username")
    found.add_argument("--password-file", type=Path, help="第一行是密码")
    found.add_argument("--seconds", type=float, default=3.0, help="听多久")
    found.add_argument("-o", "--output", type=Path, metavar="DIR", help="把画像写进这个文件夹（edge.yaml 的 profiles_dir）")
    found.add_argument("--json", action="store_true", help="只输出 JSON")
    _claim_arguments(commands.add_parser("claim", help="向中心认领：显示代码，取得身份和密码", description="向中心认领这台网关"))
    _address_arguments(commands.add_parser("address", help="查看或修改一台 Modbus 设备的地址", description="查看或修改一台 Modbus 设备的地址"))
    return top


def _address_arguments(command: argparse.ArgumentParser) -> None:
    _line_arguments(command)
    command.add_argument("--profile", required=True, help="设备画像")
    command.add_argument("--to", type=int, metavar="N", help="新地址；不给就只看")


def _decode_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("profile", metavar="PROFILE", help="画像名，或自己的画像文件（.yaml）")
    command.add_argument("--request", metavar="HEX", help="问的一帧；画像只有一个寄存器块时可省略")
    command.add_argument("--reply", metavar="HEX", help="答的一帧")
    command.add_argument("--topic", help="MQTT 主题")
    command.add_argument("--payload", type=Path, metavar="FILE", help="MQTT 消息内容，- 为标准输入")
    command.add_argument("--json", action="store_true", help="只输出 JSON")


def _claim_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--server", required=True, metavar="URL", help="中心的网址，例如 https://aw.example.org")
    command.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="配置和密码写在哪个文件夹")
    command.add_argument("--ca", type=Path, metavar="FILE", help="核对中心证书用的签发机构（PEM）；系统已信任时不用写")
    command.add_argument("--hint", default="", help="给认领的人看的名字，例如机身编号；默认为主机名")
    command.add_argument("--label", type=Path, metavar="FILE", help="把代码写成可打印的标签（.svg），随后退出")
    command.add_argument("--new-key", action="store_true", help="换一个代码")
    command.add_argument("--seconds", type=float, default=0.0, help="最多等多久；0 = 一直等")
    command.add_argument("--json", action="store_true", help="只输出 JSON")


def _line_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", required=True, help="串口（/dev/ttyUSB0）或 主机:端口")
    command.add_argument("--kind", choices=("serial", "tcp", "rtu_over_tcp"), help="默认：串口路径为 serial，主机:端口为 tcp")
    command.add_argument("--baud", type=int, default=9600, help="波特率")
    command.add_argument("--parity", choices=("N", "E", "O"), default="N", help="校验位")
    command.add_argument("--units", default="1-32", help="地址范围，如 1-32,254")
    command.add_argument("--timeout-ms", type=int, default=300, help="每次等待多久")
    command.add_argument("--json", action="store_true", help="只输出 JSON")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    args = parser().parse_args(arguments)
    handlers = {
        "run": _run, "check": _check, "decode": _decode, "profiles": _profiles, "scan": _scan, "address": _address, "discover": _discover,
        "claim": _claim,
    }  # fmt: skip
    try:
        return handlers[args.command](args)
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ConfigError as error:
        _say(str(error))
        if getattr(args, "json", False):
            _print({"ok": False, "error": {"file": str(error.file), "line": error.line, "reason": error.reason}})
        return INVALID
    except UnknownProfileError as error:
        _say(f"没有设备画像 {error.name}；archivewatch-edge profiles 列出全部")
        if getattr(args, "json", False):
            _print({"profile": error.name, "points": [], "error": {"kind": "not_found", "detail": str(error)}})
        return NOT_FOUND


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


def _plan(config: Path) -> Plan:
    settings = load(config)
    devices, lines = load_devices(settings.devices_file)
    return build(settings, devices, lines)


# ---------------------------------------------------------------------------------------------------------------------------------- commands


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    plan = _plan(args.config)
    from edge.agent import Agent  # noqa: PLC0415 - the other commands need neither paho nor SQLite

    try:
        agent = Agent(plan)
    except OSError as error:
        _say(f"数据目录 {plan.settings.data_dir} 不能使用：{error.strerror}")
        return FAILED
    asyncio.run(_until_signal(agent))
    return OK


async def _until_signal(agent: Any) -> None:
    stop, running = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(number, stop.set)
    await agent.run(stop)


def _check(args: argparse.Namespace) -> int:
    plan = _plan(args.config)
    found = check.findings(plan)
    if args.json:
        _print(check.as_json(plan, found))
    else:
        print(check.as_text(plan, found))
    return check.exit_code(found)


def _decode(args: argparse.Namespace) -> int:
    profile = usual(_named(args.profile))
    if args.topic is not None and args.payload is not None:
        try:
            payload = sys.stdin.buffer.read() if str(args.payload) == "-" else args.payload.read_bytes()
        except OSError as error:
            _say(f"无法读取 {args.payload}：{error.strerror}")
            return NOT_FOUND
        output = decode.message(profile, args.topic, payload)
    elif args.reply is not None:
        output = decode.exchange(profile, args.request, args.reply)
    else:
        _say("要么给 --reply（和 --request），要么给 --topic 和 --payload")
        return USAGE
    if args.json:
        _print(output)
    else:
        print(decode.as_text(output))
    return OK if output["error"] is None else INVALID


def _profiles(args: argparse.Namespace) -> int:
    entries = [_entry(profile) for profile in catalogue().values()]
    if args.json:
        _print(entries)
    else:
        for entry in entries:
            print(f"{entry['id']:32} {entry['title']}（{entry['vendor']} {entry['model']}）{'、'.join(entry['quantities'])}")
    return OK


def _entry(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "title": profile.title.zh,
        "vendor": profile.vendor,
        "model": profile.model,
        "category": profile.category,
        "kind": profile.connection.kind,
        "evidence": profile.evidence,
        "aliases": list(profile.aliases),
        "quantities": sorted({point.quantity for point in profile.points}),
        "variants": list(profile.variants),
        "params": [{"id": param.id, "ask": param.ask.zh, "type": param.type, "default": param.default} for param in profile.params],
    }


def _named(name: str) -> Profile:
    """A packaged profile, or the one in a file. Raises UnknownProfileError, ConfigError."""
    if not name.endswith(".yaml"):
        return find(name)
    try:
        return load_file(Path(name))
    except ProfileError as error:
        raise ConfigError(Path(name), error.line, error.reason) from None
    except OSError as error:
        raise ConfigError(Path(name), 1, f"无法读取（{error.strerror}）") from None


def _discover(args: argparse.Namespace) -> int:
    from edge import discover  # noqa: PLC0415 - the other commands need no paho

    password = read_secret(args.password_file) if args.password_file else None
    try:
        found = discover.proposals(discover.listen(args.host, args.port, args.username, password, args.seconds))
        written = discover.write(found, args.output) if args.output else []
    except discover.BrokerUnreachableError as error:
        _say(str(error))
        return UNREACHABLE
    except OSError as error:
        _say(f"{args.output}：{error.strerror}")
        return FAILED
    if args.json:
        _print({"devices": found, "written": [str(path) for path in written]})
        return OK
    for device in found:
        print(f"{device['device']}（{device['vendor']} {device['model']}）：{'、'.join(device['profiles']) or '没有可用的测点'}")
        for reason in device["left_out"]:
            print(f"    略去 {reason}")
    print(f"{len(found)} 台设备自述，写了 {len(written)} 个画像。" + ("" if args.output else "用 -o 写成文件。"))
    return OK


def _bus(args: argparse.Namespace) -> ModbusBus:
    """The line that the arguments name. Raises ConfigError."""
    common: dict[str, Any] = {"name": "scan", "timeout_ms": args.timeout_ms, "quiet_ms": args.timeout_ms}
    host, _, port = args.port.rpartition(":")
    kind = args.kind or ("serial" if not host or args.port.startswith("/") else "tcp")
    if kind == "serial":
        return SerialBus(kind="serial", device=args.port, baud=args.baud, parity=cast(Any, args.parity), **common)
    if not host or not port.isdecimal():
        raise ConfigError(Path("--port"), 1, f"{args.port} 不是 主机:端口")
    if kind == "tcp":
        return TcpBus(kind="tcp", host=host, port=int(port), **common)
    return RtuOverTcpBus(kind="rtu_over_tcp", host=host, port=int(port), baud=args.baud, **common)


def _claim(args: argparse.Namespace) -> int:
    from edge import claim  # noqa: PLC0415 - an HTTP client and its cryptography, 17 MB that a running gateway need not carry

    return claim.run(args)


def _scan(args: argparse.Namespace) -> int:
    try:
        wanted = scan.units(args.units)
    except ValueError as error:
        _say(f"--units {error}")
        return USAGE
    try:
        found = asyncio.run(_collected(_bus(args), wanted))
    except scan.BusUnreachableError as error:
        _say(str(error))
        return UNREACHABLE
    if args.json:
        _print({"port": args.port, "asked": len(wanted), "units": found})
        return OK
    for entry in found:
        count = len(entry["candidates"])
        print(f"地址 {entry['unit']}：" + (f"{count} 种画像读得通" if count else _NOBODY_FITS[entry["answer"]]))
        for candidate in entry["candidates"]:
            values = "，".join(f"{point} {value}" for point, value in candidate["values"].items())
            print(f"    {candidate['profile']}（{candidate['title']}）{values}")
        for group in entry["alike"]:
            print(f"    线上分不清：{'、'.join(group)}。读的是同样的寄存器，请看设备标签，或用已知的读数对照。")
    print(f"问了 {len(wanted)} 个地址，{len(found)} 个有应答。")
    return OK


async def _collected(bus: ModbusBus, wanted: list[int]) -> list[dict[str, Any]]:
    return [entry async for entry in scan.scan(bus, wanted)]


def _address(args: argparse.Namespace) -> int:
    profile = find(args.profile)
    step = address.register_of(profile)
    if step is None:
        _say(address.undocumented(profile))
        return FAILED
    if args.to is None:
        low, high = address.bounds(profile, step)
        _say(f"{profile.title.zh}（{profile.id}）的地址在寄存器 0x{step.address:04X}，可以是 {low}–{high}。用 --to 新地址 修改；下面只读。")
        return _scan(args)
    try:
        done = asyncio.run(address.change(_bus(args), profile, scan.units(args.units), args.to, _asked))
    except ValueError as error:
        _say(f"--units {error}")
        return USAGE
    except scan.BusUnreachableError as error:
        _say(str(error))
        return UNREACHABLE
    except address.AddressError as error:
        _say(str(error))
        return FAILED if error.written else INVALID
    if args.json:
        _print({"port": args.port, "profile": profile.id, "from": done.old, "to": done.new})
    else:
        print(f"完成：地址 {done.old} 改为 {done.new}，已回读。请把设备贴上新地址，并写进 devices.yaml。")
    return OK


async def _asked(question: str) -> str:
    print(question, end=" ", file=sys.stderr, flush=True)
    return await asyncio.to_thread(sys.stdin.readline)
