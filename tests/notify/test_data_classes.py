"""Holdings, plans, stills, names of persons and words of units never leave by SMS, call, e-mail or chat, whatever is in the database."""

import itertools
import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

from server.duty import looks, phones
from server.duty.escalation import default_escalation
from server.duty.words import place
from server.notify.channels import CHANNELS, ChannelSettings, Message, open_channel
from server.notify.channels.twilio_voice import spoken
from server.notify.dispatch import Dispatcher
from server.notify.lines import Broadcast
from server.notify.texts import AlarmFacts, default_texts, segments
from server.store.tables import Alarm, Person, Room, Unit
from server.store.tables_org import Holding
from simulators.http_sink import HttpSink
from simulators.modem import SimulatedModem
from simulators.smtp_server import MailServer
from tests.notify.conftest import SENDER, Line, beijing

SECRETS = ("王仓", "李班", "公安", "派出所", "鼓楼分局", "绝密全宗", "平面图", "http://x.cn/a.jpg", "13800000001", "1号库房")
HOSTILE = "鼓楼\n库😀http://evil.cn/{地点}编号999999' OR 1=1--"


def test_every_template_filled_with_hostile_data_stays_one_message_without_a_link_or_a_line_break():
    texts = default_texts()
    facts = AlarmFacts(
        level="urgent", rule="humidity_high", kind="threshold", quantity="humidity", place=HOSTILE, number="483925", at=0, since=0, value=1e12,
        minutes=10**9, time="23:41", post="值班员", count=10**9, over=10**9,
    )  # fmt: skip
    said = [texts.follow_up(key, facts) for key in texts.follow if key not in ("look", "test", "verify")]
    # These three follow no alarm, and take no more of the database than a place.
    marks = {"look": {"place": place(HOSTILE, 9)}, "test": {}, "verify": {"code": "000000"}}
    said += [texts.with_marks(key, *more, "number").format(**more, number="483925") for key, more in marks.items()]
    rules = [(choice.when.rule or ("x",), choice.when.kind or ("threshold",), choice.when.quantity or ("humidity",)) for choice in texts.choose]
    cells = [cell for parts in rules for cell in itertools.product(*parts)]
    for (rule, kind, quantity), drill, figures in itertools.product(cells, (False, True), ({}, {"value": 63.2, "minutes": 90, "backup_minutes": 90})):
        about = {"rule": rule.replace("*", ""), "kind": kind.replace("*", "state"), "quantity": quantity.replace("*", "smoke")}
        said.append(texts.first(replace(facts, **about, drill=drill, **figures), reply_hint=True))
    reached = {texts.recognise(text)[0] for text in said}
    # S16 is said by gateways alone, with places of their own.
    assert set(texts.texts) - reached == {"S16"}
    for text in said:
        assert segments(text) == 1, text
        assert not any(bad in text for bad in ("://", ".cn", "\n", "😀", "{", "}", "'", "=")), text
        assert text.endswith("编号483925")
        assert "://" not in spoken(text, "483925")


@contextmanager
def counterpart(kind, sms, folder):
    """The settings of a channel of this kind, and what has left through it so far. Whoever adds a kind adds its counterpart, or this fails."""
    provider = {"account_sid": sms.account, "token": sms.token, "sender": SENDER, "base_url": sms.url}
    outbox = folder / "left.jsonl"
    with HttpSink() as sink, MailServer() as mail, SimulatedModem() as modem:

        def posted():
            return [one.body.decode() for one in sink.posted]

        known = {
            "twilio": (provider, lambda: [one["body"] for one in sms.messages()]),
            "twilio_voice": (provider, lambda: [str(one["said"]) for one in sms.calls()]),
            "outbox_file": ({"outbox": outbox}, lambda: [json.loads(line)["text"] for line in outbox.read_text("utf-8").splitlines()]),
            "http": ({"base_url": sink.url, "token": "t"}, lambda: [one.json["text"] for one in sink.posted]),
            "modem": ({"options": {"port": modem.port}}, lambda: [one.text for one in modem.sent]),
            "email": (
                {"sender": "aw@example.org", "options": {"host": mail.host, "port": str(mail.port)}},
                lambda: [f"{one['Subject']} {one.get_content()}" for one in mail.letters],
            ),
            "webhook": ({"base_url": f"{sink.url}/hook"}, posted),
            "chat": ({"token": "dingtalk://token1", "base_url": sink.url}, posted),
            "siren": ({"base_url": sink.url}, posted),
            "screen": ({}, list),  # shows the row itself, which is looked at as well
        }
        assert set(known) == set(CHANNELS)
        settings, left = known[kind]
        yield open_channel(kind, ChannelSettings(name=kind, **settings)), left


@pytest.mark.parametrize("kind", CHANNELS)
def test_nothing_that_is_kept_inside_leaves_by_any_channel(desk, sms, channel, tmp_path, kind):
    with desk.db.write() as session:
        session.get_one(Unit, desk.STATION).name = "福州市公安局鼓楼分局东街派出所"
        session.get_one(Unit, desk.COUNTY).duty_phone = "0591-87654321"
        session.get_one(Room, desk.ROOM).name = "1号库房"
        session.add(Holding(room=desk.ROOM, fonds="J001", name="绝密全宗"))
        session.get_one(Person, 1).email = "wang@example.org"
    with counterpart(kind, sms, tmp_path) as (one, left):
        groups = [] if one.abilities.way in ("sms", "voice") else [Broadcast(channel=kind, address="desk@example.org", name=kind)]
        made = Dispatcher(desk.db, [one] if one.abilities.way == "sms" else [channel, one], default_escalation(), broadcasts=groups)
        line = Line(desk, sms, made, channel)
        alarm = desk.annunciate(level="critical", note="王仓：绝密全宗在3号架，见平面图")
        line.run(16, every_s=60)
        desk.acknowledge(alarm, by="李班（王仓代为接手）")
        line.run(1)
        desk.set(Alarm, alarm, note="http://x.cn/a.jpg")
        desk.clear(alarm)
        line.run(1)
        made.close()
        texts = [*left(), *(note.text for note in desk.notes(alarm) if note.channel == one.name)]
    assert len(texts) >= 2
    assert left() or kind == "screen"
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text], text


