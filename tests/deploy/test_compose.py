"""docker-compose.yml and deploy/ held against our own programs: what a container would read or run is read or parsed here; so are the documents."""

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as paho
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from contract.profile import find, load_text
from contract.vectors import failures
from edge import cli as edge_cli
from edge import configfile, plan
from edge import settings as edge_settings
from server import cli as server_cli
from server import settings as server_settings
from server.store.session import Database
from server.store.tables import Gateway, Person, Point, Room
from simulators.__main__ import COMMANDS
from simulators.province_rows import Province
from simulators.world import World
from simulators.world_config import WorldConfig

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCS = ROOT / "docs"
EDGES = ("edge-1", "edge-2")
MOSQUITTO = shutil.which("mosquitto")
_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Z_]+:-([^}]*)\}")


def load_compose() -> Any:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    return YAML(typ="safe", pure=True).load(_VARIABLE.sub(r"\1", text))


COMPOSE: Any = load_compose()
SERVICES: Mapping[str, Any] = COMPOSE["services"]


def module(name: str) -> ModuleType:
    """A script of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def mounts(service: str) -> Iterator[tuple[str, str, str]]:
    """(source, target, mode) of each volume of a service."""
    for volume in SERVICES[service].get("volumes", ()):
        source, target, *mode = volume.split(":")
        yield source, target, mode[0] if mode else "rw"


def on_host(service: str, inside: str) -> Path:
    """The file of this repository that a container sees at a path."""
    for source, target, _ in mounts(service):
        if source.startswith("./") and (inside == target or inside.startswith(f"{target}/")):
            return ROOT / source / inside[len(target) :].lstrip("/")
    raise AssertionError(f"{service} has no file {inside}")


# -- the file itself --------------------------------------------------------------------------------------------------------------------


def test_the_services_are_all_there() -> None:
    assert {"broker", "influxdb", "postgres", "server", "edge-1", "edge-2", "world", "sms", "fleet"} <= set(SERVICES)
    for name, service in SERVICES.items():
        for wanted, how in service.get("depends_on", {}).items():
            assert wanted in SERVICES, f"{name} waits for {wanted}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[wanted], f"{name} waits for the health of {wanted}"


def test_images_are_pinned() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    for name, service in SERVICES.items():
        image, _, tag = service["image"].partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{name}: {service['image']}"
        if image.startswith("archivewatch"):
            assert tag == version.group(1)
            assert "build" in service
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert bases
    assert all(":" in base and not base.endswith(":latest") for base in bases), bases


def test_only_the_page_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"server": ["127.0.0.1:8080:8080"]}
    assert not any(service.get("network_mode") == "host" or service.get("privileged") for service in SERVICES.values())


def test_every_long_runner_restarts_and_says_how_it_is() -> None:
    for name, service in SERVICES.items():
        if service["restart"] == "no":
            assert "service_completed_successfully" in str([other.get("depends_on", {}).get(name) for other in SERVICES.values()]), name
            continue
        assert service["restart"] == "unless-stopped", name
        if name != "fleet":
            assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"]), name


def test_networks_and_volumes_are_declared() -> None:
    used = {network for service in SERVICES.values() for network in service.get("networks", ())}
    assert used == set(COMPOSE["networks"])
    assert {name for name, network in COMPOSE["networks"].items() if not network.get("internal")} == {"front"}
    named = {source for name in SERVICES for source, _, _ in mounts(name) if not source.startswith("./")}
    assert named == set(COMPOSE["volumes"])


@pytest.mark.parametrize("service", SERVICES)
def test_mounted_files_exist_and_are_read_only(service: str) -> None:
    for source, target, mode in mounts(service):
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mode == "ro", f"{source} on {target}"
        elif source.startswith("secrets-") and service != "secrets":
            assert mode == "ro", source


# -- command lines ----------------------------------------------------------------------------------------------------------------------


def parsed(words: list[str]) -> argparse.Namespace:
    """A command line of ours through its real parser; SystemExit fails the test."""
    program, *arguments = words
    if program == "archivewatch":
        return server_cli.parser().parse_args(arguments)
    if program == "archivewatch-edge":
        return edge_cli.parser().parse_args(arguments)
    assert program == "archivewatch-sim", program
    command = COMMANDS[arguments[0]]
    parser = argparse.ArgumentParser()
    getattr(importlib.import_module(command.module), f"{command.prefix}arguments" if command.prefix else "add_arguments")(parser)
    return parser.parse_args(arguments[1:])


def load_lines() -> list[list[str]]:
    """The commands of deploy/load.sh."""
    lines = [line for line in (DEPLOY / "load.sh").read_text("utf-8").splitlines() if line.startswith("archivewatch ")]
    found = [shlex.split(line.partition(" <")[0].replace('"$config"', "/etc/archivewatch/server.yaml")) for line in lines]
    return [words for words in found if words and words[0] == "archivewatch"]


def words_of(service: str) -> list[str]:
    command = SERVICES[service]["command"]
    if command[:2] == ["sh", "-c"]:
        return shlex.split(command[2].removeprefix("exec ").replace("$$(cat /run/aw/token)", "TOKEN"))
    return list(command)


@pytest.mark.parametrize("service", ["server", *EDGES, "world", "zigbee-broker", "sms", "fleet"])
def test_command_lines_parse(service: str) -> None:
    args = parsed(words_of(service))
    if config := getattr(args, "config", None):
        assert on_host(service, str(config)).is_file()


def test_the_load_script_parses_and_finds_its_files() -> None:
    assert SERVICES["load"]["command"][:2] == ["sh", "/load.sh"]
    lines = load_lines()
    assert [words[1] for words in lines] == ["migrate", "import", "import", "import", "import", "account", "gateway", "broker"]
    for words in lines:
        args = parsed(words)
        assert on_host("load", str(args.config)).is_file()
        if "file" in args and not str(args.file).startswith("/run/aw/"):
            assert on_host("load", str(args.file)).is_file()


PAGES = ("tutorial.md", "how-to/add-a-device.md", "how-to/install-a-gateway.md", "reference/commands.md", "reference/broker.md")


@pytest.mark.parametrize("path", [DOCS / name for name in PAGES], ids=lambda path: path.name)
def test_commands_in_the_documents_parse(path: Path) -> None:
    found = 0
    for block in re.findall(r"```sh\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.partition(" <")[0].partition(" | ")[0], comments=True)
            if words and words[0].removeprefix(".venv/bin/").startswith("archivewatch"):
                parsed([words[0].removeprefix(".venv/bin/"), *words[1:]])
                found += 1
    assert found >= 2


def test_the_reference_names_every_command() -> None:
    text = (DOCS / "reference" / "commands.md").read_text("utf-8")
    missing = [
        name for top, parser in (("archivewatch", server_cli.parser()), ("archivewatch-edge", edge_cli.parser())) for name in leaves(top, parser)
    ]
    missing += [f"archivewatch-sim {name}" for name in COMMANDS]
    missing = [name for name in missing if f"`{name}" not in text]
    assert not missing


def leaves(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield name
    for group in groups:
        for word, inner in group.choices.items():
            yield from leaves(f"{name} {word}", inner)


# -- configuration files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service `secrets` makes on the first start."""
    folder = tmp_path_factory.mktemp("secrets")
    module("make_secrets").main(folder)
    return folder


