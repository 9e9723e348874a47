"""A channel fails for good: the next one to the same person, in the order that the person wants."""

import pytest
from sqlalchemy import select

from server.duty.escalation import default_escalation
from server.notify.channels import ChannelSettings, open_channel
from server.notify.dispatch import Dispatcher
from server.store.tables import Notification, Person
from simulators.smtp_server import MailServer
from tests.notify.conftest import SENDER


@pytest.fixture
def mail():
    with MailServer() as server:
        yield server


@pytest.fixture
def night(desk, sms, channel, mail):
    """Texts, calls and letters; the keeper has a mailbox, and it is an hour at which an urgent alarm asks him alone."""
    voice = open_channel("twilio_voice", ChannelSettings(account_sid=sms.account, token=sms.token, sender=SENDER, base_url=sms.url, timeout_s=3))
    options = {"host": mail.host, "port": str(mail.port)}
    letters = open_channel("email", ChannelSettings(sender="aw@example.org", options=options))
    made = Dispatcher(desk.db, [channel, voice, letters], default_escalation(), count=desk.counts)
    desk.set(Person, 1, email="wang@example.org")
    desk.set(Person, 2, disabled_at=1)
    yield made
    made.close()


def went(desk):
    """(channel, address, state) of what was said to the keeper, in order."""
    with desk.db.read() as session:
        rows = session.scalars(select(Notification).where(Notification.person == 1).order_by(Notification.id)).all()
    return [(row.channel, row.phone, row.state) for row in rows]


def leak(desk, dispatcher):
    desk.annunciate(rule="leak", quantity="leak", level="urgent")
    dispatcher.run_once(desk.now)


def test_text_call_letter(night, desk, sms, mail):
    phone = desk.phone("wang")
    sms.order("invalid_number", to=phone)
    sms.order("invalid_number", to=phone)
    leak(desk, night)
    assert went(desk) == [("twilio_sms", phone, "failed"), ("twilio_voice", phone, "failed"), ("email", "wang@example.org", "sent")]
    assert [letter["To"] for letter in mail.letters] == ["wang@example.org"]


def test_a_persons_own_order_comes_first(night, desk, sms, mail):
    desk.set(Person, 1, ways=["email", "sms"])
    mail.refused["wang@example.org"] = 550
    leak(desk, night)
    phone = desk.phone("wang")
    assert went(desk) == [("twilio_sms", phone, "sent")], "the level asks for a text, which is one of his ways"
    desk.set(Person, 1, ways=["email", "voice"])
    desk.annunciate(rule="leak", quantity="leak", level="urgent", key="2")
    night.run_once(desk.now)
    assert went(desk)[1:] == [("email", "wang@example.org", "failed"), ("twilio_voice", phone, "sent")]
    assert [call["to"] for call in sms.calls()] == [phone]


def test_whoever_has_no_phone_gets_a_letter(night, desk, mail):
    desk.set(Person, 1, phone=None)
    leak(desk, night)
    assert went(desk) == [("email", "wang@example.org", "sent")]


def test_all_ways_lost_means_the_next_person_at_once(night, desk, sms, mail):
    mail.refused["wang@example.org"] = 550
    for _ in range(4):
        sms.order("invalid_number", to=desk.phone("wang"))
    leak(desk, night)
    assert [state for _, _, state in went(desk)][:3] == ["failed"] * 3
    assert sms.messages(to=desk.phone("chen")), "the county is told without waiting for the table's fifteen minutes"
