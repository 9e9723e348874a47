"""The files of the demo: server.yaml, three edge.yaml and devices.yaml, the simulated world, all made from the wiring and the province.

The product runs on its own programs and these files; there is no demo code path in it.
"""

import json
import secrets
import socket
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from simulators import wiring
from simulators.province_rows import Province, room_spec

PORTS: Final[Mapping[str, int]] = {"web": 8080, "broker": 1883, "sms": 8025, "control": 8601, "cameras": 8602, "line1": 5020, "line2": 5021}
ROLES: Final[Mapping[str, tuple[str, str]]] = {
    "duty": ("duty", "省厅值班员"),
    "keeper": ("in_charge", "鼓楼库房责任人"),
    "inspector": ("inspector", "检查人员"),
    "system": ("system", "系统管理员"),
    "security": ("security", "安全管理员"),
    "audit": ("audit", "审计管理员"),
}
KEEPER_UNIT: Final = "350102000000"
ACCOUNT_SID: Final = "AC00000000000000000000000000000000"
BANNER: Final = "演示：仿真数据。告警规则与上报时限为秒级（demo-rules.yaml、demo-escalation.yaml），产品默认值以小时、分钟计。"


def shipped(name: str) -> Path:
    """A file that ships with the demo."""
    return Path(str(files("simulators").joinpath("demo_files", name)))


