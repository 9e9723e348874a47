"""Who may say what at the broker: real Mosquitto and real nats-server on the files that the server makes of its table of gateways."""

import stat

import pytest
from sqlalchemy import text

from contract.batch import Outbox, PointDeclaration, node_birth, node_death
from contract.sparkplug import encode
from server.org import broker_files, gateway_access
from server.org.broker_access import BrokerAccess, BrokerReloadError, clients, write
from server.org.broker_files import Client as Entry
from server.org.broker_files import Host, Listener
from server.org.gateway_access import NoAccessError, Secrets
from server.store import audit
from server.store.session import Database
from server.store.tables import AuditEntry, Gateway, Unit
from tests.fresh import fresh
from tests.server.brokers import SERVER_PASSWORD, Client, Guarded, until

T0 = 1_790_000_000_000
A, B = ("350100", "GW-350102-01"), ("350200", "GW-350203-01")
READS = ("spBv1.0/+/NBIRTH/+", "spBv1.0/+/NDATA/+", "spBv1.0/+/NDEATH/+", "spBv1.0/+/DDATA/+/+", "spBv1.0/STATE/aw")


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        for code, parent, level in (("350000000000", None, 1), ("350102000000", "350000000000", 3), ("350203000000", "350000000000", 3)):
            session.add(Unit(code=code, parent=parent, level=level, name=code, short_name="x"))
            session.flush()
        for (group, code), unit in ((A, "350102000000"), (B, "350203000000")):
            session.add(Gateway(code=code, group_id=group, unit=unit))
    yield made
    made.close()


def issue(db, code):
    with db.write() as session:
        return gateway_access.issue(session, session.get(Gateway, code), "tester", T0).password


@pytest.fixture(params=["mosquitto", "nats"])
def scene(request, db, tmp_path, free_port):
    """A broker, the passwords of both gateways, and the three who are connected."""
    passwords = {code: issue(db, code) for _, code in (A, B)}
    broker = Guarded(request.param, db, tmp_path / "broker", free_port)
    server = Client(broker, "server", SERVER_PASSWORD, "aw-1", *READS)
    own = [Client(broker, code, passwords[code], code, f"spBv1.0/{group}/NCMD/{code}", "spBv1.0/STATE/aw") for group, code in (A, B)]
    yield broker, passwords, server, *own
    for client in (server, *own):
        client.close()
    broker.close()


def topics(client):
    return [topic for topic, _ in client.got]


def test_a_gateway_speaks_for_itself_and_for_nobody_else(scene):
    broker, _, server, a, b = scene
    (group, code), (other_group, other) = A, B
    server.paho.publish("spBv1.0/STATE/aw", b"online", 1, retain=True).wait_for_publish(10)
    own = [f"spBv1.0/{group}/{kind}/{code}" for kind in ("NBIRTH", "NDATA", "NDEATH")] + [f"spBv1.0/{group}/DDATA/{code}/th1"]
    forged = [
        f"spBv1.0/{other_group}/NDATA/{other}",  # another gateway
        f"spBv1.0/{other_group}/NDEATH/{other}",
        f"spBv1.0/{other_group}/NDATA/{code}",  # its own name in another group
        f"spBv1.0/{group}/NDATA/{other}",  # another name in its own group
        f"spBv1.0/{other_group}/DDATA/{other}/th1",
        "spBv1.0/STATE/aw",  # the server is there, or is not
        f"spBv1.0/{group}/NCMD/{code}",  # an order to itself …
        f"spBv1.0/{other_group}/NCMD/{other}",  # … and to another
        "anything/else",
    ]
    for topic in forged:
        a.say(topic, b"forged")
    for topic in own:
        a.say(topic, b"own")
    until(lambda: len([1 for _, payload in server.got if payload == b"own"]) == len(own), 10, "the server hears the gateway's own messages")
    server.say(f"spBv1.0/{other_group}/NCMD/{other}", b"order")
    until(lambda: (f"spBv1.0/{other_group}/NCMD/{other}", b"order") in b.got, 10, "the other gateway gets its order")
    assert b"forged" not in [payload for client in (server, a, b) for _, payload in client.got]
    assert sorted(topics(server)) == sorted([*own, "spBv1.0/STATE/aw"])
    assert not a.lost or broker.kind == "nats"  # a refused message never ends the session of somebody else
    assert not b.lost


