"""Everybody writes to one SQLite file at once, through a real server process: nobody meets "database is locked", and no request waits out its time.

Writers: the watch with readings of twelve gateways and their fires, dispatcher and incidents behind them, three people at their pages, a limit tried
in a preview and set, an import, a backup, rows written by the command line beside them.
"""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks import load
from benchmarks.latency import POINTS, prepare
from benchmarks.reconnect import Province, Witness, _serve
from server.app import Parts
from server.org.accounts import add_account
from server.settings import Settings
from server.store.tables import Account
from simulators.broker import Broker

GATEWAYS, ROUNDS = 12, 6
BUSY_S = 30
"""SQLite's busy_timeout (server/store/session.py): whoever waits longer is told "database is locked"."""
PASSWORD = "correct horse 8"
PEOPLE = ("zhang", "li", "wang")
ROOMS = "code,unit,name,short_name,sms_place,kind,medium,stage,city,demanded,person\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "server").mkdir()
    parts = Parts(Settings(data_dir=tmp_path / "server"))
    prepare(parts, GATEWAYS, POINTS, 0)
    with parts.db.write() as session:
        first = add_account(session, login=PEOPLE[0], password=PASSWORD, role="in_charge", unit="350000000000", name="张三")
        for login in PEOPLE[1:]:  # one hash for all
            session.add(Account(login=login, password_hash=first.password_hash, role="in_charge", unit=first.unit, display_name=login))
    parts.store.close()
    parts.db.close()
    return tmp_path


class Site:
    """The server's address, and what its answers were."""

    def __init__(self, folder):
        config = json.loads((folder / "server.yaml").read_text("utf-8"))
        self.folder, self.url, self.answers = folder, f"http://{config['listen']}", []

    def client(self, **headers):
        return httpx.Client(base_url=self.url, headers=headers, timeout=BUSY_S, trust_env=False)

    def said(self, answer):
        self.answers.append(answer)
        return answer

    def person(self, login):
        """Looks, takes over, remarks, tries a limit and sets it."""
        with self.client(**{"Sec-Fetch-Site": "same-origin"}) as web:
            assert self.said(web.post("/api/v1/session", json={"login": login, "password": PASSWORD})).status_code == 200
            for number in range(ROUNDS):
                limit = {"rule": "humidity_high", "unit": load.unit(0), "level": "warn", "limit": 59 - number, "why": f"{login} {number}"}
                self.said(web.get("/", headers={"accept": "text/html"}))
                for alarm in self.said(web.get("/api/v1/alarms?state=open&limit=5")).json()["items"]:
                    self.said(web.post(f"/api/v1/alarms/{alarm['id']}/comment", json={"note": f"{login} {number}"}))
                    self.said(web.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"note": ""}))
                self.said(web.post("/api/v1/limits/preview", json=limit | {"room": load.room(0, 0), "unit": ""}))
                self.said(web.post("/api/v1/limits", json=limit))

    def administrator(self):
        """Imports and saves."""
        key = (self.folder / "server/cli.token").read_text("utf-8")
        with self.client(Authorization=f"Bearer {key}") as web:
            for number in range(2):
                unit = load.unit(number)
                rows = "".join(f"{unit}-{n:02d},{unit},新库{n},新库{n},新{n}库,store,paper,not_connected,fuzhou,,\n" for n in range(40, 89))
                sent = self.said(web.post("/api/v1/imports", files={"file": ("rooms.csv", (ROOMS + rows).encode())}, data={"kind": "rooms"}))
                self.said(web.post("/api/v1/backups", json={"folder": str(self.folder / f"backup{number}")}))
                while (run := web.get(f"/api/v1/imports/{sent.json()['id']}").json())["state"] == "running":
                    threading.Event().wait(0.05)
                assert (run["state"], run["created"]) == ("done", 49), run

    def commands(self):
        """Accounts are written by another process: the turns of the server's own writers do not reach so far."""
        for number in range(2):
            account = ["account", "add", f"new{number}", "--role", "duty", "--unit", load.unit(0), "--config", str(self.folder / "server.yaml")]
            made = subprocess.run([sys.executable, "-m", "server", *account], input=PASSWORD, text=True, capture_output=True, timeout=60, check=False)
            assert made.returncode == 0, made.stderr


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_nobody_is_locked_out_when_everybody_writes(folder):
    with Broker(folder / "broker") as broker:
        province, stop = Province(broker, GATEWAYS), threading.Event()
        server = _serve(folder, broker)
        site, witness = Site(folder), Witness(f"sqlite:///{folder / 'server/archivewatch.db'}")
        try:
            assert province.run(120, lambda: province.online)
            province.come()
            assert province.run(120, witness.green)
            for gate in province.gates.values():
                gate.burns = True
            with ThreadPoolExecutor(8) as pool:
                living = pool.submit(province.run, 200, stop.is_set)
                try:
                    everybody = [pool.submit(site.person, login) for login in PEOPLE] + [pool.submit(site.administrator), pool.submit(site.commands)]
                    for one in everybody:
                        one.result(150)
                finally:
                    stop.set()
                assert living.result(30)
        finally:
            server.terminate()
            server.wait(30)
    assert [(answer.url.path, answer.text[:200]) for answer in site.answers if answer.status_code >= 500] == []
    assert {answer.request.method for answer in site.answers} == {"GET", "POST"}
    assert {rule for _, rule in witness.alarms()} == {"smoke"}
    assert "locked" not in (folder / "server.log").read_text("utf-8")
