"""What people text is heard by a server that runs: from the provider's list, a modem's memory and a gateway's inbox, no callback reaching it."""

import json
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from contract.batch import PointDeclaration
from server.store.session import Database
from server.store.tables import Alarm, AuditEntry, Gateway, Notification, Person, Room, Unit
from simulators.http_sink import HttpSink
from simulators.modem import SimulatedModem, deliver
from simulators.processes import Child, answers, command
from simulators.sms_gateway import SmsGateway
from tests.duty.ladders import TEN_MINUTES
from tests.fresh import fresh
from tests.server.brokers import until
from tests.wire_edge import Edge

COUNTY, GATEWAY, SENDER = "350102000000", "GW-350102-01", "+8613900009999"
ROOMS = {f"{COUNTY}-0{n}": (f"守{n}", f"+861390000111{n}") for n in (1, 2, 3)}
TAKEN_OVER = "已记录：接手，请马上处置。"


def fill(db):
    """A county with three rooms, each with a person of its own."""
    with db.write() as session:
        session.add(Unit(code=COUNTY, level=3, name="鼓楼分局", short_name="鼓楼"))
        session.flush()
        for number, (room, (name, phone)) in enumerate(ROOMS.items(), start=1):
            session.add(Person(id=number, code=f"P{number}", name=name, phone=phone, unit=COUNTY, phone_verified_at=1))
            session.flush()
            session.add(Room(code=room, unit=COUNTY, name=room[-2:], short_name=room[-2:], sms_place=f"{room[-2:]}库", person=number, demanded=[]))
        session.add(Gateway(code=GATEWAY, group_id="350100", unit=COUNTY, changed_at=0, online=False))


def configure(folder, port, broker, sms, modem, sink):
    """server.yaml: the provider first, a modem and a gateway behind it."""
    (folder / "token").write_text(sms.token)
    provider = {"kind": "twilio", "account_sid": sms.account, "token_file": "token", "sender": SENDER, "base_url": sms.url}
    settings = {
        "listen": f"127.0.0.1:{port}", "data_dir": ".", "broker": {"port": broker.port}, "sms": provider, "escalation": str(TEN_MINUTES),
        "channels": [
            {"kind": "modem", "options": {"port": modem.port}},
            {"kind": "http", "name": "gov", "base_url": sink.url, "options": {"inbox_url": f"{sink.url}/replies?since={{since}}"}},
        ],
    }  # fmt: skip
    config = folder / "server.yaml"
    config.write_text(json.dumps(settings))
    return config


@pytest.fixture
def world(tmp_path, free_port, broker):
    """A server that runs, its gateway and the outside that people text to: (database, edge, provider, modem, inbox of the gateway)."""
    db = Database(fresh(tmp_path / "archivewatch.db"))
    fill(db)
    url = f"http://127.0.0.1:{free_port}"
    with SmsGateway() as sms, SimulatedModem() as modem, HttpSink((200, {"messages": []})) as sink:
        config = configure(tmp_path, free_port, broker, sms, modem, sink)
        server = Child(
            "server", [*command("archivewatch"), "serve", "--config", str(config)], tmp_path / "log", ready=lambda: answers(f"{url}/readyz")
        )
        try:
            server.start()
            edge = Edge(broker, GATEWAY, points=[PointDeclaration(f"s{room[-1]}/smoke", int(room[-1]), room, "", 5) for room in ROOMS])
            yield db, edge, sms, modem, sink
            edge.close()
        finally:
            server.kill()
            db.close()


def numbers(db):
    """编号 of the alarm about which each telephone was told, once the provider has it."""
    told = select(Notification.phone, Notification.number).where(Notification.reason == "raised", Notification.state.in_(("sent", "delivered")))
    with db.read() as session:
        return {row.phone: row.number for row in session.execute(told)}


def taken_over(db):
    with db.read() as session:
        return {alarm.room: alarm.acked_by for alarm in session.scalars(select(Alarm).where(Alarm.rule == "smoke", Alarm.state == "active_acked"))}


def test_a_running_server_hears_the_provider_s_list_the_modem_and_the_gateway(world):
    db, edge, sms, modem, sink = world
    edge.birth()
    edge.ack()
    edge.data(*((f"s{room[-1]}/smoke", 1) for room in ROOMS), first=1)
    until(lambda: len(numbers(db)) == 3, 30, "everybody is told")
    first, second, third = (phone for _, phone in ROOMS.values())
    number = numbers(db)
    now = time.time_ns() // 1_000_000
    sms.reply(first, f"1 {number[first]}")
    modem.receive(deliver(second, f"接手 {number[second]}", datetime.fromtimestamp(now / 1000, UTC).strftime("%y%m%d%H%M%S") + "00"))
    sink.standard = (200, {"messages": [{"id": 7, "phone": third, "text": f"1 {number[third]}", "at": now}]})
    until(lambda: len(taken_over(db)) == 3, 60, "each has taken over", 0.1)
    assert taken_over(db) == {room: name for room, (name, _) in ROOMS.items()}
    until(lambda: TAKEN_OVER in {message["body"] for message in sms.messages(to=first)}, 30, "the provider brings the answer", 0.1)
    until(lambda: (second, TAKEN_OVER) in {(one.phone, one.text) for one in modem.sent}, 30, "so does the modem", 0.1)
    until(lambda: TAKEN_OVER in {one.json["text"] for one in sink.posted if one.method == "POST"}, 30, "and the gateway", 0.1)
    assert modem.held == {}
    with db.read() as session:
        actors = set(session.scalars(select(AuditEntry.actor).where(AuditEntry.action.like("%ack%"))))
    assert actors >= {name for name, _ in ROOMS.values()}