def test_nobody_reads_what_is_not_his(scene):
    broker, _, server, a, b = scene
    (_, code), (other_group, other) = A, B
    granted = [a.listen(topic) for topic in (f"spBv1.0/{other_group}/NCMD/{other}", "#", "spBv1.0/#", "spBv1.0/+/NDATA/+", "spBv1.0/+/NCMD/+")]
    assert not any(granted) or broker.kind == "mosquitto"  # Mosquitto grants and filters at delivery
    server.say(f"spBv1.0/{other_group}/NCMD/{other}", b"for B alone")
    b.say(f"spBv1.0/{other_group}/NDATA/{other}", b"readings of B")
    server.say(f"spBv1.0/{A[0]}/NCMD/{code}", b"for A")
    until(lambda: b"for A" in [payload for _, payload in a.got], 10, "A gets what is its own")
    until(lambda: b"readings of B" in [payload for _, payload in server.got], 10, "the server hears B")
    assert {payload for _, payload in a.got} == {b"for A"}


def test_strangers_and_wrong_passwords_stay_outside(scene):
    broker, passwords, *_ = scene
    for user, password in ((A[1], "wrong"), (A[1], passwords[B[1]]), ("nobody", "x"), ("server", passwords[A[1]]), ("", None)):
        client = Client(broker, user, password, "stranger")
        assert not client.connected, user
        client.close()


def test_who_is_revoked_is_put_out_and_who_is_new_gets_in(db, scene):
    broker, passwords, server, a, b = scene
    assert broker.access.run_once(T0) is False  # nothing has changed: the broker is left alone
    with db.write() as session:
        assert gateway_access.revoke(session, session.get(Gateway, A[1]), "tester", T0, reason="stolen")
        assert not gateway_access.revoke(session, session.get(Gateway, A[1]), "tester", T0, reason="stolen")
    assert broker.access.run_once(T0) is True
    until(lambda: a.lost, 15, "the session of a revoked gateway ends")
    again = Client(broker, A[1], passwords[A[1]])
    assert not again.connected
    again.close()
    fresh = issue(db, A[1])
    assert fresh != passwords[A[1]]
    assert broker.access.run_once(T0) is True

    def gets_in():
        client = Client(broker, A[1], fresh)
        client.close()
        return client.connected

    until(gets_in, 15, "new credentials count")
    assert not b.lost
    assert not server.lost


def test_the_session_of_another_is_not_taken_over_by_its_name(scene):
    """nats-server knows no rule for client ids: there a gateway can end another's session, though never speak for it (docs say so)."""
    broker, passwords, _, _, b = scene
    if broker.kind == "nats":
        pytest.skip("nats-server does not bind a client id to a user")
    thief = Client(broker, A[1], passwords[A[1]], B[1])
    assert thief.connected
    thief.listen(f"spBv1.0/{A[0]}/NCMD/{A[1]}")
    assert not b.lost
    thief.close()


def test_files_are_private_whole_and_only_written_when_they_differ(tmp_path, db):
    issue(db, A[1])
    with db.read() as session:
        found = clients(session, "mosquitto")
    assert [(client.gateway, client.group) for client in found] == [(A[1], A[0])]
    files = broker_files.mosquitto(found, Host("server", "$7$x", "aw"), Listener(folder="/etc/broker"))
    assert write(tmp_path / "out", files) == ["mosquitto.conf", "passwords", "acl"]
    assert write(tmp_path / "out", files) == []
    for name in files:
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o640
    assert "pattern" not in files["acl"]
    assert "allow_anonymous false" in files["mosquitto.conf"]


