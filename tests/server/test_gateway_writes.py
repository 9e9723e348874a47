"""Writes from the server's side: sent until the outcome comes, audited once; logbooks of gateways kept once and bounded."""

import json

import pytest
from sqlalchemy import select

from contract.batch import event_ack, events, read_command, read_data
from contract.sparkplug import decode, encode
from contract.writing import read_order
from server.ingest.downlink import Downlink
from server.store import audit, gateway_events
from server.store.tables import AuditEntry, Gateway, GatewayCommand
from server.store.tables_gateway import GatewayEvent

T0 = 1_790_000_000_000
BODY = {
    "id": "1",
    "device": "relay",
    "write": "relay1",
    "value": True,
    "by": "张三",
    "role": "duty",
    "reason": "测试",
    "expires_at": T0 + 60_000,
    "second": "",
}


@pytest.fixture
def line(slice_):
    sent = []
    with slice_.db.write() as session:
        session.get(Gateway, slice_.GATEWAY).online = True
        session.add(GatewayCommand(id=1, gateway=slice_.GATEWAY, kind="write", body=BODY, created_at=T0, expires_at=T0 + 60_000))
    return slice_, Downlink(slice_.db, lambda topic, payload: sent.append((topic, payload))), sent


def entry(ident="e1", outcome="done", order="1", **more):
    return json.dumps({"id": ident, "at": T0 + 900, "kind": "write", "order": order, "device": "relay", "outcome": outcome, **more})


def take(slice_, *texts, gateway=None):
    with slice_.db.write() as session:
        return gateway_events.take(session, gateway or slice_.GATEWAY, texts, T0 + 1_000)


def state(slice_):
    with slice_.db.read() as session:
        return session.get(GatewayCommand, 1).state


def test_a_write_is_sent_until_its_outcome_comes(line):
    slice_, downlink, sent = line
    assert [downlink.run_once(T0 + at) for at in (0, 1_000, 5_000, 9_999)] == [1, 0, 1, 0]
    topic, payload = sent[0]
    assert topic == f"spBv1.0/350100/NCMD/{slice_.GATEWAY}"
    order = read_order(read_command(decode(payload)).write)
    assert (order.device, order.write, order.value, order.by) == ("relay", "relay1", True, "张三")
    assert take(slice_, entry()) == ["e1"]
    assert state(slice_) == "done"
    assert downlink.run_once(T0 + 20_000) == 0


def test_an_outcome_is_audited_once_however_often_it_comes(line):
    slice_, _, _ = line
    for _ in range(3):
        assert take(slice_, entry(), entry("e2", order="local-1")) == ["e1", "e2"]
    with slice_.db.read() as session:
        found = session.scalars(select(AuditEntry).where(AuditEntry.action == "write.outcome")).all()
        assert [(row.actor, row.detail["order"]) for row in found] == [(f"gateway:{slice_.GATEWAY}", "1"), (f"gateway:{slice_.GATEWAY}", "local-1")]
        assert audit.verify(session) is None
        assert len(session.scalars(select(GatewayEvent)).all()) == 2


def test_a_gateway_that_is_away_gets_it_until_it_expires(line):
    slice_, downlink, sent = line
    with slice_.db.write() as session:
        session.get(Gateway, slice_.GATEWAY).online = False
    assert downlink.run_once(T0 + 1_000) == 0
    assert downlink.run_once(T0 + 61_000) == 0
    assert (state(slice_), sent) == ("expired", [])
    with slice_.db.read() as session:
        assert session.scalars(select(AuditEntry.action)).all()[-1] == "write.expired"


BROKEN = ["", "{", "[]", '{"id": 7}', '{"id": "a b", "at": 1, "kind": "x"}', '{"id": "a", "at": -1, "kind": "x"}', "[" * 3000]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_entry_is_left_out(line, text):
    slice_, _, _ = line
    assert take(slice_, text, entry()) == ["e1"]


def test_an_outcome_touches_nothing_of_another_gateway(line):
    slice_, _, _ = line
    with slice_.db.write() as session:
        session.add(Gateway(code="GW-OTHER", group_id="350100", unit=session.get(Gateway, slice_.GATEWAY).unit))
        session.add(Gateway(code="GW-NOBODY", group_id="350100"))
    take(slice_, entry(), gateway="GW-OTHER")
    assert state(slice_) == "pending"
    assert take(slice_, entry(), gateway="GW-NOBODY") == []  # unclaimed: not kept, not acknowledged


def test_a_logbook_is_bounded(line, monkeypatch):
    slice_, _, _ = line
    monkeypatch.setattr(gateway_events, "KEPT", 3)
    take(slice_, *[json.dumps({"id": f"n{n}", "at": n, "kind": "note"}) for n in range(10)])
    with slice_.db.read() as session:
        assert session.scalars(select(GatewayEvent.ident).order_by(GatewayEvent.id)).all() == ["n7", "n8", "n9"]


def test_entries_travel_beside_samples():
    data = read_data(decode(encode(events(["{}", "[]"], now=T0, seq=7))), "GW", {})
    assert (data.samples, data.outbox, data.events) == ((), None, ("{}", "[]"))
    assert read_command(decode(encode(event_ack(["a", "b"], T0)))).events == ("a", "b")
