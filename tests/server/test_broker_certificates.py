"""Gateways that sign in at a real Mosquitto with client certificates: each speaks for the name in its own, the revoked and strangers stay outside."""

from tests.certificates import Authority
from tests.server.brokers import SERVER_PASSWORD, Client, Guarded, until
from tests.server.test_broker_access import READS, A, B, db, issue

__all__ = ["db"]


def test_gateways_with_client_certificates_speak_for_the_name_in_it(db, tmp_path, free_port):
    for _, code in (A, B):
        issue(db, code)
    authority = Authority(tmp_path, "ca")
    held = {name: authority.issue(name) for name in ("broker", "server", A[1], B[1])}
    crl, probe = str(authority.revoke(held[B[1]][0])), authority.trusted(held["server"])
    tls = tuple(str(file) for file in (*held["broker"], authority.file))
    broker = Guarded("mosquitto", db, tmp_path / "broker", free_port, tls=tls, certificates=True, crl=crl, probe=probe)
    server = Client(broker, None, None, "aw-1", *READS, tls=authority.trusted(held["server"]))
    a = Client(broker, None, None, A[1], tls=authority.trusted(held[A[1]]))
    for topic in (f"spBv1.0/{B[0]}/NDATA/{B[1]}", f"spBv1.0/{B[0]}/NDATA/{A[1]}", "spBv1.0/STATE/aw"):
        a.say(topic, b"forged")
    a.say(f"spBv1.0/{A[0]}/NDATA/{A[1]}", b"own")
    until(lambda: server.got, 10, "the server hears the gateway")
    assert server.got == [(f"spBv1.0/{A[0]}/NDATA/{A[1]}", b"own")]
    revoked = Client(broker, None, None, B[1], tls=authority.trusted(held[B[1]]), wait=False)
    nobody = Client(broker, "server", SERVER_PASSWORD, "x", tls=authority.trusted(), wait=False)
    for client in (revoked, nobody):
        client.answered.wait(2)
        assert not client.connected
    for client in (server, a, revoked, nobody):
        client.close()
    broker.close()