def secret_names(service: str, folder: Path) -> set[str]:
    """The paths under which a service sees its secrets."""
    volume = next(source for source, target, _ in mounts(service) if target == "/run/aw")
    return {f"/run/aw/{path.name}" for path in (folder / volume.removeprefix("secrets-")).iterdir()}


def paths_in(model: BaseModel) -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from paths_in(value)
        elif isinstance(value, Path):
            yield str(value)


@pytest.mark.parametrize("name", ["server.yaml", "server-influxdb.yaml", "server-postgres.yaml"])
def test_the_server_files_load(name: str, secrets_folder: Path) -> None:
    settings = server_settings.load_settings(on_host("server", f"/etc/archivewatch/{name}"))
    assert settings.port == 8080
    assert settings.host == "0.0.0.0"  # inside the container; the published port is on loopback
    assert settings.broker.host in SERVICES
    assert {path for path in paths_in(settings) if path.startswith("/run")} <= secret_names("server", secrets_folder)
    assert str(settings.data_dir) in {target for _, target, _ in mounts("server")}
    assert settings.sms.base_url == "http://sms:8025"
    assert (settings.database is None) == (name != "server-postgres.yaml")
    assert settings.gateways.access == "mosquitto"
    assert str(settings.gateways.access_folder) in {target for _, target, _ in mounts("server")}
    if name == "server-influxdb.yaml":
        environment = SERVICES["influxdb"]["environment"]
        assert settings.series.kind == "influx"
        assert settings.series.url == "http://influxdb:8086"
        assert (settings.series.org, settings.series.bucket) == (
            environment["DOCKER_INFLUXDB_INIT_ORG"],
            environment["DOCKER_INFLUXDB_INIT_BUCKET"],
        )