DAMP = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 78.0}
UNIT = {"room": None, "quantity": "", "kind": "state"}


def test_digests_drills_calls_to_look_outages_groups_and_tests_say_nothing_of_it_either(desk, sms, channel):
    """Every short name, place, name and note is hostile; what is said by text and by voice, and by letter with its subject."""
    with desk.db.write() as session:
        for code, short in ((desk.PROVINCE, "公安厅"), (desk.CITY, "市公安局"), (desk.COUNTY, "鼓楼分局"), (desk.STATION, "派出所")):
            session.get_one(Unit, code).short_name = short
        session.get_one(Unit, desk.STATION).duty_phone = "0591-87654321"
        rooms = [session.get_one(Room, desk.ROOM)]
        rooms += [Room(code=f"{desk.STATION}-0{n}", unit=desk.STATION, name="1号库房", short_name="1号库", sms_place="", person=1) for n in (2, 3)]
        session.add_all(rooms[1:])
        for room, place_ in zip(rooms, ("公安分局01", "x.cn/派出所", "公派出所安\n02"), strict=True):
            room.name, room.sms_place = "绝密全宗1号库房", place_
        session.add(Holding(room=desk.ROOM, fonds="J001", name="绝密全宗"))
        codes = [room.code for room in rooms]
    with MailServer() as mail:
        provider = {"account_sid": sms.account, "token": sms.token, "sender": SENDER, "base_url": sms.url}
        channels = [channel, open_channel("twilio_voice", ChannelSettings(**provider))]
        channels.append(open_channel("email", ChannelSettings(sender="aw@example.org", options={"host": mail.host, "port": str(mail.port)})))
        group = Broadcast(channel="email", address="desk@example.org", name="email")
        line = Line(desk, sms, Dispatcher(desk.db, channels, default_escalation(), broadcasts=[group]), channel)
        desk.now = beijing("2026-11-24 02:00")
        for code in codes:
            desk.annunciate(**DAMP, room=code, note="王仓：绝密全宗，见平面图 http://x.cn/a.jpg")
        over = desk.annunciate(**DAMP, key="over")
        line.run(5, every_s=60)
        desk.clear(over)
        for told in (
            {"rule": "channel_outage"},
            {"rule": "duty_vacancy", "note": "18:00 王仓请假"},
            {"rule": "centre_fault"},
            {"rule": "emergency_access"},
        ):
            desk.annunciate(**UNIT, **told, level="urgent", key=told["rule"])
        desk.annunciate(**UNIT | {"kind": "group"}, rule="group_offline", value=2.0, level="urgent")
        desk.annunciate(drill=True, key="drill", note="李班的演练")
        taken = desk.annunciate(key="taken")
        line.run(3, every_s=20)
        desk.acknowledge(taken, by="李班（王仓代为接手）")
        desk.assist(taken)
        desk.now = beijing("2026-11-24 07:29")
        line.run(11, every_s=600)
        with desk.db.write() as session:
            text, test = default_texts().with_marks("look", "place", "number"), default_texts().with_marks("test", "number")
            rooms = [session.get_one(Room, code) for code in codes]
            looks.order(session, desk.COUNTY, rooms, "王仓", "绝密全宗", desk.now, text=text, sms="sms", voice="voice")
            session.get_one(Unit, desk.STATION).duty_phone = None
            looks.order(session, desk.COUNTY, rooms[1:2], "王仓", "绝密全宗", desk.now, text=text, sms="sms", voice="")
            phones.send_test(session, session.get_one(Person, 2), sms="sms", voice="voice", text=test, by="王仓", now=desk.now)
        line.run(1)
        line.dispatcher.close()
        letters = [f"{one['Subject']} {one.get_content()}" for one in mail.letters]
    heard = [one["body"] for one in sms.messages()], [str(one["said"]) for one in sms.calls()], letters
    said = [text for texts in heard for text in texts]
    kinds = ("晨报", "演练", "派查", "试发", "通知通道", "值班无人", "中心故障", "应急授权", "同时离线", "上报", "求援", "接手")
    assert not [kind for kind in kinds if not any(kind in text for text in said)]
    assert all(heard)
    for text in said:
        assert not [secret for secret in (*SECRETS, "分局", "x.cn", "://") if secret in text], text


def test_a_letter_carries_the_text_and_nothing_else():
    mail = open_channel("email", ChannelSettings(sender="aw@example.org"))
    text = "【档案值守】特急：鼓楼东街01库于23:41烟感告警。编号483925"
    letter = mail._letter(Message(id=1, phone="a@example.org", text=text, number="483925", since=0, validity_s=1))
    assert letter.get_content().strip() == text
    assert text.startswith(str(letter["Subject"]).split("。")[0][:10])
