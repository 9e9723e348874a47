import json
import threading
from dataclasses import replace

import pytest

from server.notify.channels import CHANNELS, Channel, ChannelError, ChannelSettings, Failure, Message, open_channel
from server.notify.channels.outbox_file import OutboxFile
from server.notify.channels.twilio_sms import TwilioSms
from simulators.sms_gateway import SmsGateway

T0 = 1_795_400_000_000
TEXT = "【档案值守】特急：鼓楼东街01库于23:41烟感告警。请马上派人到门外查看，见烟见火打119，勿单人进入。编号483925"
REFUSED = {"invalid_number": 21211, "blocked": 21610, "landline": 21614}
IN_DOUBT = ("500", "503", "timeout_before", "timeout_after", "reset", "reset_after")


def message(**changes):
    values = {"id": 1, "phone": "+8613800000001", "text": TEXT, "number": "483925", "since": T0, "validity_s": 600}
    return Message(**{**values, **changes})


@pytest.fixture
def gateway():
    with SmsGateway(clock=lambda: T0 + 1000, hold_s=2) as made:
        yield made


@pytest.fixture
def twilio(gateway):
    made = TwilioSms(account_sid=gateway.account, token=gateway.token, sender="+8613900009999", base_url=gateway.url + "/", timeout_s=1)
    yield made
    made.close()


def failing(call):
    with pytest.raises(ChannelError) as caught:
        call()
    return caught.value.failure, caught.value.code


def test_a_message_is_sent_whole(gateway, twilio):
    receipt = twilio.send(message())
    (stored,) = gateway.messages()
    assert (stored["sid"], stored["to"], stored["from"], stored["body"]) == (receipt.provider_id, "+8613800000001", "+8613900009999", TEXT)
    assert receipt.status == "queued"
    kept = gateway.core.store.find(sid=receipt.provider_id)[0]
    assert (kept.expires_at - kept.created_at, kept.callback) == (600_000, "")


def test_validity_and_callback_are_passed_on(gateway):
    channel = TwilioSms(
        account_sid=gateway.account, token=gateway.token, sender="MG" + "0" * 32, base_url=gateway.url, status_callback="http://127.0.0.1:1/cb"
    )
    channel.send(message(validity_s=999_999))
    kept = gateway.core.store.find()[0]
    assert (kept.expires_at - kept.created_at, kept.callback, kept.sender) == (36_000_000, "http://127.0.0.1:1/cb", "MG" + "0" * 32)
    channel.close()


@pytest.mark.parametrize(("kind", "code"), REFUSED.items())
def test_what_will_never_work(gateway, twilio, kind, code):
    gateway.order(kind)
    assert failing(lambda: twilio.send(message())) == (Failure.PERMANENT, code)


def test_a_rate_limit_may_be_retried(gateway, twilio):
    gateway.order("rate")
    assert failing(lambda: twilio.send(message())) == (Failure.RETRY, 20429)


@pytest.mark.parametrize("kind", IN_DOUBT)
def test_what_leaves_us_in_doubt(gateway, twilio, kind):
    gateway.order(kind)
    failure, _ = failing(lambda: twilio.send(message()))
    assert failure is Failure.AMBIGUOUS
    assert len(gateway.messages()) == (1 if kind.endswith("after") else 0)


def test_nobody_listens(free_port):
    channel = TwilioSms(account_sid="AC1", token="t", sender="+8613900009999", base_url=f"http://127.0.0.1:{free_port}")
    assert failing(lambda: channel.send(message())) == (Failure.RETRY, None)
    channel.close()


def test_a_wrong_password_is_ours_to_repair(gateway):
    channel = TwilioSms(account_sid=gateway.account, token="wrong", sender="+8613900009999", base_url=gateway.url)
    assert failing(lambda: channel.send(message())) == (Failure.RETRY, 20003)
    channel.close()


def test_a_sent_message_is_found_by_number_and_text(gateway, twilio):
    sent = twilio.send(message())
    assert twilio.lookup(message()).provider_id == sent.provider_id
    gateway.core.run_once(T0 + 60_000)
    assert twilio.lookup(message()).status == "sent"


