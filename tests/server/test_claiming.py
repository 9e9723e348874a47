"""Claiming by code: from a box that knows nothing to a gateway that is online, with real processes and a real broker; and what a thief would try."""

import base64
import json
import os
import shutil
import stat
import time
from pathlib import Path

import httpx
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select

from contract.claiming import ALPHABET, as_typed, claim_code
from edge import claim as box
from edge.configfile import load
from server.cli import main
from server.org import accounts, claiming, gateway_access
from server.org.claiming import Claim, NotClaimedError, Reach, TooManyError
from server.store import audit
from server.store.session import Database
from server.store.tables import AuditEntry, Gateway, Unit
from server.store.tables_gateway import GatewayCredential, GatewayEnrolment
from simulators.processes import Child, command
from simulators.signals import die_with_parent
from tests.fresh import fresh
from tests.server.brokers import SERVER_PASSWORD, installed, until

T0 = 1_790_000_000_000
PROVINCE, COUNTY, SISTER = "350000000000", "350102000000", "350203000000"
REACH = Reach("mq.example.org", 8883, "aw", ca="-----BEGIN CERTIFICATE-----\n", tls=True)
PASSWORD = "correct horse 8 battery"


def fill(db):
    with db.write() as session:
        for code, parent, level, name in ((PROVINCE, None, 1, "某省"), (COUNTY, PROVINCE, 3, "鼓楼分局"), (SISTER, PROVINCE, 3, "思明分局")):
            session.add(Unit(code=code, parent=parent, level=level, name=name, short_name=name[:2]))
            session.flush()


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    fill(made)
    yield made
    made.close()


class Box:
    """A box without an identity."""

    def __init__(self):
        self.key = X25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.code = claim_code(self.public)

    def ask(self, db, now=T0, address="10.0.0.7"):
        with db.write() as session:
            row = claiming.ask(session, base64.b64encode(self.public).decode(), hint="box\n7", version="0.1.0", address=address, now=now)
            return row.sealed

    def claim(self, db, unit=COUNTY, now=T0, **more):
        with db.write() as session:
            gateway, _ = claiming.claim(session, Claim(code=self.code.lower().replace("-", " "), unit=unit, **more), REACH, "tester", now)
            return gateway.code


# -- the code -----------------------------------------------------------------------------------------------------------------------------


def test_a_code_is_a_fingerprint_that_people_can_type():
    codes = {Box().code for _ in range(300)}
    assert len(codes) == 300
    assert all(len(code) == 11 and code[5] == "-" and set(code.replace("-", "")) <= set(ALPHABET) for code in codes)
    assert claim_code(bytes(32)) == claim_code(bytes(32)) != claim_code(bytes(31) + b"\1")
    code = Box().code
    assert as_typed(f" {code.lower().replace('-', '')} ") == code == as_typed(code.replace("-", "－"))
    assert [as_typed(text) for text in ("", "1234", code + "A", code[:-1] + "O", "口" * 10)] == [""] * 5
    with pytest.raises(ValueError, match="32 bytes"):
        claim_code(b"short")


def test_what_was_sealed_opens_for_its_box_alone():
    mine, thief = Box(), Box()
    sealed = claiming.seal(mine.public, {"password": "p"})
    assert box.unseal(mine.key, sealed) == {"password": "p"}
    for key, content in ((thief.key, sealed), (mine.key, sealed | {"key": base64.b64encode(thief.public).decode()})):
        with pytest.raises(InvalidTag):
            box.unseal(key, content)
    assert claiming.seal(mine.public, {"password": "p"}) != sealed


# -- rules of the claim ---------------------------------------------------------------------------------------------------------------------


def test_a_claim_gives_identity_and_access_and_is_in_the_record(db):
    new = Box()
    assert new.ask(db) is None
    assert new.claim(db) == "GW-350102-01"
    found = box.unseal(new.key, new.ask(db, now=T0 + 5_000))
    assert (found["gateway"], found["group"], found["unit"], found["broker"]["tls"]) == ("GW-350102-01", "350100", COUNTY, True)
    with db.read() as session:
        row = session.get(Gateway, "GW-350102-01")
        assert (row.unit, row.group_id) == (COUNTY, "350100")
        assert session.get(GatewayCredential, row.code).token == gateway_access.credentials.digest(found["token"])
        entry = session.scalar(select(AuditEntry).where(AuditEntry.action == "gateway.claim"))
        assert (entry.actor, entry.unit, entry.detail["address"], entry.detail["hint"]) == ("tester", COUNTY, "10.0.0.7", "box7")
        stored = json.dumps([str(vars(one)) for one in session.scalars(select(GatewayEnrolment))])
    assert found["password"] not in stored  # between the click and the collection nothing lies open
    other = Box()
    other.ask(db)
    assert other.claim(db, unit=SISTER) == "GW-350203-01"
    third = Box()
    third.ask(db)
    assert third.claim(db) == "GW-350102-02"