def test_a_reload_that_failed_is_owed(tmp_path, db):
    issue(db, A[1])
    flag = tmp_path / "flag"

    def render(found):
        return broker_files.nats(found, Host("server", "x", "aw"), Listener())

    access = BrokerAccess(db, tmp_path / "out", "nats", render, ("users.conf",), ("test", "-e", str(flag)))
    with pytest.raises(BrokerReloadError):
        access.run_once(T0)
    flag.touch()
    assert access.run_once(T0) is False  # the file is as it was; the reload is made good
    flag.unlink()
    assert access.run_once(T0) is False  # and is not owed any more


@pytest.mark.parametrize(
    ("gateway", "group"),
    [("GW+", "350100"), ("#", "350100"), ("GW-1", "+"), ("GW-1\ntopic readwrite #", "350100"), ("", "350100"), ("a/b", "350100")],
)
def test_no_name_widens_a_right(db, gateway, group):
    with pytest.raises(ValueError, match="no name for a topic"):
        broker_files.mosquitto([Entry(gateway, group, "x")], Host("server", "x", "aw"), Listener())
    with db.write() as session:
        row = Gateway(code=gateway, group_id=group[:12], unit="350102000000")
        with pytest.raises(NoAccessError):
            gateway_access.issue(session, row, "tester", T0)
        session.expunge_all()


def test_credentials_are_kept_as_digests_and_every_step_is_in_the_record(db):
    with db.write() as session:
        gateway = session.get(Gateway, A[1])
        made = gateway_access.issue(session, gateway, "tester", T0, reason="first")
        assert gateway_access.adopt(session, gateway, made, "tester", T0) is False
        assert gateway_access.adopt(session, gateway, Secrets("p", "awg_t"), "tester", T0) is True
        gateway_access.revoke(session, gateway, "tester", T0, reason="lost")
    with db.read() as session:
        rows = [(row.action, row.reason, str(row.detail)) for row in session.query(AuditEntry).order_by(AuditEntry.id)]
        assert audit.verify(session) is None
        everything = str([dict(row._mapping) for row in session.execute(text("SELECT * FROM gateway_credential"))])
    assert [row[:2] for row in rows] == [
        ("gateway.credentials.make", "first"), ("gateway.credentials.renew", "load"), ("gateway.credentials.revoke", "lost"),
    ]  # fmt: skip
    for secret in (made.password, made.token):
        assert secret not in everything + str(rows)


def test_a_gateway_of_nobody_has_no_way_in(db):
    with db.write() as session:
        session.get(Gateway, A[1]).unit = None
        session.flush()
        with pytest.raises(NoAccessError):
            gateway_access.issue(session, session.get(Gateway, A[1]), "tester", T0)


def test_the_will_of_a_gateway_goes_out_under_its_own_name_alone(scene):
    broker, passwords, server, a, _ = scene
    a.close()
    payload = encode(node_death(7, T0))
    forged = Client(broker, A[1], passwords[A[1]], A[1], will=(f"spBv1.0/{B[0]}/NDEATH/{B[1]}", payload))
    if forged.connected:  # nats-server refuses at once, Mosquitto drops the will when it would speak
        forged.cut()
    birth = node_birth([PointDeclaration("th1/humidity", 1, "", "", 10)], now=T0, bd_seq=7, outbox=Outbox(1, 1, 0))
    true = Client(broker, A[1], passwords[A[1]], A[1], will=(f"spBv1.0/{A[0]}/NDEATH/{A[1]}", payload))
    true.say(f"spBv1.0/{A[0]}/NBIRTH/{A[1]}", encode(birth))
    true.cut()
    until(lambda: f"spBv1.0/{A[0]}/NDEATH/{A[1]}" in topics(server), 15, "the will of the gateway")
    assert f"spBv1.0/{B[0]}/NDEATH/{B[1]}" not in topics(server)
    for client in (forged, true):
        client.close()
