"""One simulator by itself from the prompt: `plant`, `modbus`, `mqtt`, `camera`. The last three are worlds of one room."""

import argparse
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from simulators import world
from simulators.climate import CITIES, UnknownCityError
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.weather import DAY, first_instant
from simulators.world_config import WorldConfig, WorldConfigError

_ROOM = "350102000001-01"
_PRINTED = ("temperature", "humidity", "door", "motion", "co2")


def plant_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim plant`."""
    parser.add_argument("--city", default="fuzhou", help=f"name or code; {', '.join(CITIES)}")
    parser.add_argument("--bare", action="store_true", help="a room without machines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=datetime.fromisoformat, help="ISO 8601; without zone: Asia/Shanghai (default: now)")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--step", type=int, default=600, help="seconds between rows")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of CSV")


def plant_main(args: argparse.Namespace) -> int:
    """Print what happens in a room as CSV (time,temperature,humidity,door,motion,co2) or JSON."""
    start = first_instant(args.start)
    spec = RoomSpec.bare(_ROOM, args.city) if args.bare else RoomSpec(_ROOM, args.city)
    try:
        plant = Plant([spec], seed=args.seed, start_ms=start)
    except UnknownCityError as error:
        print(error, file=sys.stderr)
        return 3
    rows = [_row(plant, t) for t in range(start, start + int(args.days * DAY), args.step * 1000)]
    if args.json:
        print(json.dumps(rows))
    else:
        print(",".join(("time", *_PRINTED)))
        print("\n".join(",".join(str(v) for v in row.values()) for row in rows))
    return 0


def _row(plant: Plant, now: int) -> dict[str, Any]:
    plant.advance(now)
    return {"time": datetime.fromtimestamp(now / 1000, UTC).isoformat()} | {q: round(plant.value(_ROOM, q), 2) for q in _PRINTED}


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--city", default="fuzhou", help=f"name or code; {', '.join(CITIES)}")
    parser.add_argument("--room", default=_ROOM, help="room code")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per second")
    parser.add_argument("--exact", action="store_true", help="no sensor noise")
    parser.add_argument("--control", type=int, default=0, metavar="PORT", help="port of the control API (0: a free one)")


def _run(args: argparse.Namespace, parts: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    common = {"seed": args.seed, "speed": args.speed, "noise": not args.exact, "control": {"port": args.control}}
    try:
        config = WorldConfig.of(common | {"rooms": [{"code": args.room, "city": args.city}]} | parts, "options")
    except WorldConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return world.start(config)


def modbus_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim modbus`."""
    _common(parser)
    parser.add_argument("--kind", choices=("tcp", "rtu_over_tcp", "pty"), default="tcp")
    parser.add_argument("--port", type=int, default=0, help="TCP port (0: a free one)")
    parser.add_argument("--link", help="stable name of the terminal (pty)")
    parser.add_argument("--unit", action="append", metavar="ID=PROFILE", help="a device, repeatable (default 1=renke-rs-ws-n01)")
    parser.add_argument("--ledger", help="write one JSON line per answered read")


def modbus_main(args: argparse.Namespace) -> int:
    """Serve Modbus devices of one room until stopped."""
    pairs = [pair.partition("=") for pair in args.unit or ["1=renke-rs-ws-n01"]]
    units = [{"unit": number, "profile": profile, "room": args.room} for number, _, profile in pairs]
    return _run(args, {"buses": [{"name": "bus", "kind": args.kind, "port": args.port, "link": args.link, "ledger": args.ledger, "units": units}]})


def mqtt_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim mqtt`."""
    _common(parser)
    parser.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--prefix", default="zigbee2mqtt")
    parser.add_argument("--device", action="append", metavar="NAME=KIND", help="a sensor: climate, door, motion, leak, smoke; repeatable")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between messages")
    parser.add_argument("--retain", action="store_true")
    parser.add_argument("--duplicate", action="store_true", help="every message twice")


def mqtt_main(args: argparse.Namespace) -> int:
    """Publish the sensors of one room until stopped."""
    host, _, port = args.broker.rpartition(":")
    shared = {"room": args.room, "interval": args.interval, "retain": args.retain, "duplicate": args.duplicate}
    pairs = [pair.partition("=") for pair in args.device or ["store_climate=climate", "store_door=door"]]
    devices = [{"name": name, "kind": kind or "climate"} | shared for name, _, kind in pairs]
    return _run(args, {"mqtt": {"host": host, "port": port, "prefix": args.prefix, "devices": devices}})


def camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim camera`."""
    _common(parser)
    parser.add_argument("--port", type=int, default=0, help="TCP port (0: a free one)")
    parser.add_argument("--rtsp-port", type=int, help="stream over RTSP as well (0: a free port)")
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--user", default="viewer")
    parser.add_argument("--password", default="")
    parser.add_argument("--fault", default="", help="black, covered, frozen, moved, blurred, error, truncated, slow …")


def camera_main(args: argparse.Namespace) -> int:
    """Serve the camera of one room until stopped."""
    item = {"name": "cam", "room": args.room, "auth": args.auth, "user": args.user, "password": args.password, "fault": args.fault}
    return _run(args, {"cameras": {"port": args.port, "rtsp_port": args.rtsp_port, "items": [item]}})