def test_a_code_counts_once_and_only_while_its_box_is_there(db):
    new = Box()
    with pytest.raises(NotClaimedError, match="没有显示这个代码"):
        new.claim(db)
    new.ask(db)
    with pytest.raises(NotClaimedError, match="没有显示这个代码"):
        new.claim(db, now=T0 + claiming.LIVING_MS + 1)
    with pytest.raises(NotClaimedError, match="没有单位"):
        new.claim(db, unit="359999000000")
    new.claim(db)
    with pytest.raises(NotClaimedError, match="没有显示这个代码"):
        new.claim(db)


def test_two_boxes_with_one_code_are_both_refused(db):
    new = Box()
    new.ask(db)
    with db.write() as session:  # a second key with the same fingerprint, which nobody here can find in a test's time
        session.add(GatewayEnrolment(public_key="other", code=new.code, first_seen_at=T0, last_seen_at=T0, claimed_by=""))
    with pytest.raises(NotClaimedError, match="两台设备"):
        new.claim(db)


def test_a_code_in_use_changes_hands_only_on_purpose(db):
    first, second = Box(), Box()
    for one in (first, second):
        one.ask(db)
    first.claim(db, gateway="GW-350102-09", name="一号")
    with db.read() as session:
        before = session.get(GatewayCredential, "GW-350102-09").token
    with pytest.raises(NotClaimedError, match="已有设备在用"):
        second.claim(db, gateway="GW-350102-09")
    with pytest.raises(NotClaimedError, match="别的单位"):
        second.claim(db, unit=SISTER, gateway="GW-350102-09", replace=True)
    with pytest.raises(NotClaimedError, match="只用字母"):
        second.claim(db, gateway="GW+#/x")
    assert second.claim(db, gateway="GW-350102-09", replace=True) == "GW-350102-09"
    with db.read() as session:
        assert session.get(Gateway, "GW-350102-09").name == "一号"
        assert session.get(GatewayCredential, "GW-350102-09").token != before
    assert first.ask(db) != second.ask(db)


def test_strangers_cannot_fill_the_list_nor_push_anybody_out(db, monkeypatch):
    monkeypatch.setattr(claiming, "MOST", 4)
    monkeypatch.setattr(claiming, "MOST_PER_ADDRESS", 3)
    honest = Box()
    honest.ask(db)
    for _ in range(3):
        Box().ask(db, address="10.9.9.9")
    for address in ("10.9.9.9", "10.9.9.8"):
        with pytest.raises(TooManyError):
            Box().ask(db, address=address)
    honest.ask(db, now=T0 + 1)  # who waits already may go on asking
    for key in (b"33 bytes" * 4 + b"!", bytes(32)):  # too long, and the point at which every secret is zero
        with db.write() as session, pytest.raises(ValueError, match=r"32|shared key"):
            claiming.ask(session, base64.b64encode(key).decode(), hint="", version="", address="", now=T0)
    Box().ask(db, now=T0 + 8 * 86_400_000)  # those who gave up are forgotten
    with db.read() as session:
        assert len(session.scalars(select(GatewayEnrolment)).all()) == 1


# -- with real processes ------------------------------------------------------------------------------------------------------------------


def start_mosquitto(folder):
    import subprocess  # noqa: PLC0415

    config = folder / "mosquitto.conf"
    if os.geteuid() == 0:
        config.write_text(config.read_text() + "user root\n")
    log = (folder / "log").open("ab")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    return subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509


