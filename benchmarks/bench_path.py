"""The living slice, sensor to pixel and to SMS: broker, SMS gateway, simulated rooms, server and one edge agent, each a process of its own.

A simulated smoke sensor is set by the world's control. Four instants are taken, all of the one clock of this machine: the sample (as the alarm tells
it; two readings must agree, so it is one or two pollings behind the change), the alarm's event on the stream (it leaves only after the commit), the
second animation frame behind the change of the page in a real Chromium, and the request at the SMS gateway. Then the alarm is taken over, the sensor
goes back, the alarm is reset, and the next round begins.

Beside the legs stand the least that their promises cost: a QoS 0 round trip through the same broker and a durable commit at either end; two frames
of the same browser.
"""

import contextlib
import json
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import bare_commits, bare_round_trips, row, spread
from benchmarks.latency import rows as latencies
from simulators.broker import free_port
from simulators.demo import Demo, prepare
from simulators.demo_check import Api
from simulators.demo_site import PORTS, Site

GATEWAY = "GW-350102-01"
INTERVAL_S = 1.0
PATIENCE_S = 60
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync")  # fmt: skip
# Everything that becomes critical is noted two frames later: then it has been painted.
FLOOR = "QoS 0 round trip + two FULL commits"
WATCHER = """() => {
  window.awSeen = {};
  const note = (key) => requestAnimationFrame(() => requestAnimationFrame(() => { window.awSeen[key] ??= Date.now(); }));
  const look = () => {
    for (const tile of document.querySelectorAll('[data-room][data-state="critical"]')) note(tile.dataset.room);
    for (const row of document.querySelectorAll('[data-alarm-row]')) note(row.dataset.alarmRow);
  };
  look();
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
}"""
FORGET = """() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => { window.awSeen = {}; done(); })));
})"""
FRAMES = """async () => {
  const taken = [];
  for (let n = 0; n < 40; n += 1) {
    const began = performance.now();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    taken.push(performance.now() - began);
  }
  return taken;
}"""


def now_ms() -> float:
    return time.time() * 1000


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000


def until(true: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)
    return found


class Stream(threading.Thread):
    """Alarm events as a signed-in viewer gets them, with the instant of their arrival."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site, self.alarms, self.attached = site, queue.Queue[tuple[dict[str, Any], float]](), threading.Event()

    def run(self) -> None:
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=self._site.url, timeout=30, headers={"Origin": self._site.url}) as client:
            client.post("/api/v1/session", json={"login": "duty", "password": self._site.secrets["duty"]}).raise_for_status()
            with client.stream("GET", "/api/v1/stream") as reply:
                self._read(reply.iter_lines())

    def _read(self, lines: Iterator[str]) -> None:
        name = ""
        for line in lines:
            if line.startswith("event: "):
                name = line[7:]
                self.attached.set()
            elif line.startswith("data: ") and name == "alarm":
                self.alarms.put((json.loads(line[6:]), now_ms()))

    def raised(self, room: str, after: float) -> tuple[dict[str, Any], float]:
        """The next smoke alarm of a room that asks for attention, and when it came. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                event, came = self.alarms.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise TimeoutError(f"no alarm of {room} on the stream") from None
            alarm = event["alarm"]
            if alarm["room"] == room and alarm["rule"] == "smoke" and alarm["state"] == "active_unacked" and came >= after:
                return event, came


class Screens:
    """The board and the list of alarms in one Chromium."""

    def __init__(self, browser: Any, site: Site) -> None:
        self._browser, self._site = browser, site
        self.board, self.alarms = self._open("/"), self._open("/alarms")

    def _open(self, address: str) -> Any:
        page = self._browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        page.goto(f"{self._site.url}/login?next={address}")
        page.fill("[name=login]", "duty")
        page.fill("[name=password]", self._site.secrets["duty"])
        page.click("button.primary")
        page.wait_for_url(f"{self._site.url}{address}")
        page.wait_for_selector("#link:has-text('实时')")
        page.evaluate(WATCHER)
        return page

    @staticmethod
    def seen(page: Any, key: str) -> float:
        """When something was painted. Raises playwright's TimeoutError."""
        return float(page.wait_for_function("(key) => window.awSeen[key]", arg=key, timeout=PATIENCE_S * 1000).json_value())

    def forget(self, room: str) -> None:
        """Once the tile is calm again: forget what was seen, what is still to be noted included."""
        calm = '(room) => !document.querySelector(`[data-room="${room}"][data-state=critical]`)'
        self.board.wait_for_function(calm, arg=room, timeout=PATIENCE_S * 1000)
        for page in (self.board, self.alarms):
            page.evaluate(FORGET)


