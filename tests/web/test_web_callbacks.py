"""Calls of the SMS provider: only what it signed is believed. Vectors of Twilio's own documentation and library (token 12345)."""

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from server.notify.channels.twilio_sms import signed_by_provider
from server.store import audit
from server.store.tables import Notification
from server.web import site
from simulators.sms_wire import sign
from tests.web.house import ROOM, House

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "To": "+18005551212"}
BASE = "https://watch.example.cn"


@pytest.mark.parametrize(
    ("form", "signature"),
    [
        (CALL | {"Caller": "+14158675309", "From": "+14158675309"}, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (CALL | {"Caller": "+12349013030", "From": "+12349013030"}, "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
        ({"Sid": "CA123", "SidAccount": "AC123", "Digits": ["5678", "1234", "1234"]}, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ],
)
def test_published_vectors(form: dict, signature: str) -> None:
    assert signed_by_provider("12345", URL, form, signature)
    assert not signed_by_provider("12346", URL, form, signature)
    assert not signed_by_provider("12345", URL.replace("https", "http"), form, signature)
    assert not signed_by_provider("12345", URL, form | {"Extra": "1"}, signature)
    assert not signed_by_provider("12345", URL, form, None)


@pytest.fixture
def served(tmp_path: Path):
    house = House(tmp_path)
    house.birth()
    house.tell(house.smoke())
    settings = replace(house.settings, provider_token="12345", public_url=BASE)
    yield house, TestClient(site.build(replace(house.services, settings=settings)), base_url="http://inside:8080", raise_server_exceptions=False)
    house.close()


def post(client: TestClient, path: str, form: dict, *, token: str = "12345", url: str = BASE):
    return client.post(path, data=form, headers={"X-Twilio-Signature": sign(token, url + path, form)})


def test_a_signed_status_report_counts_once_and_a_forged_one_never(served) -> None:
    house, client = served
    with house.db.write() as session:
        session.query(Notification).update({"state": "sent", "receipt": "", "provider_id": "SM1"})
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"}
    assert post(client, "/callbacks/sms/status", form, token="guess").status_code == 403
    assert post(client, "/callbacks/sms/status", form, url="http://inside:8080").status_code == 403
    assert client.post("/callbacks/sms/status", data=form).status_code == 403
    swapped = {"MessageSid": "undelivered", "MessageStatus": "SM1", "ErrorCode": "30003"}
    right = sign("12345", f"{BASE}/callbacks/sms/status", form)
    assert client.post("/callbacks/sms/status", data=swapped, headers={"X-Twilio-Signature": right}).status_code == 403
    with house.db.read() as session:
        assert session.query(Notification).one().state == "sent"
    for _ in range(2):
        assert post(client, "/callbacks/sms/status", form).status_code == 204
    with house.db.read() as session:
        assert session.query(Notification).one().state == "undelivered"


def test_a_signed_reply_is_on_record_once(served) -> None:
    house, client = served
    form = {"MessageSid": "SM9", "From": "+8613900001234", "Body": "1 已到场"}
    for _ in range(2):
        answer = post(client, "/callbacks/sms/inbound", form)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    with house.db.read() as session:
        entry = audit.latest(session, action="sms_reply", subject="sms:SM9")
        assert entry is not None
        assert (entry.actor, entry.detail["note"]) == ("+8613900001234", "1 已到场")
        assert sum(row.action == "sms_reply" for row in audit.page(session, before=None, limit=50)) == 1


def test_without_a_provider_there_is_no_callback(house: House) -> None:
    assert post(house.client(), "/callbacks/sms/status", {"MessageSid": "x"}).status_code == 404
    assert house.alarm(ROOM, "smoke") is None