@pytest.mark.mosquitto
@pytest.mark.long
def test_from_an_unknown_box_to_a_gateway_that_is_online_and_out_again(tmp_path: Path, free_port: int, port_factory):
    installed("mosquitto")
    web, access, home = port_factory(), tmp_path / "broker", tmp_path / "box"
    (tmp_path / "password").write_text(SERVER_PASSWORD)
    settings = {
        "listen": f"127.0.0.1:{web}", "data_dir": "data", "broker": {"port": free_port, "username": "server", "password_file": "password"},
        "gateways": {"access": "mosquitto", "access_folder": str(access)}, "sms": {"kind": "none"},
    }  # fmt: skip
    config = tmp_path / "server.yaml"
    config.write_text(json.dumps(settings))
    assert main(["migrate", "--config", str(config)]) == 0
    assert main(["broker", "config", "mosquitto", "-o", str(access), "--port", str(free_port), "--config", str(config), "--json"]) == 0
    db = Database(f"sqlite:///{tmp_path / 'data' / 'archivewatch.db'}")
    fill(db)
    with db.write() as session:
        for login, unit in (("keeper", COUNTY), ("top", PROVINCE), ("elsewhere", SISTER)):
            accounts.add_account(session, login=login, password=PASSWORD, role="system", unit=unit, name=login)
        accounts.add_account(session, login="duty", password=PASSWORD, role="duty", unit=COUNTY, name="duty")
    broker = start_mosquitto(access)
    config.write_text(json.dumps(settings | {"gateways": settings["gateways"] | {"reload": ["kill", "-HUP", str(broker.pid)]}}))
    url = f"http://127.0.0.1:{web}"
    server = Child("server", [*command("archivewatch"), "serve", "--config", str(config)], tmp_path / "log", ready=lambda: answers(url))
    asking = [*command("archivewatch-edge"), "claim", "--server", url, "-o", str(home), "--hint", "机身 A7", "--json"]
    claiming_box = Child("claim", asking, tmp_path / "log", line=True)
    edge = Child("edge", [*command("archivewatch-edge"), "run", "--config", str(home / "edge.yaml")], tmp_path / "log")
    try:
        server.start()
        claiming_box.start()
        code = claiming_box.said["code"]
        people = {login: signed_in(url, login) for login in ("keeper", "top", "elsewhere", "duty")}
        until(lambda: people["top"].get("/api/v1/gateways/enrolments").json(), 30, "the box asks to be claimed", 0.3)
        waiting = people["top"].get("/api/v1/gateways/enrolments")
        assert [row["hint"] for row in waiting.json()] == ["机身 A7"]
        assert code not in waiting.text + people["top"].get("/gateways").text  # the code is on the box alone
        assert people["keeper"].get("/api/v1/gateways/enrolments").json() == []

        def claim(who, code, unit=COUNTY):
            return people[who].post("/api/v1/gateways/claims", json={"code": code, "unit": unit}).status_code

        assert claim("duty", code) == 403
        assert claim("elsewhere", code) == 403  # not his unit, whatever he knows
        wrong = ALPHABET[(ALPHABET.index(code[0]) + 1) % 32] + code[1:]
        assert [claim("elsewhere", wrong, SISTER) for _ in range(6)] == [422] * 5 + [429]
        assert claim("elsewhere", code, SISTER) == 429  # guessed too often: not even the right one
        typed = {"code": code.lower(), "unit": "鼓楼分局", "name": "一号网关"}
        page = people["keeper"].post("/gateways/claim", data=typed, headers={"Sec-Fetch-Site": "same-origin"})
        assert page.status_code == 200, page.text
        assert "GW-350102-01" in page.text
        until(lambda: not claiming_box.alive, 30, "the box takes its identity")
        found = load(home / "edge.yaml")
        assert (found.gateway, found.group, found.broker.port, found.broker.username) == ("GW-350102-01", "350100", free_port, "GW-350102-01")
        assert {stat.S_IMODE((home / name).stat().st_mode) for name in (box.PASSWORD, box.TOKEN)} == {0o600}
        assert not (home / box.KEY).exists()

        edge.launch()
        until(lambda: online(people["keeper"]), 60, "the gateway is online", 0.5)
        token = {"Authorization": f"Bearer {(home / box.TOKEN).read_text().strip()}"}
        assert httpx.get(f"{url}/api/v1/gateways", headers=token, trust_env=False).status_code == 403  # a gateway's key only delivers stills
        assert httpx.post(f"{url}/api/v1/snapshots", headers=token, trust_env=False).status_code == 422

        gone = people["keeper"].request("DELETE", "/api/v1/gateways/GW-350102-01/credentials", json={"reason": "被盗"})
        assert gone.status_code == 204
        assert httpx.post(f"{url}/api/v1/snapshots", headers=token, trust_env=False).status_code == 401
        status = home / "data" / "status.json"
        until(lambda: status.exists() and "拒绝登录" in status.read_text("utf-8"), 60, "the gateway is put out, and says why", 0.3)
        with db.read() as session:
            actions = [row.action for row in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
            assert audit.verify(session) is None
        assert actions.count("gateway.claim.wrong") == 5
        assert {"gateway.claim", "gateway.credentials.make", "gateway.credentials.revoke"} <= set(actions)
    finally:
        for child in (edge, claiming_box, server):
            child.kill()
        broker.kill()
        broker.wait()
        db.close()


def answers(url):
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        time.sleep(0.2)
        return False


def signed_in(url, login):
    client = httpx.Client(base_url=url, trust_env=False, timeout=30)
    assert client.post("/api/v1/session", json={"login": login, "password": PASSWORD}).status_code == 200
    return client


def online(client):
    return [row["online"] for row in client.get("/api/v1/gateways").json()["items"]] == [True]
