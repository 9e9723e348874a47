"""Voice, HTTP gateway, modem, e-mail, webhook, chat: each against a counterpart that speaks its protocol."""

import json
import ssl
from dataclasses import replace

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from server.notify.channels import ChannelError, ChannelSettings, Failure, Message, open_channel
from server.notify.channels.http_gateway import sign
from server.notify.channels.sms_pdu import submit as pdu
from server.notify.channels.twilio_voice import spoken
from simulators.http_sink import HttpSink
from simulators.modem import SimulatedModem, decode
from simulators.smtp_server import MailServer
from tests.certificates import Authority

TEXT = "【档案值守】特急：鼓楼东街01库于23:41烟感告警。请马上派人到门外查看，见烟见火打119，勿单人进入。编号483925"
MESSAGE = Message(
    id=7, phone="+8659187654321", text=TEXT, number="483925", since=1_790_000_000_000, validity_s=600, level="critical", reason="raised"
)
LANDLINE = MESSAGE.phone


@pytest.fixture
def sink():
    with HttpSink() as made:
        yield made


@pytest.fixture
def voice(sms):
    settings = ChannelSettings(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=3)
    made = open_channel("twilio_voice", settings)
    yield made
    made.close()


def test_a_call_reads_the_text_twice_with_the_number_in_words_and_the_keys(voice, sms):
    receipt = voice.send(MESSAGE)
    [call] = sms.calls(to=LANDLINE)
    assert (receipt.provider_id, receipt.status) == (call["sid"], "queued")
    assert len(call["said"]) == 2
    assert call["said"][0] == call["said"][1] == spoken(TEXT, "483925")
    assert "档案值守特急。鼓楼东街01库于23点41分烟感告警" in call["said"][0]
    assert "编号四八三，九二五。接手按1，去不了按2，重听按9。本系统是辅助值守，火灾报警以消防控制室和119为准。" in call["said"][0]
    assert "于12点09分漏水" in spoken("于12:09漏水。编号483925", "483925")
    assert spoken(TEXT, "483925", drill=True).startswith("这是演练，不要拨打119。")


def test_a_call_without_doubt_is_found_and_its_end_is_told(voice, sms, desk):
    sms.order("timeout_after")
    with pytest.raises(ChannelError) as caught:
        voice.send(MESSAGE)
    assert caught.value.failure is Failure.AMBIGUOUS
    fresh = replace(MESSAGE, since=desk.now)
    found = voice.lookup(fresh)
    assert found is not None
    assert voice.lookup(replace(fresh, known=frozenset({found.provider_id}))) is None
    assert voice.fetch(found.provider_id).status == "queued"
    desk.now += 60_000
    sms.front.calls.run_once(desk.now)
    sms.front.calls.run_once(desk.now + 60_000)
    assert voice.fetch(found.provider_id).status == "delivered"


def test_a_busy_line_was_not_reached(voice, sms, desk):
    httpx.put(f"{sms.url}/control/calls/{LANDLINE}/end", json={"end": "busy"}).raise_for_status()
    receipt = voice.send(MESSAGE)
    sms.front.calls.run_once(desk.now + 60_000)
    assert voice.fetch(receipt.provider_id).status == "undelivered"


def test_the_http_gateway_signs_and_names_fields_and_templates_as_the_platform_wants(sink):
    options = {"fields": json.dumps({"phone": "mobile", "sender": ""}), "templates": json.dumps({"S1": "T-1001"})}
    channel = open_channel("http", ChannelSettings(base_url=f"{sink.url}/send", token="key", options=options))
    assert channel.send(MESSAGE).provider_id == "7"
    [posted] = sink.posted
    assert posted.json == {
        "id": "7", "mobile": LANDLINE, "number": "483925", "template": "T-1001",
        "params": {"级别": "特急", "地点": "鼓楼东街01库", "时间": "23:41", "编号": "483925"},
    }  # fmt: skip
    assert posted.headers["x-signature"] == sign("key", posted.headers["x-timestamp"], posted.headers["x-nonce"], posted.body)
    assert not channel.abilities.lookup


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [(429, {}, Failure.RETRY), (503, {}, Failure.AMBIGUOUS), (400, {}, Failure.PERMANENT), (401, {}, Failure.RETRY),
     (200, {"code": "BLACKLIST"}, Failure.PERMANENT), (200, {"code": "LIMIT_CONTROL"}, Failure.RETRY)],
)  # fmt: skip
def test_what_an_answer_of_the_http_gateway_means(sink, status, body, failure):
    sink.answers.append((status, body))
    with pytest.raises(ChannelError) as caught:
        open_channel("http", ChannelSettings(base_url=sink.url)).send(MESSAGE)
    assert caught.value.failure is failure


def test_the_http_gateway_can_be_asked_by_our_id(sink):
    channel = open_channel("http", ChannelSettings(base_url=sink.url, options={"lookup_url": f"{sink.url}/q/{{id}}"}))
    sink.answers += [(404, {}), (200, {"id": "P-9", "status": "delivered"})]
    assert channel.lookup(MESSAGE) is None
    assert (channel.lookup(MESSAGE).provider_id, sink.posted[-1].path) == ("P-9", "/q/7")


