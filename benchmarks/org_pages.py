"""Every list page as its reader waits for it: a running server on a loaded store, asked over HTTP by accounts of several roles.

A page counts from the request to its last byte. Its first view after the server's start is told apart; then come at least SAMPLES more. Beside the
wall's time stands the server's CPU time per page, which a busy machine does not change.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.figures import spread
from server.web import site

PROVINCE, CITY, COUNTY = "350000000000", "350100000000", "350102000000"
PASSWORD = "bench horse 8 Battery"
ACCOUNTS = {"system": PROVINCE, "security": PROVINCE, "audit": PROVINCE, "keeper": COUNTY, "in_charge": PROVINCE}
_ROOM = f"{COUNTY}-01"
PAGES = {
    "system": (
        "/units", f"/units/{PROVINCE}", f"/units/{CITY}", f"/units/{COUNTY}", f"/units/{CITY}/children", "/rooms", "/rooms?q=gl", "/rooms?kind=store",
        f"/rooms?unit={CITY}", f"/rooms/{_ROOM}", f"/rooms/{_ROOM}/sheet", "/people", "/people?q=lgj", "/people?q=zzzz",
        "/people?role=person_in_charge", "/people?role=installer", f"/people?unit={CITY}", "/people/500", "/devices", "/devices?due=90", "/gateways",
        "/first-shift",
        "/imports", "/imports/2", "/changes", "/notices", "/roles", "/emergency", "/trials", "/limits", "/search?q=gulou", "/search?q=lin",
        "/search?q=zzzz", "/", "/?q=gl", "/alarms", "/alarms?view=closed", "/alarms/500", "/help", "/me", "/me/security", "/papers",
        "/papers/changes",
        f"/papers/changes?unit={COUNTY}", "/performance", f"/performance?unit={CITY}",
        "/api/v1/units", f"/api/v1/units/{CITY}", "/api/v1/rooms", f"/api/v1/rooms/{_ROOM}", f"/api/v1/rooms/{_ROOM}/sheet", "/api/v1/people",
        "/api/v1/people?q=chen", "/api/v1/people/500", "/api/v1/gateways", "/api/v1/gateways/enrolments", "/api/v1/points", "/api/v1/imports",
        "/api/v1/imports/2", "/api/v1/changes", "/api/v1/notices", "/api/v1/search?q=gl", "/api/v1/limits", "/api/v1/rule-trials",
        f"/api/v1/rooms/{_ROOM}/limits?quantity=humidity", "/api/v1/exports", "/api/v1/session",
    ),
    "keeper": (
        "/units", "/rooms", "/rooms?q=gl", "/people", "/people?q=lgj", "/people?role=duty_officer", "/devices", "/devices?due=90", "/gateways",
        "/changes", "/search?q=dj", "/api/v1/rooms", "/api/v1/people",
    ),
    "security": ("/reviews", "/roles", "/people", "/audit", "/visitors", "/level3", "/api/v1/visitors"),
    "audit": (
        "/audit", "/audit?action=change_rooms", "/audit?q=nobody", "/audit/anchors", "/api/v1/audit", "/api/v1/audit/anchors", "/api/v1/level3",
        f"/api/v1/audit/history?subject=rooms:{_ROOM}",
    ),
    "in_charge": (
        "/", "/alarms", "/take-over?alarm=500", "/sms",
        "/incidents", "/incidents?view=closed", "/duty", "/duty/hand-over", "/duty/load", "/duty/looks", "/drills",
        "/readings", "/texts", f"/rooms/{_ROOM}/readings", f"/rooms/{_ROOM}/history", f"/rooms/{_ROOM}/stills",
        "/api/v1/alarms", "/api/v1/alarms?state=closed", "/api/v1/alarms/500", "/api/v1/alarms/500/explanation", "/api/v1/alarms/500/trace",
        "/api/v1/notifications", "/api/v1/incidents", "/api/v1/drills", "/api/v1/watch-checks", "/api/v1/chronic", "/api/v1/kpi",
        "/api/v1/maintenance", "/api/v1/coverage", "/api/v1/coverage/sums", "/api/v1/scorecards", "/api/v1/texts", "/api/v1/readings/missing",
        f"/api/v1/rooms/{_ROOM}/readings", f"/api/v1/rooms/{_ROOM}/events", f"/api/v1/rooms/{_ROOM}/history?quantity=temperature",
        f"/api/v1/rooms/{_ROOM}/snapshots", f"/api/v1/rooms/{_ROOM}/looks-at-stills", f"/api/v1/rooms/{_ROOM}/seals",
        f"/api/v1/units/{COUNTY}/duty", f"/api/v1/units/{COUNTY}/duty/gaps", f"/api/v1/units/{COUNTY}/duty/load",
        f"/api/v1/units/{COUNTY}/hand-overs", f"/api/v1/units/{COUNTY}/looks", f"/api/v1/units/{COUNTY}/rosters",
    ),
}  # fmt: skip
"""Who asks for what; of a list that has a next page the first DEEP pages are taken."""
DEEP = 2
NO_LISTS = (
    r".*/(file|plan|snapshot|stream|masks|export|case|cards|still-policy|photos/\{number\}|templates/\{name\}|watermark\.svg)", r"/login.*",
    r".*/dialog/.*", r".*/trend", r".*/dossiers.*", r".*/incidents/\{ident\}.*", r".*/\{trial_id\}", r"/watch-checks/\{ident\}",
    r".*/exports/\{export\}.*",
    r"/api/v1/reports/\{kind\}", r"/api/v1/history", r".*/ventilation", r".*/pair", r".*/gateways/\{code\}/.*", r"/healthz|/readyz|/metrics",
)  # fmt: skip
"""Routes that list nothing: files, streams, forms, and single things that the books have not."""
SAMPLES = 20
_WAIT_S = 180
_CALM_MS = 150
"""CPU time in a second of a server that only does what it always does."""
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Page:
    """What one page took, ms: its first view, the later ones, and the server's CPU for one of them."""

    address: str
    first: float
    later: list[float]
    cpu: float

    @property
    def p95(self) -> float:
        """The 95th percentile of the later views, ms."""
        return spread(self.later)["p95"]

    def row(self) -> dict[str, object]:
        """For a report."""
        return {
            "page": self.address,
            "p95_ms": self.p95,
            "p50_ms": spread(self.later)["p50"],
            "cpu_ms": round(self.cpu, 1),
            "first_ms": round(self.first, 1),
        }