def choose_ports(folder: Path) -> tuple[dict[str, int], list[str]]:
    """The ports of the last start where they are still free, else the usual ones, else free ones; and a sentence for each replaced one."""
    path = folder / "ports.json"
    last: dict[str, int] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    ports: dict[str, int] = {}
    said = []
    for name, usual in PORTS.items():
        wanted = last.get(name, usual)
        ports[name] = wanted if _free(wanted) else _any_free()
        if ports[name] != wanted:
            said.append(f"端口 {wanted}（{name}）已被占用，改用 {ports[name]}。")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ports), "utf-8")
    return ports, said


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Site:
    """Everything about one demo folder. `edge` and `server` are merged into the generated files, for the fault tests."""

    def __init__(self, folder: Path, province: Province, ports: Mapping[str, int]) -> None:
        self.folder, self.province, self.ports = folder.resolve(), province, ports
        self.gateways = {gateway: self._rooms_of(gateway) for gateway in wiring.CARRIERS}
        self.secrets = _secrets(self.folder)

    def _rooms_of(self, gateway: str) -> list[str]:
        rooms = {point.room for point in self.province.points if point.gateway == gateway and point.room}
        return sorted(rooms)

    @property
    def url(self) -> str:
        """Address of the board."""
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def sms_url(self) -> str:
        """Address of the simulated SMS gateway."""
        return f"http://127.0.0.1:{self.ports['sms']}"

    @property
    def control_url(self) -> str:
        """Address of the world's control."""
        return f"http://127.0.0.1:{self.ports['control']}"

    def write(self, *, edge: Mapping[str, Any] | None = None, server: Mapping[str, Any] | None = None, interval_s: float | None = None) -> None:
        """Write all configuration files. `interval_s` makes every device of the edges report that often."""
        _dump(self.folder / "server" / "server.yaml", self._server() | dict(server or {}))
        _dump(self.folder / "world.yaml", self._world())
        for gateway in self.gateways:
            folder = self.folder / gateway
            _dump(folder / "edge.yaml", self._edge(gateway) | dict(edge or {}))
            _dump(folder / "devices.yaml", self._devices(gateway, interval_s))

    def _server(self) -> dict[str, Any]:
        folder = self.folder / "server"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sms-token").write_text(self.secrets["sms"], "utf-8")
        (folder / "gateway-tokens").write_text("".join(f"{gateway} {self.secrets[gateway]}\n" for gateway in self.gateways), "utf-8")
        return {
            "listen": f"127.0.0.1:{self.ports['web']}",
            "data_dir": "data",
            "broker": {"port": self.ports["broker"]},
            "rules": str(shipped("demo-rules.yaml")),
            "escalation": str(shipped("demo-escalation.yaml")),
            "watch": {"stale_intervals": 3, "stale_min_s": 20, "restart_holdoff_s": 15},
            "sms": {"kind": "twilio", "account_sid": ACCOUNT_SID, "token_file": "sms-token", "sender": "+8610690000", "base_url": self.sms_url,
                    "lookup_grace_s": 3, "claim_s": 12},
            "gateway_token_file": "gateway-tokens",
            "banner": BANNER,
        }  # fmt: skip

    def _edge(self, gateway: str) -> dict[str, Any]:
        folder = self.folder / gateway
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "server-token").write_text(self.secrets[gateway], "utf-8")
        carrier = wiring.CARRIERS[gateway]
        line: dict[str, Any] = {"name": "line1", "kind": carrier}
        if carrier == "pty":
            line |= {"kind": "serial", "device": str(self.folder / "line3"), "baud": 9600}
        else:
            line |= {"host": "127.0.0.1", "port": self.ports["line1" if carrier == "tcp" else "line2"]}
        buses = [line, {"name": "cameras", "kind": "camera"}]
        if gateway == wiring.ZIGBEE:
            buses.append({"name": "zigbee", "kind": "mqtt", "host": "127.0.0.1", "port": self.ports["broker"]})
        return {
            "gateway": gateway,
            "group": next(point.group for point in self.province.points if point.gateway == gateway),
            "broker": {"host": "127.0.0.1", "port": self.ports["broker"]},
            "data_dir": "data",
            "devices_file": "devices.yaml",
            "server_url": self.url,
            "server_token_file": "server-token",
            "buses": buses,
        }

    def _devices(self, gateway: str, interval_s: float | None) -> dict[str, Any]:
        cameras = f"http://127.0.0.1:{self.ports['cameras']}"
        wires = [wire._replace(interval_s=interval_s or wire.interval_s) for wire in wiring.wires(gateway, self.gateways[gateway])]
        return {"version": 1, "devices": [wiring.device_entry(wire, f"{cameras}/{gateway}-") for wire in wires]}

    def _world(self) -> dict[str, Any]:
        rooms = [room for gateway in self.gateways.values() for room in gateway]
        buses, cameras, radio = [], [], []
        for gateway, carrier in wiring.CARRIERS.items():
            wires = wiring.wires(gateway, self.gateways[gateway])
            bus: dict[str, Any] = {"name": gateway, "kind": carrier, "units": [wiring.unit_entry(wire) for wire in wires if wire.bus == "line1"]}
            if carrier == "pty":
                bus["link"] = str(self.folder / "line3")
            else:
                bus["port"] = self.ports["line1" if carrier == "tcp" else "line2"]
            buses.append(bus)
            cameras += [{"name": f"{gateway}-{wire.name}", "room": wire.room} for wire in wires if wire.bus == "cameras"]
            radio += [{"name": wire.topic, "room": wire.room, "profile": wire.profile, "interval": 10} for wire in wires if wire.topic]
        return {
            "seed": 7,
            "rooms": [_room(spec) for spec in self.province.rooms if spec.code in rooms],
            "buses": buses,
            "mqtt": {"host": "127.0.0.1", "port": self.ports["broker"], "devices": radio},
            "cameras": {"port": self.ports["cameras"], "items": cameras},
            "control": {"port": self.ports["control"]},
        }

    def scenes(self) -> Sequence[tuple[str, str, str, str]]:
        """What is staged: (scenario, room, rule that must fire, what a person sees)."""
        first, second, third = (self.gateways[gateway][0] for gateway in wiring.CARRIERS)
        return (
            ("damp-evening", first, "humidity_high", "湿度上升"),
            ("door-left-open", second, "door_held", "库门未关"),
            ("smouldering-cable", third, "smoke", "电缆阴燃"),
        )


def _room(room: Any) -> dict[str, Any]:
    spec = room_spec(room)
    fields = ("dehumidifier", "humidifier", "cooling", "cooling_hours", "heating")
    # Nobody visits while the demo runs, or a cleaner's open door would look like one of the three scenes.
    return {"code": room.code, "city": room.city, "visits_per_day": 0, **{name: getattr(spec, name) for name in fields}}


def _secrets(folder: Path) -> dict[str, str]:
    """Passwords and keys of this demo, made once and kept in its folder."""
    path = folder / "secrets.json"
    if path.is_file():
        found: dict[str, str] = json.loads(path.read_text("utf-8"))
        return found
    made = {name: secrets.token_urlsafe(9) for name in (*ROLES, *wiring.CARRIERS)} | {"sms": secrets.token_hex(16)}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1), "utf-8")
    path.chmod(0o600)
    return made


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    # JSON is YAML: no quoting rules to get wrong.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