@pytest.mark.parametrize("other", [{"phone": "+8613800000002"}, {"text": TEXT.replace("483925", "016907")}])
def test_another_message_is_not_taken_for_it(twilio, other):
    twilio.send(message(**other))
    assert twilio.lookup(message()) is None


def test_a_message_that_has_its_row_already_is_not_taken_for_it(twilio):
    sent = twilio.send(message())
    assert twilio.lookup(message(known=frozenset({sent.provider_id}))) is None


def test_an_old_message_is_not_taken_for_it(twilio):
    twilio.send(message())
    assert twilio.lookup(message(since=T0 + 3_600_000)) is None


def test_a_long_list_is_searched_to_its_end(gateway, twilio):
    sent = twilio.send(message())
    for count in range(120):
        gateway.core.accept({"To": "+8613800000001", "From": "+8613900009999", "Body": f"其他 {count}"}, None, T0 + 2000)
    assert twilio.lookup(message()).provider_id == sent.provider_id


@pytest.mark.parametrize("kind", ["500", "rate", "timeout_before", "reset"])
def test_a_look_up_that_fails_says_so(gateway, twilio, kind):
    gateway.order(kind, count=2, on="list")
    with pytest.raises(ChannelError):
        twilio.lookup(message())


def test_what_became_of_it(gateway, twilio):
    gateway.order("undelivered")
    sent = twilio.send(message())
    for at in (T0 + 60_000, T0 + 120_000):
        gateway.core.run_once(at)
    receipt = twilio.fetch(sent.provider_id)
    assert (receipt.status, receipt.error_code) == ("undelivered", 30003)
    assert failing(lambda: twilio.fetch("SM" + "0" * 32)) == (Failure.RETRY, 20404)


def test_every_channel_of_the_table_can_be_opened(tmp_path):
    settings = ChannelSettings(account_sid="AC1", token="secret", sender="+8613900009999", outbox=tmp_path / "o.jsonl", base_url="http://127.0.0.1:9")
    chat, hook = replace(settings, token="wecombot://secret-key"), replace(settings, token="whsec_c2VjcmV0")
    for kind in CHANNELS:
        channel = open_channel(kind, {"chat": chat, "webhook": hook}.get(kind, settings))
        assert isinstance(channel, Channel)
        channel.close()
    assert "secret" not in repr(settings)


def test_unusable_settings_are_refused():
    with pytest.raises(ValueError, match="there is no channel 'pigeon'"):
        open_channel("pigeon", ChannelSettings())
    with pytest.raises(ValueError, match="needs account_sid"):
        open_channel("twilio", ChannelSettings())


def test_the_file_holds_one_line_per_message(tmp_path):
    channel = OutboxFile(tmp_path / "new" / "outbox.jsonl")
    threads = [threading.Thread(target=channel.send, args=(message(id=ident),)) for ident in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in (tmp_path / "new" / "outbox.jsonl").read_text("utf-8").splitlines()]
    assert sorted(line["id"] for line in lines) == list(range(20))
    assert lines[0] == {"id": lines[0]["id"], "to": "+8613800000001", "text": TEXT, "number": "483925", "created_at": T0}


def test_the_file_knows_what_was_sent(tmp_path):
    channel = OutboxFile(tmp_path / "outbox.jsonl")
    assert channel.lookup(message()) is None
    sent = channel.send(message())
    assert channel.lookup(message()) == channel.fetch(sent.provider_id) == sent
    assert channel.lookup(message(id=2)) is None


def test_half_a_line_after_a_power_cut_hurts_nobody(tmp_path):
    path = tmp_path / "outbox.jsonl"
    channel = OutboxFile(path)
    channel.send(message(id=1))
    with path.open("ab") as file:
        file.write(b'{"id": 2, "to')
    channel.send(message(id=3))
    assert channel.lookup(message(id=2)) is None
    assert channel.lookup(message(id=3)) is not None


def test_a_disk_that_refuses_leaves_us_in_doubt(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    channel = OutboxFile(tmp_path / "file" / "outbox.jsonl")
    assert failing(lambda: channel.send(message()))[0] is Failure.AMBIGUOUS
    directory = OutboxFile(tmp_path)
    assert failing(lambda: directory.lookup(message()))[0] is Failure.RETRY