def test_the_server_files_differ_only_in_their_stores() -> None:
    one, other = (server_settings.load_settings(DEPLOY / "server" / name) for name in ("server.yaml", "server-influxdb.yaml"))
    assert one.model_copy(update={"series": other.series}) == other
    third = server_settings.load_settings(DEPLOY / "server" / "server-postgres.yaml")
    changes = {"database": third.database, "database_password_file": third.database_password_file}
    assert one.model_copy(update=changes) == third


def gateway_plan(service: str) -> plan.Plan:
    settings = configfile.load(on_host(service, "/etc/archivewatch/edge.yaml"))
    devices, lines = configfile.load_devices(on_host(service, f"/etc/archivewatch/{settings.devices_file.name}"))
    return plan.build(settings, devices, lines)


@pytest.mark.parametrize("service", EDGES)
def test_the_gateway_files_load_and_fit_together(service: str, secrets_folder: Path) -> None:
    built = gateway_plan(service)
    settings = built.settings
    assert settings.broker.host in SERVICES
    assert settings.broker.username == settings.gateway  # the broker's access list says so
    assert settings.server_url == "http://server:8080"
    assert {path for path in paths_in(settings) if path.startswith("/run")} <= secret_names(service, secrets_folder)
    assert str(settings.data_dir) in {target for _, target, _ in mounts(service)}
    for device in built.devices:
        assert find(device.settings.profile).id == device.settings.profile, "an alias, not the profile's own name"
    reachable = {name for name, other in SERVICES.items() if set(other.get("networks", ())) & set(SERVICES[service]["networks"])}
    hosts = {bus.host for bus in settings.buses if hasattr(bus, "host")} | {settings.broker.host, "server"}
    assert hosts <= reachable


def test_the_load_table_knows_the_gateways_points() -> None:
    province = Province.load(DEPLOY / "province")
    for service in EDGES:
        built = gateway_plan(service)
        rows = {(point.key.metric, point.room, point.group) for point in province.points if point.gateway == built.settings.gateway}
        assert {(point.key.metric, point.room, built.settings.group) for point in built.points} == rows


def test_the_world_stands_opposite_the_gateways() -> None:
    config = WorldConfig.load(on_host("world", "/etc/archivewatch/world.yaml"))
    assert config.mqtt is not None
    assert config.cameras is not None
    assert config.mqtt.host in SERVICES
    World(config)  # every profile, wiring and room can be built; nothing listens yet
    buses = {bus.port: bus for bus in config.buses}
    for service in EDGES:
        for device in gateway_plan(service).devices:
            entry = device.settings
            match gateway_plan(service).bus(entry.bus):
                case edge_settings.TcpBus(port=port) | edge_settings.RtuOverTcpBus(port=port) as bus:
                    assert buses[port].kind == bus.kind
                    unit = next(unit for unit in buses[port].units if unit.unit == entry.unit)
                    assert (unit.profile, unit.room, set(unit.channels)) == (entry.profile, entry.room, set(entry.channels))
                case edge_settings.MqttBus(host=host, port=port):
                    assert (host, port) == (config.mqtt.host, config.mqtt.port)
                    assert (entry.topic, entry.profile, entry.room) in {(d.name, d.profile, d.room) for d in config.mqtt.devices}
                case _:
                    urls = {f"http://world:{config.cameras.port}/{item.name}/snapshot.jpg": item.room for item in config.cameras.items}
                    assert urls[str(entry.url)] == entry.room


