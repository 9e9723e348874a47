"""The whole world: from a configuration to ports, the control API, scenarios, and the command line."""

import asyncio
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymodbus.client import AsyncModbusTcpClient

from simulators import __main__ as program
from simulators import world_config
from simulators.broker import Broker
from simulators.ledger import value
from simulators.world import World
from simulators.world_config import WorldConfig, WorldConfigError

START = "2025-11-22T03:00:00"  # a Saturday night

CONFIG: dict[str, Any] = {
    "seed": 7,
    "start": START,
    "noise": False,
    "rooms": [{"code": "R1", "city": "fuzhou"}, {"code": "R2", "city": "350200", "equipped": False, "volume_m3": 90}],
    "buses": [
        {
            "name": "line-1",
            "units": [
                {"unit": 1, "profile": "renke-rs-ws-n01", "room": "R1"},
                {
                    "unit": 2,
                    "profile": "waveshare-8di",
                    "room": "R1",
                    "channels": {"di1": "smoke", "di2": {"quantity": "door", "normally": "closed", "room": "R2"}},
                },
            ],
        },
        {"name": "line-2", "kind": "pty", "units": [{"unit": 1, "profile": "xy-md02", "room": "R2", "fault": {"kind": "no_reply"}}]},
    ],
    "cameras": {"items": [{"name": "cam1", "room": "R1"}]},
    "control": {"port": 0},
}


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


def play(story: Callable[[World, httpx.AsyncClient, Clock], Awaitable[None]], **changes: Any) -> None:
    async def run() -> None:
        clock = Clock()
        async with World(WorldConfig.of(CONFIG | changes), clock) as world:
            control = world.endpoints()["control"]
            async with httpx.AsyncClient(base_url=control, trust_env=False, timeout=10) as client:
                await story(world, client, clock)
            assert world.failed is None

    asyncio.run(run())


async def _registers(port: int, unit: int) -> list[int]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)
    assert await client.connect()
    try:
        reply = await client.read_holding_registers(0, count=2, device_id=unit)
        return [] if reply.isError() else list(reply.registers)
    finally:
        client.close()


def test_everything_listens_and_shows_one_truth() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        where = world.endpoints()
        assert where["ready"]
        assert where["buses"]["line-2"].startswith("/dev/")
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        state = (await client.get("/state")).json()
        assert state["now"] == 1_763_751_600_000
        humidity, temperature = await _registers(where["buses"]["line-1"], 1)
        assert temperature / 10 == pytest.approx(state["rooms"]["R1"]["temperature"], abs=0.06)
        assert humidity / 10 == pytest.approx(state["rooms"]["R1"]["humidity"], abs=0.06)
        picture = await client.get(f"http://127.0.0.1:{where['cameras']}{where['camera_paths']['cam1']}")
        assert picture.content.startswith(b"\xff\xd8")
        assert state["faults"] == {"line-2": {"1": "no_reply"}}

    play(story)


def test_the_control_api_changes_the_truth() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        port = world.endpoints()["buses"]["line-1"]
        assert (await client.post("/rooms/R1/override", json={"quantity": "temperature", "value": 30.5})).status_code == 200
        assert (await _registers(port, 1))[1] == 305
        await client.post("/rooms/R1/override", json={"quantity": "temperature", "value": 20.5, "over": 100})
        clock.ms += 50_000
        assert (await _registers(port, 1))[1] == 255
        await client.post("/rooms/R1/override", json={"quantity": "temperature", "value": None})
        assert (await _registers(port, 1))[1] < 250
        assert (await client.post("/rooms/R1/trigger", json={"incident": "leak", "lasts": 60})).status_code == 200
        assert (await client.get("/state")).json()["rooms"]["R1"]["leak"] == 1
        await client.post("/rooms/R1/clear")
        assert (await client.get("/state")).json()["rooms"]["R1"]["leak"] == 0
        assert (await client.post("/faults", json={"bus": "line-1", "unit": 1, "kind": "no_reply", "count": 1})).status_code == 200
        assert (await client.get("/state")).json()["faults"]["line-1"] == {"1": "no_reply"}
        assert (await client.post("/faults", json={"bus": "line-1", "unit": 1, "kind": None})).status_code == 200
        assert (await client.post("/faults", json={"camera": "cam1", "kind": "black"})).status_code == 200
        assert (await client.get("/state")).json()["camera_faults"] == {"cam1": "black"}
        assert "damp-evening" in (await client.get("/scenarios")).json()

    play(story)


