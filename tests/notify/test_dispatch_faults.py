"""Every misbehaviour of the provider against one promise: exactly one message per step and person."""

import threading

import pytest

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, Receipt, open_channel
from server.notify.channels.http_gateway import sign
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.notify.outage import outages
from server.store.tables import Person
from simulators.http_sink import HttpSink
from simulators.modem import SimulatedModem
from tests.duty.ladders import ten_minutes

IN_DOUBT = ("500", "503", "timeout_before", "timeout_after", "reset", "reset_after")
NEVER_REACHED = {"invalid_number": "号码无效（21211）", "blocked": "对方已退订（21610）", "landline": "不是手机号码（21614）"}


@pytest.fixture
def impatient(desk, sms, request):
    """A dispatcher whose channel waits only a second where the provider is to be too slow; else long enough for the busiest machine."""
    kind = request.node.callspec.params.get("kind", "") if hasattr(request.node, "callspec") else ""
    patience = 1 if kind.startswith("timeout") else 60
    channel = TwilioSms(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=patience)
    made = Dispatcher(desk.db, [channel], ten_minutes(), settings=DispatchSettings(), count=desk.counts)
    yield made
    made.close()


def settle(desk, dispatcher, minutes=9):
    """Up to just before the next step of the escalation."""
    for _ in range(minutes * 12):
        dispatcher.run_once(desk.now)
        if not any(note.state in ("queued", "claimed") for note in desk.notes()):
            return
        desk.now += 5_000


def exactly_one_each(desk, sms, people=("wang", "li")):
    assert {message["to"] for message in sms.messages()} == {desk.phone(who) for who in people}
    assert len(sms.messages()) == len(people)
    assert {note.provider_id for note in desk.notes() if note.provider_id} == {message["sid"] for message in sms.messages()}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", ["rate", *IN_DOUBT])
def test_one_message_each_whatever_the_provider_does(desk, sms, impatient, kind, count):
    sms.order(kind, count=count, to=desk.phone("wang"))
    desk.annunciate()
    settle(desk, impatient)
    exactly_one_each(desk, sms)


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after"])
def test_what_was_accepted_is_found_and_not_sent_again(desk, sms, impatient, kind):
    sms.order(kind, to=desk.phone("wang"))
    desk.annunciate()
    settle(desk, impatient)
    assert desk.counts["found"] >= 1  # the other message too, when the machine is slow
    assert desk.counts["resent"] == 0
    assert desk.notes(phone=desk.phone("wang"))[0].attempts == 1


def test_what_was_accepted_but_not_yet_sent_on_is_found_too(desk, sms, impatient):
    """A queued message has no date_sent: a look-up by that date alone would miss it and send a second one."""
    sms.order("hold", count=2)
    desk.annunciate()
    impatient.run_once(desk.now)
    with desk.db.write() as session:
        for note in session.query(type(desk.notes()[0])):
            note.state, note.provider_id, note.claimed_until = "claimed", "", desk.now + 1000
    desk.now += 90_000
    impatient.run_once(desk.now)
    exactly_one_each(desk, sms)
    assert desk.counts["found"] == 2


def test_no_second_send_before_the_grace_period_is_over(desk, sms, impatient):
    sms.order("500", to=desk.phone("wang"))
    desk.annunciate()
    impatient.run_once(desk.now)
    first = desk.now
    while not sms.messages(to=desk.phone("wang")):
        desk.now += 5_000
        impatient.run_once(desk.now)
    assert desk.now - first == 60_000
    assert desk.counts["resent"] == 1


def test_a_look_up_that_fails_is_no_permission_to_send(desk, sms, impatient):
    sms.order("reset_after", to=desk.phone("wang"))
    sms.order("500", count=20, on="list")
    desk.annunciate()
    for _ in range(20):
        impatient.run_once(desk.now)
        desk.now += 5_000
    assert len(sms.messages(to=desk.phone("wang"))) == 1
    assert desk.notes(phone=desk.phone("wang"))[0].state == "claimed"
    settle(desk, impatient)
    exactly_one_each(desk, sms)


def test_rate_limits_back_off_and_double(desk, sms, impatient):
    sms.order("rate", count=4, to=desk.phone("wang"))
    desk.annunciate()
    waits = []
    for _ in range(5):
        impatient.run_once(desk.now)
        note = desk.notes(phone=desk.phone("wang"))[0]
        waits.append(note.due - desk.now)
        desk.now = note.due
    assert [round(wait / 1000) for wait in waits[:4]] == [2, 4, 8, 16]
    exactly_one_each(desk, sms)
    assert desk.counts["retry"] == 4