def test_the_example_province_loads_as_the_container_would(tmp_path: Path, secrets_folder: Path) -> None:
    config = _loaded(tmp_path, secrets_folder)
    db = Database(server_settings.load_settings(config).database_url)
    with db.read() as session:
        counts = [session.query(table).count() for table in (Person, Room, Gateway, Point)]
    db.close()
    assert counts == [20, 6, 2, 45]


def test_no_number_of_the_example_can_be_called() -> None:
    # No Chinese mobile number begins with 12: a real provider in place of the simulated one reaches nobody by mistake.
    assert all(person.phone.startswith("+8612") for person in Province.load(DEPLOY / "province").people)


# -- secrets, health checks, packages -----------------------------------------------------------------------------------------------------


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    make = module("make_secrets")
    make.main(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    make.main(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in before)
    folders = {target.removeprefix("/secrets/") for _, target, _ in mounts("secrets") if target.startswith("/secrets/")}
    assert folders == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "sms" / "token").read_text() == (tmp_path / "server" / "sms-token").read_text()
    assert (tmp_path / "influxdb" / "token").read_text() == (tmp_path / "server" / "influx-token").read_text()
    assert (tmp_path / "postgres" / "password").read_text() == (tmp_path / "server" / "postgres-password").read_text()
    for service in EDGES:
        password, token = ((tmp_path / service / name).read_text() for name in ("broker-password", "server-token"))
        line = f"{gateway_plan(service).settings.gateway} {password} {token}\n"
        assert line in (tmp_path / "server" / "gateway-credentials").read_text()


@pytest.mark.parametrize(
    "service", [name for name, found in SERVICES.items() if "/opt/archivewatch/healthy.py" in found.get("healthcheck", {}).get("test", ())]
)
def test_health_checks_are_calls_that_exist(service: str) -> None:
    how, program, script, kind, *rest = SERVICES[service]["healthcheck"]["test"]
    assert (how, program, script) == ("CMD", "python", "/opt/archivewatch/healthy.py")
    assert (kind, len(rest)) in {("url", 1), ("port", 1), ("fresh", 2)}


def test_the_health_check_tells_well_from_ill(tmp_path: Path, free_port: int) -> None:
    healthy = module("healthy").healthy
    assert not healthy("fresh", str(tmp_path), "120")
    (tmp_path / "spool").write_text("")
    assert healthy("fresh", str(tmp_path), "120")
    os.utime(tmp_path / "spool", (time.time() - 200, time.time() - 200))
    assert not healthy("fresh", str(tmp_path), "120")
    with socket.create_server(("127.0.0.1", free_port)):
        assert healthy("port", f"127.0.0.1:{free_port}")
    with pytest.raises(OSError, match="refused"):
        healthy("port", f"127.0.0.1:{free_port}")


@pytest.mark.parametrize("extra", ["server", "edge", "sim"])
def test_each_image_takes_its_part_of_the_lock(extra: str) -> None:
    project, lock = ((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "requirements.lock"))
    picked = module("pick_lock").pick(lock, project, [extra])
    names = set(re.findall(r"^([a-z0-9-]+)==", picked, re.MULTILINE))
    assert {"pydantic", "msgspec", "paho-mqtt", "hatchling"} <= names
    assert ("duckdb" in names) == (extra != "edge")
    assert ("pymodbus" in names) == (extra != "server")
    assert not names & {"pytest", "playwright", "mypy", "ruff", "uv"}
    entries = [entry for entry in re.split(r"^(?=[a-z0-9])", picked, flags=re.MULTILINE) if entry]
    assert all(entry in lock and "--hash=sha256:" in entry for entry in entries)
    assert {SERVICES[name]["build"]["args"]["EXTRA"] for name in SERVICES if "build" in SERVICES[name]} == {"server", "edge", "sim"}


def test_the_image_carries_the_postgresql_driver_that_the_files_name() -> None:
    project, lock = ((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "requirements.lock"))
    assert re.search(r"^psycopg-binary==", module("pick_lock").pick(lock, project, ["server"]), re.MULTILINE)
    for name in ("deploy/server/server-postgres.yaml", "docs/reference/configuration.md"):
        assert "postgresql+psycopg://" in (ROOT / name).read_text("utf-8"), name


def test_what_the_image_copies_exists() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(f"!{part}\n" in ignored for part in (source, source.split("/")[0])), source