def test_refusals_say_why() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        async def refused(path: str, body: dict[str, Any], status: int, word: str) -> None:
            reply = await client.post(path, json=body)
            assert (reply.status_code, word in reply.text) == (status, True), reply.text

        await refused("/rooms/attic/override", {"quantity": "temperature", "value": 1}, 404, "attic")
        await refused("/rooms/R1/override", {"quantity": "happiness", "value": 1}, 422, "happiness")
        await refused("/rooms/R1/trigger", {"incident": "earthquake"}, 422, "earthquake")
        await refused("/scenario", {"name": "sunny-morning", "room": "R1"}, 422, "sunny-morning")
        await refused("/scenario", {"name": "damp-evening", "room": "attic"}, 404, "attic")
        await refused("/scenario", {"name": "uplink-cut", "room": "R1"}, 422, "uplink")
        await refused("/faults", {"bus": "line-9", "unit": 1, "kind": "no_reply"}, 422, "line-9")
        await refused("/faults", {"bus": "line-1", "unit": 1, "kind": "gremlins"}, 422, "gremlins")
        await refused("/faults", {"bus": "line-1", "unit": 1, "kind": "wrong_crc"}, 422, "carrier")
        await refused("/faults", {"device": "d", "kind": "silent"}, 422, "MQTT")
        await refused("/relays", {"name": "uplink", "mode": "cut"}, 422, "uplink")

    play(story)


def test_the_three_demo_scenarios_reach_their_limits() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        for name, room in (("damp-evening", "R1"), ("door-left-open", "R2"), ("smouldering-cable", "R1")):
            reply = await client.post("/scenario", json={"name": name, "room": room, "variant": "demo"})
            assert reply.status_code == 200, reply.text
        crossed: dict[str, int] = {}
        for second in range(121):
            clock.ms = 1_800_000_000_000 + second * 1000
            world.run_once(world.now())
            here = {q: world.plant.value("R1", q) for q in ("humidity", "smoke_density", "smoke")}
            for mark, reached in {
                "65": here["humidity"] > 65,
                "75": here["humidity"] > 75,
                "density": here["smoke_density"] > 0.05,
                "smoke": here["smoke"],
            }.items():
                if reached:
                    crossed.setdefault(mark, second)
            if world.plant.value("R2", "door"):
                crossed.setdefault("door", second)
        assert crossed["65"] < 40
        assert crossed["75"] < 90
        assert crossed["density"] < crossed["smoke"] < 60
        assert crossed["door"] < 5
        assert world.plant.value("R2", "door") == 1
        assert {p["name"] for p in world.state()["scenarios"]} == {"damp-evening"}, "the other two have taken all their steps"
        world.clear("R1")
        assert world.state()["scenarios"] == []

    play(story)


def test_a_scenario_breaks_what_measures_a_room() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        port = world.endpoints()["buses"]["line-1"]
        await client.post("/scenario", json={"name": "sensor-stuck", "room": "R1", "parameters": {"lasts": "60s"}})
        world.run_once(world.now())
        before = await _registers(port, 1)
        await client.post("/rooms/R1/override", json={"quantity": "temperature", "value": 35})
        assert await _registers(port, 1) == before
        clock.ms += 61_000
        world.run_once(world.now())
        assert (await _registers(port, 1))[1] == 350
        await client.post("/scenario", json={"name": "sensor-stuck", "room": "R1", "parameters": {"quantity": "o3"}})
        world.run_once(world.now())
        assert "o3" in world.state()["failures"][0]

    play(story)