@contextlib.contextmanager
def screens(site: Site) -> Iterator[Screens | str]:
    """The screens, or the reason why there are none."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        yield "no Chromium on this machine: the legs to the pixel were not measured"
        return
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a part of the developer's set-up only
    except ImportError:
        yield "Playwright is not installed: the legs to the pixel were not measured"
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(SWITCHES))
        try:
            yield Screens(browser, site)
        finally:
            browser.close()


class Slice:
    """The running processes and the doors to them."""

    def __init__(self, folder: Path) -> None:
        self.site = prepare(folder, {name: free_port() for name in PORTS}, lambda _text: None, days=0)
        self.site.write(interval_s=INTERVAL_S)
        self.demo = Demo(self.site, fleet=False)
        self.demo.edges = {GATEWAY: self.demo.edges[GATEWAY]}
        self.rooms = self.site.gateways[GATEWAY]

    def __enter__(self) -> "Slice":
        self.demo.start()
        self.api = Api(self.site)
        self.stream = Stream(self.site)
        self.stream.start()
        if not self.stream.attached.wait(PATIENCE_S):
            self.demo.stop()
            raise TimeoutError("the stream did not begin")
        return self

    def __exit__(self, *_: object) -> None:
        self.demo.stop()

    def fresh(self, room: str) -> bool:
        points = self.api.get(f"/rooms/{room}")["points"]
        return {"temperature", "smoke"} <= {point["quantity"] for point in points if point["quality"] == "good"}

    def smoke(self, room: str, value: int) -> None:
        body = {"quantity": "smoke", "value": value}
        httpx.post(f"{self.site.control_url}/rooms/{room}/override", json=body, timeout=10).raise_for_status()

    def message(self, number: str, since: float) -> float:
        """When the first SMS about an alarm came in at the gateway; 0 while there is none."""
        found = httpx.get(f"{self.site.sms_url}/control/messages", timeout=10).json()
        return min((float(sms["created_at"]) for sms in found if number in sms["body"] and sms["created_at"] >= since), default=0)

    def settle(self, ident: int, room: str) -> None:
        """Take over, let the sensor go back, reset; then the room is as before."""
        self.api.post(f"/alarms/{ident}/acknowledge", {"note": "测量"})
        self.smoke(room, 0)
        until(lambda: self.api.get(f"/alarms/{ident}")["state"] == "latched_acked", f"alarm {ident} latched")
        self.api.post(f"/alarms/{ident}/reset", {})
        until(lambda: self.api.get(f"/rooms/{room}")["state"] != "critical", f"room {room} is calm again")


def one(living: Slice, shown: Screens | None, room: str) -> dict[str, float]:
    """A round: instants in ms since the sensor was set."""
    living.smoke(room, 1)
    changed = now_ms()
    event, came = living.stream.raised(room, changed)
    alarm = event["alarm"]
    number = str(alarm["number"]).replace(" ", "")
    instants = {"sample": instant(alarm["raised_at"]), "event": instant(event["now"]), "arrived": came}
    instants["sms"] = until(lambda: living.message(number, changed), f"SMS of alarm {alarm['id']}")
    if shown:
        instants["tile"] = shown.seen(shown.board, room)
        instants["list"] = shown.seen(shown.alarms, str(alarm["id"]))
    living.settle(alarm["id"], room)
    if shown:
        shown.forget(room)
    return {name: at - changed for name, at in instants.items()}


def run(folder: Path, quick: bool) -> dict[str, Any]:
    times, dice, found = 10 if quick else 40, random.Random(1), []
    with Slice(folder / "slice") as living, screens(living.site) as shown:
        page = shown if isinstance(shown, Screens) else None
        until(lambda: all(living.fresh(room) for room in living.rooms), "all rooms of the gateway are fresh")
        for number in range(times + 1):
            time.sleep(dice.uniform(0.3, 0.3 + INTERVAL_S))  # at any phase of the polling
            found.append(one(living, page, living.rooms[number % len(living.rooms)]))
        trips = bare_round_trips("127.0.0.1", living.site.ports["broker"], 200)
        commits = bare_commits(folder / "bare", [[b"x" * 2_000]] * 200)
        frames = spread(page.board.evaluate(FRAMES))["p50"] if page else 0.0
    # what the promises cost at least: the edge's spool and the server's journal, and the way between them
    least = spread(trips)["p50"] + 2 * spread(commits)["p50"]
    rows = legs(found[1:], least, frames)  # the first one warms up: libraries are loaded when they are first used
    latency, behind = latencies(folder / "latency", quick)
    return {
        "rows": [*latency, *rows, row("first alarm after the start: sent out → SMS", found[0]["sms"] - found[0]["event"], "ms", FLOOR, least)],
        "rounds": [{name: round(ms, 1) for name, ms in one.items()} for one in found],
        "latency": behind,
        "polled_every_s": INTERVAL_S,
        "bare": {"round_trip_ms": spread(trips), "commit_ms": spread(commits), "two_frames_ms": frames},
        "missing": "" if page else shown,
    }


def legs(found: list[dict[str, float]], least: float, frames: float) -> list[dict[str, Any]]:
    painted, polled = "two frames of the same browser", "polling interval"
    interval = 1000 * INTERVAL_S
    plan = [
        ("sensor changes → sample taken", "", "sample", polled, interval),
        ("sample taken → alarm committed and sent out", "sample", "event", FLOOR, least),
        ("alarm sent out → received by a viewer", "event", "arrived", FLOOR, least),
        ("alarm sent out → tile painted", "event", "tile", painted, frames),
        ("alarm sent out → list of alarms painted", "event", "list", painted, frames),
        ("alarm sent out → SMS at the gateway", "event", "sms", FLOOR, least),
        ("sensor changes → alarm committed and sent out", "", "event", polled, interval),
        ("sensor changes → tile painted", "", "tile", polled, interval),
        ("sensor changes → SMS at the gateway", "", "sms", polled, interval),
    ]
    rows = []
    for name, first, last, beside, bare in plan:
        taken = [one[last] - one.get(first, 0.0) for one in found if last in one]
        if taken:
            rows += [row(f"{name}: {share}", spread(taken)[share], "ms", beside, bare) for share in ("p50", "p95", "max")]
    return rows