@pytest.mark.parametrize("kind", NEVER_REACHED)
def test_a_number_that_will_never_work_is_given_up_at_once(desk, sms, impatient, kind):
    sms.order(kind, count=-1, to=desk.phone("wang"))
    desk.annunciate()
    impatient.run_once(desk.now)
    exactly_one_each(desk, sms, people=("li",))
    note = desk.notes(phone=desk.phone("wang"))[0]
    assert (note.state, note.error, note.attempts) == ("failed", NEVER_REACHED[kind], 1)


def test_when_nobody_of_a_step_can_be_reached_the_next_one_is_due_at_once(desk, sms, impatient):
    for who in ("wang", "li"):
        sms.order("invalid_number", count=-1, to=desk.phone(who))
    alarm = desk.annunciate()
    impatient.run_once(desk.now)
    exactly_one_each(desk, sms, people=("chen",))
    assert sms.messages()[0]["body"][6:9] == "特急："
    assert [step.step for step in desk.steps(alarm) if step.state == "pending"] == [3]


def test_when_nobody_at_all_can_be_reached_it_waits_for_somebody_new_and_tries_no_refused_number_again(desk, sms, impatient):
    sms.order("landline", count=-1)
    alarm = desk.annunciate()
    impatient.run_once(desk.now)
    tried = len(desk.notes())
    for _ in range(10):
        desk.now += 60_000
        impatient.run_once(desk.now)
    assert [step.state for step in desk.steps(alarm)][-1] == "pending"
    assert desk.counts["nobody"] > 1
    assert (sms.messages(), len(desk.notes())) == ([], tried)
    sms.core.faults.clear()
    desk.set(Person, 1, phone="13912345678")
    for _ in range(15):
        desk.now += 60_000
        impatient.run_once(desk.now)
    assert [message["to"] for message in sms.messages()] == ["+8613912345678"]


def test_whoever_could_not_be_reached_for_hours_is_called_when_the_provider_is_back(desk, sms, impatient):
    """A provider that refuses everything for some hours: that may not be the last word about smoke that still asks."""
    sms.order("landline", count=-1, on="create")
    alarm = desk.annunciate()
    for _ in range(12):
        impatient.run_once(desk.now)
        desk.now += 15 * 60_000
    assert [step.state for step in desk.steps(alarm)][-1] == "pending"
    sms.core.faults.clear()
    for _ in range(6):
        impatient.run_once(desk.now)
        desk.now += 15 * 60_000
    assert {desk.phone("wang"), desk.phone("li")} <= {message["to"] for message in sms.messages()}


def test_the_second_channel_takes_over_what_the_first_can_never_deliver(desk, sms, channel):
    sms.order("landline", to=desk.phone("wang"))
    dispatcher = Dispatcher(desk.db, [channel, desk.file_channel()], ten_minutes(), count=desk.counts)
    desk.annunciate()
    dispatcher.run_once(desk.now)
    dispatcher.close()
    assert {(note.channel, note.state) for note in desk.notes(phone=desk.phone("wang"))} == {("twilio_sms", "failed"), ("outbox_file", "sent")}


@pytest.mark.parametrize(("kind", "on"), [("rate", ("create",)), ("503", ("create",)), ("503", ("create", "list"))])
def test_the_second_channel_takes_over_after_a_minute_of_whatever_error(desk, sms, channel, kind, on):
    """An error of the provider's leaves each message in doubt for ever; so does a look-up that fails as well."""
    for request in on:
        sms.order(kind, count=-1, on=request)
    dispatcher = Dispatcher(desk.db, [channel, desk.file_channel()], ten_minutes(), count=desk.counts)
    desk.annunciate()
    began = desk.now
    for _ in range(30):
        dispatcher.run_once(desk.now)
        desk.now += 5_000
    dispatcher.close()
    notes = desk.notes(channel="outbox_file")
    assert [note.state for note in notes] == ["sent", "sent"]
    assert all(note.sent_at - began <= 80_000 for note in notes), "before the next people are told at all"
    assert sms.messages() == []


@pytest.mark.parametrize("kind", ["rate", "reset"])
def test_one_message_at_night_shows_that_the_provider_is_out_and_nobody_trying_is_no_recovery(desk, sms, channel, kind):
    """reset: the request is cut and not found afterwards; after a minute it goes by the next channel, tried once and never refused."""
    desk.set(Person, 2, phone="")
    sms.order(kind, count=-1, on="create")
    dispatcher = Dispatcher(desk.db, [channel, desk.file_channel()], ten_minutes(), count=desk.counts)
    desk.annunciate()
    seen = []
    for _ in range(20):
        dispatcher.run_once(desk.now)
        with desk.db.read() as session:
            seen.append(set(outages(session, ["twilio_sms", "outbox_file"], desk.now)))
        desk.now += 5_000
    assert seen[:12] == [set()] * 12
    assert seen[15:] == [{"twilio_sms"}] * 5
    desk.now += 3_600_000
    with desk.db.read() as session:
        assert set(outages(session, ["twilio_sms"], desk.now)) == {"twilio_sms"}
    sms.core.faults.clear()
    desk.annunciate(key="next")
    dispatcher.run_once(desk.now)
    dispatcher.close()
    with desk.db.read() as session:
        assert outages(session, ["twilio_sms"], desk.now) == {}