def test_values_that_a_checker_can_recompute() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        humidity, temperature = await _registers(world.endpoints()["buses"]["line"], 1)
        assert temperature / 10 == value("GW-1/th1/temperature", 1_800_000_000)
        clock.ms += 5_000
        assert (await _registers(world.endpoints()["buses"]["line"], 1))[0] / 10 == value("GW-1/th1/humidity", 1_800_000_005)
        assert humidity / 10 != value("GW-1/th1/humidity", 1_800_000_005)

    units = [{"unit": 1, "profile": "renke-rs-ws-n01", "room": "R1", "ledger_key": "GW-1/th1"}]
    play(story, start=None, buses=[{"name": "line", "units": units}])
    with pytest.raises(WorldConfigError, match="speed 1"):
        World(WorldConfig.of(CONFIG | {"speed": 2, "buses": [{"name": "line", "units": units}]}))


def test_speed_and_time() -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        first = world.now()
        clock.ms += 1000
        assert world.now() - first == 60_000
        clock.ms -= 500
        assert world.now() - first == 60_000, "time never runs backwards"

    play(story, speed=60)


def test_lines_are_cut_and_sensors_come_back(broker: Broker) -> None:
    async def story(world: World, client: httpx.AsyncClient, clock: Clock) -> None:
        assert world.mqtt is not None
        assert await asyncio.to_thread(world.mqtt.wait_connected, 10)
        assert world.state()["mqtt"]["connected"]
        reply = await client.post("/scenario", json={"name": "uplink-cut", "room": "R1", "parameters": {"lasts": "30s"}})
        assert reply.status_code == 200
        world.run_once(world.now())
        assert world.state()["relays"] == {"uplink": "cut"}
        await client.post("/relays", json={"name": "uplink", "mode": "pass"})
        assert world.state()["relays"] == {"uplink": "pass"}
        assert (await client.post("/faults", json={"device": "t1", "kind": "silent"})).status_code == 200
        assert world.state()["mqtt"]["faults"] == {"t1": "silent"}

    mqtt = {"host": broker.host, "port": broker.port, "devices": [{"name": "t1", "room": "R1"}]}
    play(story, mqtt=mqtt, relays=[{"name": "uplink", "target": broker.address}])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rooms": []}, "rooms"),
        ({"colour": "green"}, "colour"),
        ({"rooms": [{"code": "R1", "colour": "green"}]}, "colour"),
        ({"rooms": [{"code": "R1", "city": "atlantis"}]}, "atlantis"),
        ({"rooms": [{"code": "R1"}, {"code": "R1"}]}, "different codes"),
        ({"buses": [{"name": "b", "kind": "pigeon"}]}, "kind"),
        ({"buses": [{"name": "b", "units": [{"unit": 1, "profile": "toaster", "room": "R1"}]}]}, "toaster"),
        ({"buses": [{"name": "b", "units": [{"unit": 1, "profile": "xy-md02", "room": "attic"}]}]}, "attic"),
        ({"buses": [{"name": "b", "units": [{"unit": 1, "profile": "xy-md02", "room": "R1", "fault": {"kind": "gremlins"}}]}]}, "gremlins"),
        ({"buses": [{"name": "b", "units": [{"unit": 1, "profile": "xy-md02", "room": "R1", "params": {"colour": 1}}]}]}, "colour"),
        ({"cameras": {"items": [{"name": "c", "room": "attic"}]}}, "attic"),
        ({"relays": [{"name": "r", "target": "nowhere"}]}, "target"),
        ({"speed": 0}, "speed"),
    ],
)
def test_bad_configurations_are_refused_in_one_sentence(change: dict[str, Any], word: str) -> None:
    with pytest.raises(WorldConfigError, match=word):
        World(WorldConfig.of(CONFIG | change), Clock())


