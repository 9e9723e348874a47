"""The self-check looks at the running system, and the table of clauses names tests that exist."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from server.jobs_org import OrgJobs
from server.org import chain_check
from server.org.level3 import Running, lines
from server.org.sessions import SignInLimits
from server.settings import Settings
from server.store import anchors, audit
from server.store.tables import Account, Gateway
from server.store.tables_gateway import GatewayCredential
from server.store.tables_org import ChainCheck, Notice
from server.web import site
from server.web.services import Rates
from tests.web.house import PASSWORD, House
from tests.web.test_web_security import extra

HTML = {"accept": "text/html"}
ROOT = Path(__file__).parents[2]


def states(house: House, **changed: object) -> dict[str, str]:
    settings = {"limits": house.settings.limits, "rates_on": True, "https": True, "now": house.now} | changed
    with house.db.read() as session:
        return {line.section: line.state for line in lines(session, Running(**settings))}


def test_each_line_follows_what_is_true(house: House) -> None:
    before = states(house)
    assert (before["8.1.4.1 d"], before["8.1.5.4"], before["8.1.4.3 a"], before["8.1.1"]) == ("wrong", "wrong", "ok", "people")
    assert before["8.1.4.1 b-2"] == "wrong", "eight hours are longer than an inspector likes"
    with house.db.write() as session:
        logins = [row.login for row in session.query(Account).filter(Account.role.in_(("system", "security", "audit")))]
        audit.append(session, "示例", "comment", "alarm:1", {}, house.now - 86_400_000, unit="350102000000")
        anchors.make(session, house.now)
        for number, box in enumerate(session.query(Gateway)):
            key = {"mosquitto": "x", "nats": "x", "token": str(number), "made_at": house.now, "made_by": "x"}
            session.add(GatewayCredential(gateway=box.code, **key))
    for login in logins:
        extra(house, login, totp_since=house.now)
    limits = SignInLimits()
    assert limits.idle_ms == Settings().sign_in.idle_h * 3_600_000, "what is set when nobody sets anything is what passes"
    after = states(house, limits=limits)
    assert [section for section, state in after.items() if state == "wrong"] == []
    assert (before["8.4.2.1"], after["8.4.2.1"]) == ("wrong", "ok"), "a gateway without a credential of its own"
    with house.db.write() as session:
        session.query(GatewayCredential).delete()
    assert [states(house, certificates=given)["8.4.2.1"] for given in (False, True)] == ["wrong", "ok"], "certificates let gateways in too"
    assert states(house, limits=limits, https=False)["8.1.4.1 c"] == "wrong"
    assert states(house, limits=replace(limits, failures=50))["8.1.4.1 b-1"] == "wrong"
    with house.db.write() as session:
        session.query(Account).filter_by(role="audit").update({"disabled": True})
    assert states(house, limits=limits)["8.1.5.1"] == "wrong"


def test_logins_are_held_against_each_other(house: House) -> None:
    def said() -> tuple[str, str]:
        with house.db.read() as session:
            [line] = [
                one for one in lines(session, Running(limits=SignInLimits(), rates_on=True, https=True, now=house.now)) if one.title == "身份唯一"
            ]
        return line.state, line.found

    assert said()[0] == "ok"
    with house.db.write() as session:
        session.query(Account).filter_by(login="audit").one().login = "Duty"
    assert said() == ("wrong", said()[1])
    assert "只差大小写：Duty" in said()[1]
    with house.db.write() as session:
        session.query(Account).filter(Account.login != "Duty").update({"disabled": True})
    assert said() == ("wrong", "在用账号 1 个，无从核对：每人应有自己的账号")


def test_administrators_are_named_as_people_call_them(house: House) -> None:
    with house.db.write() as session:
        session.query(Account).filter_by(login="audit").one().display_name = "A 审计员"
    with house.db.read() as session:
        found = [line.found for line in lines(session, Running(limits=SignInLimits(), rates_on=True, https=True, now=house.now))]
    [sentence] = [one for one in found if "没有第二因素" in one]
    assert "A 审计员" in sentence
    assert "audit" not in sentence.split("：")[1].split("、")


def test_the_page_walks_on_from_the_anchor_and_the_night_walks_it_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.db.write() as session:
        for number in range(50):
            audit.append(session, "示例", "comment", f"alarm:{number}", {}, house.now, unit="350102000000")
        anchors.make(session, house.now)
        audit.append(session, "示例", "comment", "alarm:99", {}, house.now, unit="350102000000")
    linked = []
    link = audit.link
    monkeypatch.setattr(audit, "link", lambda *values: linked.append(values) or link(*values))
    assert states(house)["8.1.4.3 a"] == "ok"
    assert len(linked) == 1
    jobs = OrgJobs(house.db, Settings(), lambda _command: None, house.now)
    assert jobs.audit_chain(house.now)
    assert len(linked) > 51
    _tamper(house, 3)
    assert states(house)["8.1.4.3 a"] == "ok", "the page looks at what is new; the rest is the night's"
    assert not jobs.audit_chain(house.now)
    [notice] = _notices(house)
    assert "从第 3 条起对不上" in notice.sentence
    assert states(house)["8.1.4.3 a"] == "wrong", "what the night found stands on the page"


def test_an_anchor_that_does_not_fit_any_more_is_seen_at_once(house: House) -> None:
    with house.db.write() as session:
        for number in range(5):
            audit.append(session, "示例", "comment", f"alarm:{number}", {}, house.now, unit="350102000000")
        anchors.make(session, house.now)
    assert states(house)["8.1.4.3 a"] == "ok"
    with house.db.read() as session:
        last = anchors.newest(session).last
    _tamper(house, last)
    assert states(house)["8.1.4.3 a"] == "wrong"


def test_whoever_doubts_has_the_whole_log_walked_now(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client("province-audit")
    jobs = OrgJobs(house.db, Settings(), lambda _command: None, house.now)
    jobs.audit_asked(house.now)
    assert "还没有核对过" in client.get("/level3", headers=HTML).text
    assert client.post("/level3/chain").status_code == 303
    assert client.post("/api/v1/audit/checks").json()["done"] == 0, "the one that waits is the answer"
    with house.db.read() as session:
        assert session.query(ChainCheck).count() == 1
    waiting = client.get("/level3?part=chain", headers=HTML).text
    assert "<progress" in waiting
    assert "立即核对" not in waiting
    told = []
    monkeypatch.setattr(chain_check, "_TELL_EVERY", 2)
    walk = audit.walk

    def heard(session: Session, *, tell: Callable[[int], None], every: int) -> audit.Walk:
        return walk(session, tell=lambda done: (told.append(done), tell(done)), every=every)

    monkeypatch.setattr(audit, "walk", heard)
    jobs.audit_asked(house.now + 60_000)
    with house.db.read() as session:
        rows = chain_check.newest(session).done
        assert told == list(range(2, rows + 1, 2)), "how far it is, on the way"
    monkeypatch.undo()
    assert f"核对：{rows} 条，链完整" in client.get("/level3", headers=HTML).text
    _tamper(house, 2)
    client.post("/level3/chain")
    jobs.audit_asked(house.now + 120_000)
    assert "从第 2 条起对不上" in client.get("/level3", headers=HTML).text
    found = client.get("/api/v1/level3").json()
    assert (found["audit_checked"]["first_broken"], found["audit_first_broken"]) == (2, 2)
    assert [line["state"] for line in found["lines"] if line["section"] == "8.1.4.3 a"] == ["wrong"]
    assert len(_notices(house)) == 1
    assert house.client("duty").post("/level3/chain").status_code == 403


def _tamper(house: House, ident: int) -> None:
    """As somebody with the file in his hands: without the trigger."""
    with house.db.write() as session:
        guards = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")).all()
        for name, _ in guards:
            session.execute(text(f"DROP TRIGGER {name}"))
        session.execute(text("UPDATE audit SET actor = 'x', chain = :chain WHERE id = :id"), {"id": ident, "chain": "f" * 64})
        for _, sql in guards:
            session.execute(text(sql))


def _notices(house: House) -> list[Notice]:
    with house.db.read() as session:
        return list(session.query(Notice).filter_by(kind="audit"))


def test_the_page_and_the_evidence_say_the_same(house: House) -> None:
    app = site.build(replace(house.services, settings=replace(house.settings, rates=Rates(sign_in=20, requests=100))))
    client = TestClient(app, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)
    client.post("/api/v1/session", json={"login": "province-audit", "password": PASSWORD})
    page = client.get("/level3", headers={"accept": "text/html"}).text
    evidence = client.get("/api/v1/level3")
    assert "attachment" in evidence.headers["content-disposition"]
    found = evidence.json()
    assert page.count("不符合</b>") == sum(line["state"] == "wrong" for line in found["lines"]) > 0
    assert len(found["audit_chain"]) == 64
    assert {line["state"] for line in found["lines"] if line["section"] == "8.1.4.4"} == {"ok"}
    assert house.client("duty").get("/api/v1/level3").status_code == 403


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/reference/security.md").read_text("utf-8"))
    assert len(named) > 20
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path}::{name}"