def test_a_modem_gets_a_pdu_that_says_what_was_meant():
    unit, length = pdu("+8613800000001", TEXT)
    assert length == len(unit) // 2 - 1
    assert (decode(unit).phone, decode(unit).text) == ("+8613800000001", TEXT)
    assert decode(pdu("10086", "好")[0]).phone == "10086"
    with pytest.raises(ValueError, match="do not fit"):
        pdu("10086", "长" * 71)


def test_a_modem_on_a_serial_line():
    with SimulatedModem() as modem:
        channel = open_channel("modem", ChannelSettings(timeout_s=5, options={"port": modem.port}))
        receipt = channel.send(replace(MESSAGE, phone="+8613800000001"))
        assert (receipt.provider_id, receipt.status) == ("modem-7-1", "sent")
        assert [(one.phone, one.text) for one in modem.sent] == [("+8613800000001", TEXT)]
        modem.errors += [28, 38]
        for failure in (Failure.PERMANENT, Failure.RETRY):
            with pytest.raises(ChannelError) as caught:
                channel.send(MESSAGE)
            assert caught.value.failure is failure
        channel.close()
    with pytest.raises(ChannelError, match="断开"):
        open_channel("modem", ChannelSettings(options={"port": "/dev/none"})).send(MESSAGE)


def test_a_modem_that_is_deaf_was_given_nothing():
    with SimulatedModem() as modem:
        modem.deaf = True
        channel = open_channel("modem", ChannelSettings(timeout_s=1, options={"port": modem.port}))
        with pytest.raises(ChannelError) as caught:
            channel.send(MESSAGE)
        assert caught.value.failure is Failure.RETRY
        channel.close()


def test_a_letter():
    with MailServer() as server:
        settings = ChannelSettings(sender="aw@example.org", options={"host": server.host, "port": str(server.port)})
        to = replace(MESSAGE, phone="desk@example.org")
        assert open_channel("email", settings).send(to).provider_id == "<aw-7@archivewatch>"
        [letter] = server.letters
        assert (letter["To"], letter["Message-ID"], letter.get_content().strip()) == ("desk@example.org", "<aw-7@archivewatch>", TEXT)
        assert "烟感告警" in letter["Subject"]
        for code, failure in ((550, Failure.PERMANENT), (450, Failure.RETRY)):
            server.refused["desk@example.org"] = code
            with pytest.raises(ChannelError) as caught:
                open_channel("email", settings).send(to)
            assert caught.value.failure is failure
    with pytest.raises(ChannelError) as caught:
        open_channel("email", settings).send(to)
    assert caught.value.failure is Failure.RETRY


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_mail_server_with_somebody_elses_certificate_gets_neither_password_nor_letter(tmp_path, tls):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ours.issue("mail"))
    with MailServer(**{tls: context}) as server:
        options = {"host": server.host, "port": str(server.port), "tls": tls}

        def channel(**more):
            return open_channel("email", ChannelSettings(sender="watch@example.org", options=options | more, timeout_s=5))

        for stranger in ({}, {"ca_file": str(theirs.file)}, {"ca_file": str(theirs.file), "username": "watch"}):
            with pytest.raises(ChannelError, match="证书不可信") as refused:
                channel(**stranger).send(replace(MESSAGE, phone="duty@example.org"))
            assert refused.value.failure is Failure.RETRY
        assert server.letters == []
        channel(ca_file=str(ours.file)).send(replace(MESSAGE, phone="duty@example.org"))
        assert [letter["To"] for letter in server.letters] == ["duty@example.org"]
    with pytest.raises(ValueError, match="ca_file"):
        channel(ca_file=str(tmp_path / "none.pem"))


def test_a_webhook_is_a_cloud_event_with_a_standard_signature(sink):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    receipt = open_channel("webhook", ChannelSettings(base_url=f"{sink.url}/hook", token=secret)).send(MESSAGE)
    [posted] = sink.posted
    event = Verifier(secret).verify(posted.body, posted.headers)
    assert receipt.status == "delivered"
    assert (event["specversion"], event["id"], event["type"]) == ("1.0", "notification-7", "cn.archivewatch.notification.raised")
    assert event["data"] == {"number": "483925", "text": TEXT, "level": "critical", "drill": False}
    assert posted.headers["content-type"].startswith("application/cloudevents+json")


@pytest.mark.parametrize(
    ("address", "path"),
    [("wecombot://key-1", "/cgi-bin/webhook/send"), ("dingtalk://token1", "/robot/send"), ("feishu://token1", "/open-apis/bot/v2/hook/token1/")],
)
def test_chats_get_the_text_and_are_not_waited_for(sink, address, path, monkeypatch):
    monkeypatch.setattr("apprise.url.time.sleep", lambda _seconds: pytest.fail("a flood to a chat would hold up what follows"))
    channel = open_channel("chat", ChannelSettings(token=address, base_url=sink.url))
    assert channel.send(MESSAGE).status == "delivered"
    assert sink.posted[0].path.startswith(path)
    assert "烟感告警" in json.dumps(sink.posted[0].json, ensure_ascii=False)
    sink.answers.append((500, {}))
    with pytest.raises(ChannelError) as caught:
        channel.send(MESSAGE)
    assert caught.value.failure is Failure.AMBIGUOUS


def test_news_by_voice_asks_for_no_key_that_takes_over():
    text = "【档案值守】接手：2号点库的湿度过高已有人接手、正在处置，你不必再到场，请保持电话畅通。编号523415"
    assert "编号五二三，四一五。重听按9。本系统" in spoken(text, "523415", reason="taken")