def measure(config: Path, samples: int = SAMPLES) -> list[Page]:
    """All pages of the server of a configuration, which must listen on an address of this machine."""
    load_accounts(config, ACCOUNTS)
    with serving(config) as (base, pid):
        _settle(pid)
        return [page for role in PAGES for page in _reader(base, pid, role, samples)]


def load_accounts(config: Path, accounts: Mapping[str, str]) -> None:
    """A login for each role, with the unit it belongs to, into the database of a server that is not running."""
    lines = [json.dumps({"login": role, "role": role, "unit": unit, "name": role, "password": PASSWORD}) for role, unit in accounts.items()]
    load = [sys.executable, "-m", "server", "account", "load", "--config", str(config)]
    subprocess.run(load, input="\n".join(lines), text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sign_in(client: httpx.Client, login: str) -> None:
    """Give a client the session of an account."""
    client.post("/api/v1/session", json={"login": login, "password": PASSWORD}).raise_for_status()


def unmeasured() -> list[str]:
    """Routes of pages and of the API that are read with GET, list something, and are not measured here."""
    asked = {address.partition("?")[0] for addresses in PAGES.values() for address in addresses}
    known = {route.path for route in site.routes() if "GET" in route.methods}
    return sorted(path for path in known if not any(re.fullmatch(_pattern(path), one) for one in asked) and not _lists_nothing(path))


def _pattern(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))


def _lists_nothing(path: str) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in NO_LISTS)


def config_text(database: str | None) -> str:
    """A server's configuration: on a port of its own, with the broker of nobody: one that runs on this machine would be measured too."""
    lines = ["data_dir: var", f"listen: 127.0.0.1:{free_port()}", f"broker: {{host: 127.0.0.1, port: {free_port()}}}"]
    return "\n".join([*lines, *([f"database: {database}"] if database else []), ""])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(config: Path) -> Iterator[tuple[str, int]]:
    """A server on a configuration, which must listen on an address of this machine: its base URL and process id."""
    listen = re.search(r"^listen: (.+)$", config.read_text("utf-8"), re.M)
    if listen is None:
        raise ValueError(f"{config} says nothing about `listen`")
    base = f"http://{listen[1]}"
    server = subprocess.Popen([sys.executable, "-m", "server", "serve", "--config", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait(base, server)
        yield base, server.pid
    finally:
        server.terminate()
        server.wait(30)


def _wait(base: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{base}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError("the server did not start")


def _settle(pid: int) -> None:
    """Wait until what a server does once at its start (templates, the first round of its jobs) is over: pages are measured, not that."""
    deadline = time.monotonic() + _WAIT_S
    spent = _CALM_MS + 1.0
    while spent > _CALM_MS and time.monotonic() < deadline:
        before = _cpu_ms(pid)
        time.sleep(1)
        spent = _cpu_ms(pid) - before


def _reader(base: str, pid: int, role: str, samples: int) -> Iterator[Page]:
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        sign_in(client, role)
        for first in PAGES[role]:
            address: str | None = first
            for _ in range(DEEP):
                if address is None:
                    break
                took, text = _view(client, address)
                before = _cpu_ms(pid)
                later = [_view(client, address)[0] for _ in range(samples)]
                yield Page(f"{role} {address}", took, later, (_cpu_ms(pid) - before) / samples)
                address = _next(first, text)


def _view(client: httpx.Client, address: str) -> tuple[float, str]:
    began = time.perf_counter()
    answer = client.get(address)
    took = 1000 * (time.perf_counter() - began)
    if answer.status_code not in (200, 303):  # a search that finds one thing leads there
        raise RuntimeError(f"{address}: {answer.status_code} {answer.text[:200]}")
    return took, answer.text


def _next(first: str, text: str) -> str | None:
    """The address of a list's next page, as its own link says. The link of the other language has the cursor too, and ends otherwise."""
    found = re.search(r'href="[^"?]*\?([^"]*cursor=[^"&]+)"', text)
    return None if found is None else f"{first.partition('?')[0]}?{found[1].replace('&amp;', '&')}"


def _cpu_ms(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_MS