def test_files(tmp_path: Path) -> None:
    with pytest.raises(WorldConfigError, match=r"world\.yaml"):
        WorldConfig.load(tmp_path / "world.yaml")
    path = tmp_path / "world.yaml"
    path.write_text("rooms: [", encoding="utf-8")
    with pytest.raises(WorldConfigError):
        WorldConfig.load(path)
    path.write_text("rooms: [{code: 350102000001-01, visits_per_day: 1, dehumidifier: null}]", encoding="utf-8")
    spec = WorldConfig.load(path).rooms[0].spec()
    assert (spec.code, spec.visits_per_day, spec.dehumidifier, spec.cooling) == ("350102000001-01", 1, None, 22.0)


def test_the_documented_configuration_is_valid(tmp_path: Path) -> None:
    """The schema in the docstring is the one that is read."""
    text = "\n".join(line[4:] for line in (world_config.__doc__ or "").splitlines() if line.startswith("    "))
    path = tmp_path / "world.yaml"
    path.write_text(text, encoding="utf-8")
    config = WorldConfig.load(path)
    assert [b.name for b in config.buses] == ["line-1"]
    assert config.mqtt is not None
    assert config.mqtt.devices[0].kind == "door"


def _ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    where: dict[str, Any] = json.loads(process.stdout.readline())
    return where


def test_the_program_from_start_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    command = [sys.executable, "-m", "simulators", "world", "--config", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            control = _ready(process)["control"]
            assert program.run(["scenario", "damp-evening", "--control", control, "--room", "R1", "--variant", "demo"]) == 0
            assert program.run(["scenario", "damp-evening", "--control", control, "--room", "attic"]) == 4
            assert httpx.get(f"{control}/state", trust_env=False).json()["scenarios"][0]["name"] == "damp-evening"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    "options",
    [
        ["modbus", "--kind", "pty"],
        ["camera", "--auth", "digest", "--fault", "black"],
        ["mqtt", "--broker", "127.0.0.1:1"],
    ],
)
def test_single_simulators(options: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-m", "simulators", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert _ready(process)["ready"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_what_the_prompt_answers(capsys: pytest.CaptureFixture[str], tmp_path: Path, free_port: int) -> None:
    assert program.run([]) == 2
    assert program.run(["dance"]) == 2
    assert "dance" in capsys.readouterr().err
    assert program.run(["--help"]) == 0
    assert "scenario" in capsys.readouterr().out
    assert program.run(["scenario"]) == 0
    assert "潮湿的傍晚" in capsys.readouterr().out
    assert program.run(["scenario", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uplink-cut"]["en"] == "Uplink cut"
    assert program.run(["scenario", "damp-evening"]) == 2
    assert program.run(["scenario", "damp-evening", "--control", f"http://127.0.0.1:{free_port}", "--room", "R1"]) == 5
    assert program.run(["world", "--config", str(tmp_path / "none.yaml")]) == 4
    assert program.run(["modbus", "--unit", "1=toaster"]) == 4
    assert program.run(["modbus", "--unit", "x=xy-md02"]) == 2
    assert "toaster" in capsys.readouterr().err


def test_tables_of_weather_and_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["weather", "--city", "xiamen", "--start", "2026-03-01", "--days", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "time,temperature,humidity,rain"
    assert rows[1].startswith("2026-02-28T16:00:00+00:00,")
    assert len(rows) == 25
    assert program.run(["weather", "--start", "2026-03-01T00:00:00+00:00", "--days", "0.5", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 12
    assert program.run(["plant", "--bare", "--start", "2026-03-02", "--step", "3600", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0].keys() == {"time", "temperature", "humidity", "door", "motion", "co2"}
    assert program.run(["plant", "--start", "2026-03-02"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 145
    assert program.run(["plant", "--city", "atlantis"]) == 3


def test_every_command_is_there() -> None:
    """Each module of the table offers its two functions; what others still have to add is imported lazily."""
    for name, command in program.COMMANDS.items():
        module = importlib.import_module(command.module)
        assert callable(getattr(module, f"{command.prefix}main")), name
