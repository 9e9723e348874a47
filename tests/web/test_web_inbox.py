"""Replies that no callback brings: out of the provider's list, a modem's memory, a gateway; each acted upon once."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from server.duty.answers import NOT_UNDERSTOOD
from server.notify.channels import ChannelSettings, open_channel
from server.notify.channels.sms_pdu import listed
from server.notify.channels.twilio_sms import TwilioSms
from server.store import replies
from server.store.tables import Alarm, Notification, Person
from server.store.tables_duty import Reply
from server.web import answers
from server.web.inbox import Replies, inboxes
from simulators.http_sink import HttpSink
from simulators.modem import SimulatedModem, deliver
from simulators.sms_gateway import SmsGateway
from simulators.sms_wire import sign
from tests.web.house import COUNTY, ROOM, House

SENDER, PHONE, URL, TOKEN = "+8613900009999", "+8613900001111", "https://watch.example.cn", "provider-token"

TAKEN_OVER = "已记录：接手，请马上处置。"


@pytest.fixture
def called(house: House):
    """Somebody who has been called about smoke: (house, number of the alarm)."""
    object.__setattr__(house.settings, "public_url", URL)
    object.__setattr__(house.settings, "provider_token", TOKEN)
    with house.db.write() as session:
        session.add(Person(id=900, code="d900", name="周夜", phone="13900001111", unit=COUNTY, duty="duty_officer", phone_verified_at=1))
    house.birth()
    house.calm(ROOM)
    house.tell(house.smoke())
    with house.db.write() as session:
        alarm = session.scalar(select(Alarm).where(Alarm.room == ROOM, Alarm.rule == "smoke"))
        note = Notification(
            alarm=alarm.id, unit=alarm.unit, reason="raised", step=0, person=900, phone=PHONE, channel="x", number=alarm.number, text="",
            created_at=house.now, due=house.now, state="sent",
        )  # fmt: skip
        session.add(note)
        return house, alarm.number


def state(house):
    with house.db.read() as session:
        alarm = session.scalar(select(Alarm).where(Alarm.room == ROOM, Alarm.rule == "smoke"))
        return alarm.state, alarm.acked_by


def taken(house):
    with house.db.read() as session:
        return [(row.sid, row.channel, row.text, row.answer, row.acted_at is not None) for row in session.scalars(select(Reply).order_by(Reply.id))]


def said_back(house):
    with house.db.read() as session:
        return [(row.phone, row.channel, row.text) for row in session.scalars(select(Notification).where(Notification.reason == "reply"))]


@pytest.fixture
def provider(house: House):
    with SmsGateway(token=TOKEN, clock=lambda: house.now) as gateway:
        made = TwilioSms(account_sid=gateway.account, token=TOKEN, sender=SENDER, base_url=gateway.url, timeout_s=5)
        yield gateway, made
        made.close()


def look(house, *channels):
    return Replies(house.services, inboxes(channels), lambda: None)


def test_the_provider_s_list_is_read_and_every_reply_acted_upon_once(called, provider):
    house, number = called
    gateway, channel = provider
    gateway.reply(PHONE, f"1 {number}")
    gateway.reply("+8613900007777", "退订")
    inbox = look(house, channel)
    assert inbox.run_once(house.now) == 2
    assert state(house) == ("active_acked", "周夜")
    assert inbox.run_once(house.now) == 0
    assert look(house, channel).run_once(house.now) == 0  # after a restart the list is read anew from three days back
    assert [row[2:] for row in taken(house)] == [
        (f"1 {number}", TAKEN_OVER, True),
        ("退订", NOT_UNDERSTOOD, True),
    ]
    assert said_back(house) == [(PHONE, "twilio_sms", TAKEN_OVER)]  # a stranger, perhaps a machine, gets none


def test_what_the_callback_has_brought_is_not_taken_again_from_the_list(called, provider):
    house, number = called
    gateway, channel = provider
    sid = gateway.reply(PHONE, f"1 {number}")["sid"]
    form = {"MessageSid": sid, "From": PHONE, "Body": f"1 {number}"}
    path = "/callbacks/sms/inbound"
    answer = house.client().post(path, data=form, headers={"X-Twilio-Signature": sign(TOKEN, URL + path, form)})
    assert "接手" in answer.text
    assert look(house, channel).run_once(house.now) == 0
    assert [row[:2] for row in taken(house)] == [(sid, "callback")]
    assert said_back(house) == []


def test_a_reply_that_a_callback_brought_into_a_dying_process_is_acted_upon_later(called):
    house, number = called
    with house.db.write() as session:
        replies.take(session, "SM1", PHONE, f"1 {number}", house.now, house.now)
    assert look(house).run_once(house.now + 30_000) == 0
    assert state(house)[0] == "active_unacked"
    assert look(house).run_once(house.now + 60_000) == 1
    assert state(house) == ("active_acked", "周夜")


def test_a_provider_that_fails_is_asked_again_for_the_whole_time(called, provider):
    house, number = called
    gateway, channel = provider
    inbox = look(house, channel)
    inbox.run_once(house.now)
    gateway.reply(PHONE, f"1 {number}")
    gateway.order("rate", on="list", count=1)
    assert inbox.run_once(house.now + 600_000) == 0
    assert inbox.run_once(house.now + 610_000) == 1
    assert state(house)[0] == "active_acked"


def test_a_reply_without_a_number_that_comes_too_late_means_no_alarm_of_now(called, provider):
    house, _ = called
    gateway, channel = provider
    gateway.reply(PHONE, "1")
    house.now += 31 * 60_000
    assert look(house, channel).run_once(house.now) == 1
    assert state(house)[0] == "active_unacked"
    assert said_back(house)[0][2].startswith("你的答复来得太晚")


def stamp(at):
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%y%m%d%H%M%S") + "00"


def test_a_modem_s_memory_is_read_acted_upon_and_emptied(called):
    house, number = called
    with SimulatedModem() as modem:
        channel = open_channel("modem", ChannelSettings(timeout_s=5, options={"port": modem.port}))
        modem.receive(deliver("+8610086", "余额不足", stamp(house.now)))
        modem.receive(deliver(PHONE, f"接手 {number}", stamp(house.now)))
        inbox = look(house, channel)
        assert inbox.run_once(house.now) == 2
        assert state(house) == ("active_acked", "周夜")
        assert modem.held == {}
        modem.receive(deliver(PHONE, f"3 {number}", stamp(house.now + 1000), coding=0))
        assert inbox.run_once(house.now) == 1
        assert [row[2] for row in taken(house)] == ["余额不足", f"接手 {number}", f"3 {number}"]
        assert [row[:2] for row in said_back(house)] == [(PHONE, "modem")] * 2
        channel.close()


def test_what_a_modem_could_not_delete_is_not_taken_twice(called):
    house, number = called
    with SimulatedModem() as modem:
        channel = open_channel("modem", ChannelSettings(timeout_s=5, options={"port": modem.port}))
        unit = deliver(PHONE, f"1 {number}", stamp(house.now))
        modem.receive(unit)
        inbox = look(house, channel)
        assert inbox.run_once(house.now) == 1
        modem.receive(unit)  # it stood there still when the process began anew
        assert inbox.run_once(house.now) == 0
        assert (modem.held, len(taken(house))) == ({}, 1)
        channel.close()


def test_what_a_modem_lists_is_read_as_the_network_lays_it_out():
    # A published SMS-DELIVER in the default alphabet, with a service centre before it; behind it a unit that cannot be read.
    answer = "\r\n+CMGL: 3,1,,24\r\n07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07\r\n+CMGL: 4,0,,9\r\n00\r\n\r\nOK\r\n"
    (place, one), (broken, nothing) = listed(answer)
    assert (place, one.phone, one.text) == (3, "+31641600986", "How are you?")
    assert datetime.fromtimestamp(one.at / 1000, UTC) == datetime(2002, 8, 26, 19, 37, 41, tzinfo=UTC)
    assert (broken, nothing.text) == (4, "")


def test_a_reply_that_breaks_the_program_and_a_provider_that_answers_nonsense_keep_nobody_from_being_heard(called, provider, monkeypatch):
    house, number = called
    gateway, channel = provider
    with house.db.write() as session:
        replies.take(session, "poison", PHONE, "1", house.now - 1, house.now, "modem")
    take = answers.take

    async def breaks(services, phone, answer, via, notification=None):
        if not answer.number:
            raise RuntimeError("a bug")
        return await take(services, phone, answer, via, notification)

    monkeypatch.setattr(answers, "take", breaks)
    with HttpSink((200, {"messages": [7]})) as sink:
        nonsense = open_channel("http", ChannelSettings(name="gov", base_url=sink.url, token="t", options={"inbox_url": f"{sink.url}/replies"}))
        gateway.reply(PHONE, f"1 {number}\0")
        assert look(house, nonsense, channel).run_once(house.now) == 1
    assert state(house) == ("active_acked", "周夜")


def test_a_gateway_that_lists_replies(called):
    house, number = called
    with HttpSink((200, {"messages": [{"id": 7, "phone": "13900001111", "text": f"1 {number}", "at": house.now}]})) as sink:
        options = {"inbox_url": f"{sink.url}/replies?since={{since}}"}
        channel = open_channel("http", ChannelSettings(name="gov", base_url=sink.url, token="t", options=options))
        inbox = look(house, channel)
        assert (inbox.run_once(house.now), inbox.run_once(house.now)) == (1, 0)
        assert state(house) == ("active_acked", "周夜")
        assert [row[0] for row in taken(house)] == ["gov-7"]