# -- the documents ----------------------------------------------------------------------------------------------------------------------


def yaml_blocks(path: Path) -> dict[str, str]:
    """The YAML examples of a document by the name in their first line."""
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    return {name.rpartition("/")[2]: text for name, text in blocks}


def test_the_files_of_the_tutorial_load(tmp_path: Path) -> None:
    for name, text in yaml_blocks(DOCS / "tutorial.md").items():
        (tmp_path / name).write_text(text, "utf-8")
    assert server_settings.load_settings(tmp_path / "server.yaml").port == 8090
    settings = configfile.load(tmp_path / "edge.yaml")
    devices, lines = configfile.load_devices(tmp_path / "devices.yaml")
    points = {(point.key.metric, point.room) for point in plan.build(settings, devices, lines).points}
    gateway = [point for point in Province.load(DEPLOY / "province").points if point.gateway == settings.gateway]
    assert points <= {(point.key.metric, point.room) for point in gateway}, "the centre of the tutorial would not know these points"


def test_the_profile_of_the_how_to_holds() -> None:
    ((name, text),) = yaml_blocks(DOCS / "how-to" / "add-a-device.md").items()
    assert failures(load_text(text, name)) == []


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    for source in (server_settings, edge_settings):
        for name, model in vars(source).items():
            if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == source.__name__ and not name.startswith("_"):
                yield f"{source.__name__}.{name}", model


@pytest.mark.parametrize(("name", "model"), list(models()), ids=lambda value: value if isinstance(value, str) else "")
def test_the_reference_names_every_field(name: str, model: type[BaseModel]) -> None:
    text = (DOCS / "reference" / "configuration.md").read_text("utf-8")
    half = text[text.index("## server.yaml") : text.index("## edge.yaml")] if name.startswith("server") else text[text.index("## edge.yaml") :]
    missing = [field for field in model.model_fields if not re.search(rf"`(?:[a-z_]+\.)*{field}[`:]", half)]
    assert not missing, f"{name}: {missing}"


# -- Mosquitto ----------------------------------------------------------------------------------------------------------------------------