def test_one_wrong_number_is_no_outage(desk, sms, channel):
    desk.set(Person, 2, phone="")
    sms.order("invalid_number", count=-1, to=desk.phone("wang"))
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), count=desk.counts)
    desk.annunciate()
    dispatcher.run_once(desk.now)
    desk.now += 3 * 60_000
    with desk.db.read() as session:
        assert outages(session, ["twilio_sms"], desk.now) == {}
    dispatcher.close()


def test_texts_reach_the_modem_when_both_platforms_answer_with_errors(desk, sms, channel):
    sms.order("503", count=-1)
    with HttpSink(standard=(503, {})) as sink, SimulatedModem() as modem:
        platform = open_channel("http", ChannelSettings(base_url=sink.url, token="key"))
        card = open_channel("modem", ChannelSettings(timeout_s=5, options={"port": modem.port}))
        dispatcher = Dispatcher(desk.db, [channel, platform, card], ten_minutes(), count=desk.counts)
        for key in ("first", "second"):
            desk.annunciate(key=key)
        for _ in range(36):
            dispatcher.run_once(desk.now)
            desk.now += 5_000
        dispatcher.close()
        assert sorted(sent.phone for sent in modem.sent) == sorted(desk.phone(who) for who in ("wang", "li", "wang", "li"))
        stamped = sink.posted[0].headers
        assert stamped["x-signature"] == sign("key", stamped["x-timestamp"], stamped["x-nonce"], sink.posted[0].body)
    with desk.db.read() as session:
        assert set(outages(session, ["twilio_sms", "http_gateway", "modem"], desk.now)) == {"twilio_sms", "http_gateway"}


def test_a_provider_that_cannot_be_reached_costs_delay_and_few_attempts(desk, free_port):
    gone = TwilioSms(account_sid="AC1", token="t", sender="+8613900009999", base_url=f"http://127.0.0.1:{free_port}", timeout_s=0.5)
    dispatcher = Dispatcher(desk.db, [gone], ten_minutes(), count=desk.counts)
    desk.annunciate()
    for _ in range(60):
        dispatcher.run_once(desk.now)
        desk.now += 10_000
    dispatcher.close()
    notes = desk.notes(step=0)
    assert {(note.state, note.error) for note in notes} == {("queued", "连不上短信平台")}
    assert all(note.attempts <= 15 for note in notes)


def test_a_slow_answer_holds_up_only_its_own_message(desk, sms):
    """The dispatcher's pass ends when the slow one does, but the others have left long before."""
    slow = TwilioSms(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=4)
    dispatcher = Dispatcher(desk.db, [slow], ten_minutes(), count=desk.counts)
    sms.order("timeout_before", to=desk.phone("wang"))
    desk.annunciate()
    arrived = threading.Event()
    watcher = threading.Thread(target=lambda: wait_for(lambda: sms.messages(to=desk.phone("li")), arrived))
    passing = threading.Thread(target=dispatcher.run_once, args=(desk.now,))
    watcher.start()
    passing.start()
    assert arrived.wait(30)
    assert passing.is_alive()
    passing.join()
    watcher.join()
    dispatcher.close()


def wait_for(condition, event):
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)
    event.set()


class Blind:
    """A channel that can neither look up nor report; what such a provider costs is written down by this test."""

    name = "blind"

    def __init__(self, fails):
        self.abilities, self.fails, self.sent = Abilities(), fails, []

    def send(self, message: Message) -> Receipt:
        self.sent.append(message.id)
        if self.fails:
            raise self.fails.pop()
        return Receipt(f"b{len(self.sent)}", "sent")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [ChannelError("?", Failure.AMBIGUOUS), RuntimeError("a bug in the channel")])
def test_without_look_up_the_message_is_repeated_after_the_grace_period(desk, error):
    channel = Blind([error])
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes())
    desk.annunciate()
    settle(desk, dispatcher)
    dispatcher.close()
    assert sorted(channel.sent) in ([1, 1, 2], [1, 2, 2])
    assert {note.state for note in desk.notes()} == {"sent"}
