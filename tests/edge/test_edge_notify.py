"""systemd's notify socket and watchdog: a real socket, the real process, and a loop that hangs."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import agent as agent_module
from edge.agent import Agent
from edge.clock import mono_ms
from edge.configfile import load, load_devices
from edge.notify import Notifier, Pulse
from edge.plan import build

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "archivewatch-edge.service"


class Systemd:
    """The end of the socket that systemd holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(40)

    def hear(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def hears_nothing_for(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        return False

    def forget(self) -> None:
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            self._socket.settimeout(40)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    built = Systemd(tmp_path / "notify")
    yield built
    built.close()


@pytest.fixture
def config(tmp_path: Path, free_port: int) -> Path:
    """A gateway with one device on a line where nobody answers, and no broker: it must count as alive all the same."""
    bus = {"name": "line", "kind": "tcp", "host": "127.0.0.1", "port": free_port}
    settings = {"gateway": "gw-1", "group": "350128", "broker": {"host": "127.0.0.1", "port": free_port}, "data_dir": "data",
                "devices_file": "devices.yaml", "buses": [bus]}  # fmt: skip
    device = {"name": "th1", "profile": "xy-md02", "bus": "line", "unit": 1, "room": "350128000001-01", "interval_s": 1}
    (tmp_path / "edge.yaml").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "devices.yaml").write_text(json.dumps({"devices": [device]}), "utf-8")
    return tmp_path / "edge.yaml"


def test_the_process_is_ready_stays_alive_and_says_goodbye(systemd: Systemd, config: Path) -> None:
    environment = os.environ | {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "900000"}
    environment.pop("WATCHDOG_PID", None)
    process = subprocess.Popen([sys.executable, "-m", "edge", "run", "--config", str(config)], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert systemd.hear()["READY"] == "1"
        fed = [systemd.hear() for _ in range(3)]
        assert [word["WATCHDOG"] for word in fed] == ["1", "1", "1"]
        assert "1 台设备" in fed[-1]["STATUS"]
        process.send_signal(signal.SIGTERM)
        while "STOPPING" not in (word := systemd.hear()):
            assert word["WATCHDOG"] == "1"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_storage_thread_that_hangs_is_not_covered_up(systemd: Systemd, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that never comes back: sampling goes on, the event loop turns, and yet the watchdog must bite."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    settings = load(config)
    agent = Agent(build(settings, *load_devices(settings.devices_file)))
    hangs, hung, released, real = threading.Event(), threading.Event(), threading.Event(), agent._outlet.run_once
    later = 0.0
    monkeypatch.setattr(agent._pulse, "_clock", lambda: mono_ms() + later)

    def disk(now: int, mono: float) -> float:
        if hangs.is_set():
            hung.set()
            released.wait(60)
        return real(now, mono)

    monkeypatch.setattr(agent._outlet, "run_once", disk)

    async def story() -> None:
        nonlocal later
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        assert (await asyncio.to_thread(systemd.hear))["READY"] == "1"
        assert (await asyncio.to_thread(systemd.hear))["WATCHDOG"] == "1"
        hangs.set()
        agent._outlet.nudge()
        await asyncio.to_thread(hung.wait, 60)
        later = agent_module._STUCK_MS + 1
        systemd.forget()
        assert "本机缓存" in agent._pulse.stuck()
        assert await asyncio.to_thread(systemd.hears_nothing_for, 1), "three feeds were due"
        hangs.clear()
        released.set()
        systemd.forget()
        assert (await asyncio.to_thread(systemd.hear))["WATCHDOG"] == "1"
        stop.set()
        await running

    asyncio.run(story())


def test_a_long_wait_between_two_pieces_of_work_is_no_trouble() -> None:
    now = 0.0
    pulse = Pulse(1_000, lambda: now)
    pulse.begin("line")
    now = 900
    assert pulse.stuck() == []
    pulse.end("line")
    now = 90_000
    assert pulse.stuck() == []
    pulse.begin("line")
    now = 92_000
    assert pulse.stuck() == ["line"]


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "1000000"}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_systemd_nothing_is_said(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.say(READY=1)
    assert notifier.interval_s == 0


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).interval_s == 0
    assert Notifier({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}).interval_s == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The file as it is, but with a program that exists here."""
    text = UNIT.read_text("utf-8").replace("/opt/archivewatch/bin/archivewatch-edge", sys.executable)
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name], capture_output=True, text=True, check=False)
    complaints = [line for line in (checked.stdout + checked.stderr).splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_unit_waits_longer_than_a_loop_may_take() -> None:
    """Else systemd would kill an agent that is only slow."""
    lines = dict(line.split("=", 1) for line in UNIT.read_text("utf-8").splitlines() if "=" in line and not line.startswith("#"))
    assert int(lines["WatchdogSec"]) * 1000 >= agent_module._STUCK_MS + 1000 * int(lines["WatchdogSec"]) / 3
    assert lines["Type"] == "notify"