class Client:
    """A client that collects what it gets. Topics are subscribed with QoS 1."""

    def __init__(self, port: int, user: str, password: str, *topics: str) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        self._ready = threading.Event()
        self._topics = topics
        self._paho = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._paho.username_pw_set(user, password)
        self._paho.on_connect = self._connected
        self._paho.on_subscribe = lambda *_: self._ready.set()
        self._paho.on_message = lambda _client, _data, message: self.got.append((message.topic, message.payload))
        self._paho.connect("127.0.0.1", port)
        self._paho.loop_start()
        assert self._ready.wait(10), "no answer from the broker"

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.refused.append(str(reason))
            self._ready.set()
        elif self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        else:
            self._ready.set()

    def say(self, topic: str, payload: bytes) -> None:
        self._paho.publish(topic, payload, 1).wait_for_publish(10)

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: int, secrets_folder: Path) -> Iterator[int]:
    """The shipped start of the broker (deploy/mosquitto/run.sh) on the files that the load script's commands make; only places are rewritten."""
    if MOSQUITTO is None:
        print("Mosquitto is not installed: its configuration was not tried")
        pytest.skip("Mosquitto is not installed")
    own, access = tmp_path / "own", tmp_path / "access"
    for folder in (own, tmp_path / "store"):
        folder.mkdir()
    _loaded(tmp_path, secrets_folder, "--port", str(free_port), "--address", "127.0.0.1", "--folder", str(own), "--store", str(tmp_path / "store"))
    if os.geteuid() == 0:
        with (access / "mosquitto.conf").open("a") as file:
            file.write("user root\n")
    text = (DEPLOY / "mosquitto" / "run.sh").read_text("utf-8")
    for old, new in {
        "own=/run/mosquitto": f"own={own}", "/run/aw/": f"{secrets_folder / 'broker'}/", "/access/": f"{access}/",
        "/mosquitto/config/": f"{DEPLOY / 'mosquitto'}/", "mosquitto -c": f"{MOSQUITTO} -c",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    (tmp_path / "run.sh").write_text(text, "utf-8")
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(["sh", str(tmp_path / "run.sh")], stderr=sink, stdout=sink)
    try:
        _until(lambda: process.poll() is not None or _accepts(free_port), "Mosquitto listens")
        assert process.poll() is None, log.read_text("utf-8", "replace")
        yield free_port
        assert process.poll() is None
        assert "Error" not in log.read_text("utf-8", "replace")
    finally:
        process.terminate()
        process.wait(10)


def _loaded(folder: Path, secrets_folder: Path, *broker: str) -> Path:
    """What the load script does on a first start, in a folder; returns the settings file."""
    config = folder / "server.yaml"
    password = secrets_folder / "server" / "broker-password"
    config.write_text(f"data_dir: data\nbroker: {{username: server, password_file: {password}}}\n", "utf-8")
    for words in load_lines():
        if words[1] == "account":
            continue
        places = {"/province": str(DEPLOY / "province"), "/run/aw": str(secrets_folder / "server"), "/access": str(folder / "access")}
        arguments = [next((word.replace(old, new, 1) for old, new in places.items() if word.startswith(old)), word) for word in words[1:]]
        arguments = [str(config) if word.endswith("server.yaml") else word for word in arguments]
        assert server_cli.main([*arguments, *(broker if words[1] == "broker" else ())]) == 0, words
    return config


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_the_queue_is_long_enough_for_the_deaths_of_a_province(tmp_path: Path, secrets_folder: Path) -> None:
    _loaded(tmp_path, secrets_folder)
    lines = (tmp_path / "access" / "mosquitto.conf").read_text("utf-8").splitlines()
    assert "max_queued_messages 100000" in lines
    assert "persistence true" in lines
    assert "persistence_location /mosquitto/data/" in lines
    assert [line for line in lines if line.startswith("listener")] == ["listener 1883 0.0.0.0"]
    assert "allow_anonymous false" in lines


@pytest.mark.mosquitto
def test_mosquitto_takes_the_configuration_and_keeps_gateways_apart(mosquitto: int, secrets_folder: Path) -> None:
    def password(service: str) -> str:
        return (secrets_folder / service / "broker-password").read_text("utf-8")

    first, second = (gateway_plan(service).settings for service in EDGES)
    server = Client(mosquitto, "server", password("server"), "spBv1.0/+/NBIRTH/+", "spBv1.0/+/NDATA/+", "spBv1.0/+/NDEATH/+")
    edge = Client(mosquitto, first.gateway, password("edge-1"), f"spBv1.0/{first.group}/NCMD/{first.gateway}", "spBv1.0/STATE/aw")
    nosy = Client(mosquitto, second.gateway, password("edge-2"), "spBv1.0/#")
    try:
        server.say("spBv1.0/STATE/aw", b"on")
        server.say(f"spBv1.0/{first.group}/NCMD/{first.gateway}", b"ack")
        edge.say(f"spBv1.0/{second.group}/NDATA/{second.gateway}", b"forged")
        edge.say("spBv1.0/STATE/aw", b"forged")
        edge.say(f"spBv1.0/{first.group}/NDEATH/{first.gateway}", b"dead")
        edge.say(f"spBv1.0/{first.group}/NDATA/{first.gateway}", b"data")
        _until(lambda: len(server.got) >= 2 and len(edge.got) >= 2, "both sides heard each other")
        assert server.got == [(f"spBv1.0/{first.group}/NDEATH/{first.gateway}", b"dead"), (f"spBv1.0/{first.group}/NDATA/{first.gateway}", b"data")]
        assert sorted(payload for _, payload in edge.got) == [b"ack", b"on"]
        assert {topic for topic, _ in nosy.got} <= {"spBv1.0/STATE/aw"}
    finally:
        for client in (server, edge, nosy):
            client.close()


@pytest.mark.mosquitto
def test_mosquitto_refuses_strangers(mosquitto: int, secrets_folder: Path) -> None:
    stranger = Client(mosquitto, "GW-350102-01", "wrong")
    fleet = Client(mosquitto, "fleet", (secrets_folder / "fleet" / "broker-password").read_text("utf-8"), "spBv1.0/STATE/aw")
    try:
        assert stranger.refused
        assert not fleet.refused
    finally:
        stranger.close()
        fleet.close()
