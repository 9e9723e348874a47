import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.notify.channels.twilio_sms import signed_by_provider
from server.notify.dispatch import Dispatcher
from server.notify.receipts import RANK, apply_receipt
from simulators.sms_wire import sign
from tests.duty.ladders import ten_minutes

# reliability.md 4.4; the vectors of the provider's own validator
TOKEN, URL = "12345", "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "To": "+18005551212"}
VECTORS = [
    (CALL | {"Caller": "+14158675309", "From": "+14158675309"}, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    (CALL | {"Caller": "+12349013030", "From": "+12349013030"}, "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
    ({"Sid": "CA123", "SidAccount": "AC123", "Digits": ["5678", "1234", "1234"]}, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
]


@pytest.fixture
def sent(desk):
    """One message that has left."""
    dispatcher = Dispatcher(desk.db, [desk.file_channel()], ten_minutes())
    desk.annunciate()
    dispatcher.run_once(desk.now)
    dispatcher.close()
    note = desk.notes()[0]
    desk.set(type(note), note.id, receipt="", receipt_at=None)
    return note


def report(desk, note, status, code=None, at=0):
    with desk.db.write() as session:
        return apply_receipt(session, note.provider_id, status, code, desk.now + at)


def now_of(desk, note):
    found = desk.notes(id=note.id)[0]
    return found.state, found.receipt


@pytest.mark.parametrize(("form", "signature"), VECTORS)
def test_signature_vectors(form, signature):
    assert signed_by_provider(TOKEN, URL, form, signature)


@pytest.mark.parametrize("signature", ["", None, "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "签名"])
def test_forged_or_missing_signatures_are_refused(signature):
    assert not signed_by_provider(TOKEN, URL, VECTORS[0][0], signature)


def test_anything_changed_breaks_the_signature():
    form, signature = VECTORS[0]
    assert not signed_by_provider(TOKEN, URL + "3", form, signature)
    assert not signed_by_provider(TOKEN, URL, form | {"Extra": "1"}, signature)
    assert not signed_by_provider(TOKEN, URL, form | {"Digits": form["To"], "To": form["Digits"]}, signature)
    assert not signed_by_provider("54321", URL, form, signature)


def test_what_the_gateway_signs_is_accepted():
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    url = "https://aw.example.com/callbacks/twilio/status"
    assert signed_by_provider("t", url, form, sign("t", url, form))
    assert signed_by_provider("t", "https://aw.example.com:443/callbacks/twilio/status", form, sign("t", url, form))


def test_a_receipt_is_applied_once(desk, sent):
    assert report(desk, sent, "sent") == "applied"
    assert report(desk, sent, "delivered") == "applied"
    assert now_of(desk, sent) == ("delivered", "delivered")
    assert report(desk, sent, "delivered", at=1) == "repeated"
    assert desk.notes(id=sent.id)[0].receipt_at == desk.now


def test_what_comes_late_changes_nothing(desk, sent):
    report(desk, sent, "delivered")
    for status in ("sent", "sending", "queued", "undelivered", "failed"):
        assert report(desk, sent, status) == "stale"
    assert now_of(desk, sent) == ("delivered", "delivered")


def test_not_delivered_keeps_its_reason(desk, sent):
    report(desk, sent, "undelivered", 30003)
    note = desk.notes(id=sent.id)[0]
    assert (note.state, note.error) == ("undelivered", "未送达（30003）")
    assert report(desk, sent, "delivered") == "stale"


def test_unknown_messages_and_words_are_told_apart(desk, sent):
    with desk.db.write() as session:
        assert apply_receipt(session, "SM-nobody", "delivered", None, 0) == "unknown_message"
        assert apply_receipt(session, "", "delivered", None, 0) == "unknown_message"
        assert apply_receipt(session, sent.provider_id, "teleported", None, 0) == "unknown_status"


def test_every_order_of_a_delivery_ends_the_same(desk, sent):
    for order in itertools.permutations(["queued", "sending", "sent", "delivered", "delivered"]):
        desk.set(type(sent), sent.id, receipt="", state="sent", receipt_at=None)
        for status in order:
            report(desk, sent, status)
        assert now_of(desk, sent) == ("delivered", "delivered")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(sorted(RANK)), max_size=8))
def test_a_receipt_never_goes_back(desk, sent, statuses):
    desk.set(type(sent), sent.id, receipt="", state="sent")
    highest = -1
    for status in statuses:
        report(desk, sent, status)
        rank = RANK[desk.notes(id=sent.id)[0].receipt]
        assert rank >= highest
        highest = rank


def test_receipts_are_polled_where_no_callback_comes(line):
    line.desk.annunciate()
    line.run()
    line.desk.now += 5_000
    line.sms.core.run_once(line.desk.now)
    assert line.dispatcher.poll_receipts(line.desk.now) == 2
    line.desk.now += 20_000
    line.sms.core.run_once(line.desk.now)
    line.dispatcher.poll_receipts(line.desk.now)
    assert {note.state for note in line.desk.notes()} == {"delivered"}
    assert line.desk.counts["delivered"] == 2
    assert line.dispatcher.poll_receipts(line.desk.now + 600_000) == 0


def test_an_undelivered_message_does_not_change_the_escalation(line):
    """F70: the next person is told by our own timer."""
    line.sms.order("undelivered", count=2)
    line.desk.annunciate()
    line.run()
    for _ in range(4):
        line.desk.now += 60_000
        line.sms.core.run_once(line.desk.now)
        line.dispatcher.poll_receipts(line.desk.now)
        line.run()
    assert {note.state for note in line.desk.notes()} == {"undelivered"}
    assert len(line.sms.messages()) == 2
    line.run(6)
    assert len(line.sms.messages()) == 4


def test_polling_slows_down_and_stops_at_a_provider_in_trouble(line):
    line.desk.annunciate()
    line.run()
    line.sms.order("500", count=-1, on="fetch")
    line.desk.now += 5_000
    assert line.dispatcher.poll_receipts(line.desk.now) == 0
    line.sms.core.faults.clear()
    line.sms.core.run_once(line.desk.now)
    assert line.dispatcher.poll_receipts(line.desk.now) == 1
    assert line.dispatcher.poll_receipts(line.desk.now + 4_999) == 0
    assert line.dispatcher.poll_receipts(line.desk.now + 5_000) == 1
