"""Rosters, hand-over, 派查, tested numbers, load: through the API and the pages; answers by SMS and voice through the provider's signed calls."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from sqlalchemy import select

from server.duty.answers import Answer, read
from server.duty.calendar import Workdays
from server.duty.cards import default_cards
from server.duty.clock import local, midnight
from server.duty.incidents import Incidents
from server.jobs_duty import DutyConditions
from server.notify.channels.twilio_voice import spoken
from server.store.tables import Account, Alarm, CoverageSpan, EscalationStep, Notification, Person, Transition, Unit
from server.store.tables_duty import HandOver, LookItem, PhoneCheck, Roster
from server.store.tables_org import Notice
from simulators.sms_wire import sign
from tests.web.house import COUNTY, OTHER, ROOM, SERVICE_KEY, SISTER, House

URL, TOKEN = "https://watch.example.cn", "provider-token"
PHONE = "+8613900001111"


@pytest.fixture
def duty(house: House):
    object.__setattr__(house.settings, "public_url", URL)
    object.__setattr__(house.settings, "provider_token", TOKEN)
    with house.db.write() as session:
        session.add(Person(id=900, code="d900", name="周夜", phone="13900001111", unit=COUNTY, duty="duty_officer", phone_verified_at=1))
        session.add(Person(id=901, code="d901", name="吴昼", phone="13900002222", unit=COUNTY, duty="", phone_verified_at=None))
        session.get_one(Unit, COUNTY).duty_phone = "0591-87654321"
    house.birth()
    house.calm(ROOM)
    return house


def rows(house, table, *wanted):
    with house.db.read() as session:
        return list(session.scalars(select(table).where(*wanted)))


def posted(house, path, **form):
    client = house.client()
    return client.post(path, data=form, headers={"X-Twilio-Signature": sign(TOKEN, URL + path, form)})


def called(house, alarm, phone=PHONE, person=900, reason="raised"):
    """A message to somebody about an alarm, as the dispatcher writes it."""
    with house.db.write() as session:
        row = session.get_one(Alarm, alarm)
        step = session.scalar(select(EscalationStep).where(EscalationStep.alarm == alarm))
        note = Notification(
            escalation_step=step.id, alarm=alarm, unit=row.unit, reason=reason, step=0, person=person, person_name="周夜", phone=phone,
            channel="twilio_voice", number=row.number, text=f"【档案值守】特急：一号库于10:00烟感告警。编号{row.number}", created_at=house.now,
            due=house.now, state="sent", provider_id=f"CA{alarm}{phone[-4:]}",
        )  # fmt: skip
        session.add(note)
        session.flush()
        return note.id, row.number


def said(answer):
    root = ElementTree.fromstring(answer.text)
    return ["".join(one.itertext()) for one in root.iter() if one.tag in ("Say", "Message")]


def roster(client, **changes):
    body = {"name": "夜班", "starts": "00:00", "minutes": 1440, "anchor": "2026-09-01", "people": ["d900", ["d901", "d900"]]} | changes
    return client.put(f"/api/v1/units/{COUNTY}/rosters", json=body)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 016907", Answer(1, "016907")), ("016 907 去不了", Answer(2, "016907")), ("１", Answer(1)), ("3", Answer(3)), ("我已到场", Answer(3)),
        ("求援016907", Answer(4, "016907")), ("现场无险情", Answer(5)), ("好的", Answer(None)), ("016908", Answer(None)), ("119", Answer(None)),
        ("1 016907 d901", Answer(1, "016907", "d901")), ("去不了 P350102-0017 016907", Answer(2, "016907", "P350102-0017")),
        ("1-016907", Answer(1, "016907")), ("1016907", Answer(1, "016907")), ("4 016907。", Answer(4, "016907")), ("４", Answer(4)),
        (" 1。", Answer(1)), ("1、接手", Answer(1)), ("回1", Answer(1)), ("接手 5分钟后到", Answer(1)), ("到场了，没有险情", Answer(5)),
        ("到场，需要支援", Answer(4)), ("5分钟后到", Answer(None)), ("3楼没人", Answer(None)), ("2 点再看", Answer(None)), ("1.5小时", Answer(None)),
        ("去不了，请别人接手", Answer(2)), ("无法到场", Answer(None)), ("还没到场", Answer(None)), ("不能接手", Answer(None)),
        ("谁来接手？", Answer(None)), ("接手了吗", Answer(None)), ("回1接手2转交", Answer(None)), ("1 去不了", Answer(None)),
        ("2 接手", Answer(None)),
    ],
)  # fmt: skip
def test_replies_are_read(text, answer):
    assert read(text) == answer


def test_a_unit_is_paired_by_a_level_above_both(duty):
    path = f"/api/v1/units/{COUNTY}/pair"
    assert duty.client("duty").put(path, json={"stand_in": SISTER}).status_code == 403
    above = duty.client("province-duty")
    assert above.put(path, json={"stand_in": SISTER}).json() == {"stand_in": SISTER}
    assert (above.get(path).json(), above.put(path, json={"stand_in": COUNTY}).status_code) == ({"stand_in": SISTER}, 409)
    assert above.post("/duty/pair", data={"unit": COUNTY, "stand_in": ""}).status_code == 303
    assert above.get(path).json() == {"stand_in": ""}


def test_a_shift_is_made_on_the_page(duty):
    client = duty.client("duty")
    form = {"unit": COUNTY, "name": "夜班", "role": "duty_officer", "starts": "18:00", "hours": "14", "days": "all", "turn_days": "1",
            "anchor": "2026-09-01", "people": "d900\nd900 d901"}  # fmt: skip
    assert client.post("/duty/roster", data=form).status_code == 303
    [row] = rows(duty, Roster)
    assert (row.people, row.minutes, row.starts_min) == ([[900], [900, 901]], 840, 1080)
    assert client.post("/duty/roster", data=form | {"hours": "many"}).status_code == 422
    with duty.db.read() as session:
        name = session.get_one(Person, 901).name
    assert client.post("/duty/roster", data=form | {"people": f"{name}\nd900"}).status_code == 303  # by name as well
    assert rows(duty, Roster)[0].people == [[901], [900]]
    for nobody in ("没有这个人", " ", "d999"):
        assert client.post("/duty/roster", data=form | {"people": nobody}).status_code == 422
    with duty.db.write() as session:
        session.add(Person(id=990, code="d990", name=name, unit=COUNTY))
    twice = client.post("/duty/roster", data=form | {"people": name})
    assert (twice.status_code, "几个人叫" in twice.text) == (422, True)
    page = client.get("/duty", params={"unit": COUNTY, "shift": "夜班"}).text
    assert "修改班次 夜班" in page
    assert ">d901\nd900</textarea>" in page
    assert client.post("/duty/roster/end", data={"unit": COUNTY, "name": "夜班"}).status_code == 303
    assert client.post("/duty/roster/end", data={"unit": COUNTY, "name": "夜班"}).status_code == 409
    assert duty.client("sister-duty").post("/duty/roster", data=form | {"people": name}).status_code == 403


def test_a_number_is_proven_and_ways_are_ordered_on_the_page_of_the_person(duty):
    client = duty.client("duty")
    assert client.post("/people/901/phone/test").headers["location"] == "/people/901?said=phone_test"
    assert client.post("/people/901/phone/code").status_code == 303
    code = next(note.text for note in rows(duty, Notification) if note.reason == "verify")
    wrong = client.post("/people/901/phone/confirm", data={"code": "000000"})
    assert (wrong.status_code, "验证码不对" in wrong.text) == (409, True)
    digits = re.search(r"\d{6}", code)[0]
    assert client.post("/people/901/phone/confirm", data={"code": f" {digits} "}).headers["location"] == "/people/901?said=phone_confirm"
    assert client.post("/people/901/ways", data={"ways": "voice;sms"}).status_code == 303
    with duty.db.read() as session:
        person = session.get_one(Person, 901)
        assert (person.phone_verified_at, person.ways) == (duty.now, ["voice", "sms"])
    assert "通知方式 — → 语音、短信" in duty.client("audit").get("/audit").text
    page = client.get("/people/901").text
    assert all(word in page for word in ("试发短信", "语音 → 短信", "号码验证 · 待发"))
    assert client.post("/people/901/ways", data={"ways": "pigeon"}).status_code == 422
    assert duty.client("inspector").post("/people/901/phone/test").status_code == 403
    assert "号码与通知方式" not in duty.client("inspector").get("/people/901").text


def test_a_roster_says_who_is_on_duty_and_a_hand_writes_over_a_day(duty):
    client = duty.client("duty")
    assert roster(client).status_code == 200
    today = local(duty.now).date().isoformat()
    [first] = client.get(f"/api/v1/units/{COUNTY}/duty").json()
    shifts = client.get(f"/api/v1/units/{COUNTY}/rosters").json()
    assert first["shift"] == "夜班"
    assert {tuple(shift["people"]) for shift in shifts} == {("d900",), ("d901", "d900")}
    body = {"name": "夜班", "day": today, "people": ["d901"], "why": "换班"}
    assert client.put(f"/api/v1/units/{COUNTY}/rosters/days", json=body).status_code == 200
    assert [one["person"] for one in client.get(f"/api/v1/units/{COUNTY}/duty").json()] == ["吴昼"]
    [gap] = [gap for gap in client.get(f"/api/v1/units/{COUNTY}/duty/gaps").json() if gap["empty"]][:1]
    assert gap["reasons"] == ["unverified"]
    assert roster(client, people=["nobody"]).status_code == 422
    assert client.delete(f"/api/v1/units/{COUNTY}/rosters", params={"name": "夜班"}).status_code == 200
    assert client.get(f"/api/v1/units/{COUNTY}/duty").json() == []


def test_every_alarm_says_who_is_on_duty(duty):
    alarm = duty.smoke(ROOM)
    client = duty.client("duty")
    assert client.get(f"/api/v1/alarms/{alarm}").json()["on_duty"] == ["周夜"]
    page = client.get(f"/alarms/{alarm}").text
    assert "周夜" in page
    assert "周夜" in page.partition("接下来（没有新的答复时）")[2], "who will be called when nobody answers"
    roster(client, people=["d901"])
    assert client.get(f"/api/v1/alarms/{alarm}").json()["on_duty"] == ["吴昼"]


def test_a_hand_over_needs_two_people_and_shows_a_change(duty):
    alarm = duty.smoke(ROOM)
    client, other = duty.client("duty"), duty.client("in_charge")
    given = client.post(f"/api/v1/units/{COUNTY}/hand-overs", json={"remark": "一号库烟感待查"}).json()
    assert [row["id"] for row in given["body"]["open"]] == [alarm]
    assert given["body"]["counts"] == {name: len(given["body"][name]) for name in ("alarms", "open", "actions")}
    assert (given["intact"], given["taken_at"]) == (True, None)
    assert client.post(f"/api/v1/units/{COUNTY}/hand-overs", json={}).status_code == 409
    assert client.post(f"/api/v1/units/{COUNTY}/hand-overs/take").status_code == 409  # the same account
    pages = [each.get("/duty/hand-over", params={"unit": COUNTY}).text for each in (client, other)]
    assert ["接班签名</button>" in page for page in pages] == [False, True], "no button that leads to a refusal"
    signing = pages[1].partition("等待接班签名")[2].partition("<section")[0]
    assert "烟感告警" in signing, "whoever signs sees what he signs"
    assert "一号库房" in signing
    assert other.post(f"/api/v1/units/{COUNTY}/hand-overs/take").json()["intact"]
    past = client.get("/duty/hand-over", params={"unit": COUNTY}).text.partition("以往记录")[2]
    assert "烟感告警" in past.partition("<details>")[2], "and everybody afterwards what was signed"
    with duty.db.write() as session:
        sheet = session.scalar(select(HandOver))
        sheet.body = sheet.body | {"open": []}
    assert not client.get(f"/api/v1/units/{COUNTY}/hand-overs").json()[0]["intact"]
    assert "一号库烟感待查" in client.get("/duty/hand-over", params={"unit": COUNTY}).text


def test_a_reply_by_sms_from_a_tested_number_takes_over(duty):
    alarm = duty.smoke(ROOM)
    _, number = called(duty, alarm)
    answer = posted(duty, "/callbacks/sms/inbound", MessageSid="SM1", From=PHONE, Body=f"1 {number}")
    assert said(answer) == ["已记录：接手，请马上处置。"]
    [row] = rows(duty, Alarm, Alarm.id == alarm)
    assert (row.state, row.acked_by) == ("active_acked", "周夜")
    assert [t.person for t in rows(duty, Transition, Transition.name == "acknowledged")] == [900]
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM1", From=PHONE, Body=f"1 {number}")) == []
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM2", From=PHONE, Body="3")) == ["已记录：到场。"]


def test_a_number_that_was_not_tested_has_only_seen_it(duty):
    alarm = duty.smoke(ROOM)
    _, number = called(duty, alarm, phone="+8613900002222", person=901)
    answer = posted(duty, "/callbacks/sms/inbound", MessageSid="SM3", From="+8613900002222", Body=f"1 {number}")
    assert said(answer)[0].startswith("已看到。")
    assert [row.state for row in rows(duty, Alarm, Alarm.id == alarm)] == ["active_unacked"]
    assert [t.name for t in rows(duty, Transition, Transition.alarm == alarm)][-1] == "seen"


def test_a_reply_without_a_number_means_the_only_open_alarm(duty):
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM4", From=PHONE, Body="1")) == ["没有需要答复的告警。"]
    called(duty, duty.smoke(ROOM))
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM5", From=PHONE, Body="嗯"))[0].startswith("没有听懂")
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM6", From=PHONE, Body="去不了")) == ["已记录：已转给下一位。"]


def test_the_keys_of_a_call_answer_and_nine_reads_again(duty):
    alarm = duty.smoke(ROOM)
    note, number = called(duty, alarm, phone="+8659187654321", person=None)
    path = f"/callbacks/voice/{note}"
    again = posted(duty, path, CallSid="CA1", To="+8659187654321", Digits="9")
    assert said(again) == [spoken(f"【档案值守】特急：一号库于10:00烟感告警。编号{number}", number)] * 2
    assert 'action="https://watch.example.cn/callbacks/voice/' in again.text
    assert said(posted(duty, path, CallSid="CA1", To="+8659187654321", Digits="8"))[0].startswith("没有听懂")
    assert said(posted(duty, path, CallSid="CA1", To="+8659187654321", Digits="1"))[0] == "已记录：接手，请马上处置。"
    assert rows(duty, Alarm, Alarm.id == alarm)[0].acked_by.endswith("值班室")
    assert said(posted(duty, path, CallSid="CA9", To="+8613900002222", Digits="1"))[0] == "没有需要答复的告警。"
    status = posted(duty, "/callbacks/voice/status", CallSid=f"CA{alarm}4321", CallStatus="completed")
    assert status.status_code == 204
    assert [row.receipt for row in rows(duty, Notification, Notification.id == note)] == ["delivered"]


def test_a_forged_call_is_refused(duty):
    form = {"CallSid": "CA1", "To": PHONE, "Digits": "1"}
    answer = duty.client().post("/callbacks/voice/1", data=form, headers={"X-Twilio-Signature": "forged"})
    assert answer.status_code == 403


def test_one_click_sends_somebody_to_look_and_answers_fill_the_list(duty):
    client = duty.client("duty")
    look = client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [ROOM], "note": "台风后"}).json()
    assert look["counts"] == {"waiting": 1, "normal": 0, "problem": 0, "unreachable": 0, "unanswered": 0}
    [note] = rows(duty, Notification, Notification.reason == "look")
    assert (note.channel, note.phone, note.alarm) == ("voice", "+8659187654321", None)
    assert note.text.startswith("【档案值守】派查：请马上派人到")
    answer = posted(duty, f"/callbacks/voice/{note.id}", CallSid="CA1", To=note.phone, Digits="1")
    assert said(answer)[0] == "已记录：平安。谢谢。"
    [item] = rows(duty, LookItem)
    assert (item.state, item.via, item.proven) == ("normal", "voice", True)
    assert "平安 1" in client.get("/duty/looks", params={"unit": COUNTY}).text
    body = {"room": ROOM, "answer": "problem", "person": "王工"}
    assert client.post(f"/api/v1/units/{COUNTY}/looks/{look['number']}/answers", json=body).status_code == 200
    assert rows(duty, LookItem)[0].answered_by.startswith("王工（")
    assert client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": ["350199000000-01"]}).status_code == 422
    assert len(rows(duty, CoverageSpan)) > 0


def replied(house, phone, text, sid):
    return said(posted(house, "/callbacks/sms/inbound", MessageSid=sid, From=phone, Body=text))[0]


def test_a_reply_that_could_mean_an_alarm_or_a_call_to_look_is_asked_for_its_number(duty):
    """Yesterday's 派查 was never answered; tonight 1 is 接手 of smoke and not 平安 of another room."""
    desk = "+8613900003333"
    with duty.db.write() as session:
        session.get_one(Unit, COUNTY).duty_phone = desk
    duty.client("duty").post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [OTHER]})
    duty.tell(duty.smoke())
    [alarm] = rows(duty, Alarm, Alarm.rule == "smoke")
    called(duty, alarm.id, phone=desk, person=None)
    assert replied(duty, desk, "1", "SM1").startswith("你有几件事等着答复，请加上短信末尾的编号")
    assert (rows(duty, LookItem)[0].state, rows(duty, Alarm)[0].state) == ("waiting", "active_unacked")
    assert replied(duty, desk, f"1{alarm.number}", "SM2").startswith("已记录：接手")
    assert replied(duty, desk, f"1 {rows(duty, LookItem)[0].number}", "SM3").startswith("已记录：平安")
    assert rows(duty, Alarm)[0].state == "active_acked"


def test_of_two_who_share_a_telephone_the_proven_one_has_answered_and_of_those_who_was_called(duty):
    with duty.db.write() as session:
        session.add(Person(id=899, code="d899", name="旧人", phone="13900001111", unit=COUNTY))
        session.add(Person(id=902, code="d902", name="郑替", phone="+8613900001111", unit=COUNTY, phone_verified_at=1))
    duty.tell(duty.smoke())
    [alarm] = rows(duty, Alarm, Alarm.rule == "smoke")
    called(duty, alarm.id, person=902)
    assert replied(duty, PHONE, "接手", "SM1").startswith("已记录：接手")
    assert rows(duty, Alarm)[0].acked_by == "郑替"


def test_a_key_that_comes_after_the_end_is_answered_with_a_sentence(duty):
    duty.tell(duty.smoke())
    [alarm] = rows(duty, Alarm, Alarm.rule == "smoke")
    note, _ = called(duty, alarm.id, phone="+8613900004444", person=None)
    with duty.db.write() as session:
        session.get_one(Alarm, alarm.id).closed_at = duty.now
    answer = posted(duty, f"/callbacks/voice/{note}", CallSid="CA1", To="+8613900004444", Digits="1")
    assert (answer.status_code, said(answer)[0]) == (200, "没有这条告警，或已经办结。")


def test_a_number_is_proven_by_its_code(duty, monkeypatch):
    monkeypatch.setattr("server.duty.phones.secrets.randbelow", lambda _most: 4711)
    client = duty.client("duty")
    assert client.post("/api/v1/people/d901/phone/code").status_code == 200
    [note] = rows(duty, Notification, Notification.reason == "verify")
    assert "验证码004711" in note.text
    assert client.post("/api/v1/people/d901/phone/confirm", json={"code": "000000"}).status_code == 409
    assert [check.attempts for check in rows(duty, PhoneCheck)] == [1]
    assert client.post("/api/v1/people/d901/phone/confirm", json={"code": "004711"}).status_code == 200
    assert rows(duty, Person, Person.id == 901)[0].phone_verified_at == duty.now
    assert client.post("/api/v1/people/d901/phone/confirm", json={"code": "004711"}).status_code == 409
    assert client.post("/api/v1/people/d901/phone/test").status_code == 200
    assert rows(duty, Notification, Notification.reason == "test")[0].text.startswith("【档案值守】试发：")


def test_a_persons_own_order_of_ways(duty):
    client = duty.client("duty")
    assert client.put("/api/v1/people/d901/ways", json={"ways": ["voice", "sms"]}).status_code == 200
    assert rows(duty, Person, Person.id == 901)[0].ways == ["voice", "sms"]
    assert client.get("/api/v1/people/901").json()["ways"] == ["voice", "sms"]
    assert client.put("/api/v1/people/d901/ways", json={"ways": ["email"]}).status_code == 409, "no mailbox is known"
    assert client.put("/api/v1/people/d901/ways", json={"ways": ["sms", "sms"]}).status_code == 422


def test_the_load_of_people_and_the_pages(duty):
    alarm = duty.smoke(ROOM)
    note, _ = called(duty, alarm)
    with duty.db.write() as session:
        session.get_one(Notification, note).sent_at = duty.now - 1000
    client = duty.client("duty")
    since = datetime.fromtimestamp(duty.now / 1000 - 86_400, UTC).isoformat()
    load = client.get(f"/api/v1/units/{COUNTY}/duty/load", params={"from": since}).json()
    assert (load["alarms"], load["people"][0]["name"], load["people"][0]["messages"]) == (0, "周夜", 1) or load["alarms"] >= 1
    roster(client)
    for path in ("/duty", "/duty?period=2026-10", "/duty/hand-over", "/duty/load", "/duty/looks", "/texts"):
        assert client.get(path).status_code == 200, path
    month = client.get("/duty?period=2026-10").text.partition("<thead>")[2].partition("</thead>")[0]
    marked = dict(re.findall(r">(\d+)<small[^>]*>(\w)</small>", month))
    assert marked == {**dict.fromkeys(("1", "2", "5", "6", "7"), "休"), "10": "班"}, "of the national day's week, and its Saturday"
    assert client.get("/duty", params={"period": "2026-99"}).status_code == 422
    assert {text["segments"] for text in client.get("/api/v1/texts").json()} == {1}
    form = {"unit": COUNTY, "name": "夜班", "day": local(duty.now).date().isoformat(), "people": "d901", "note": "换"}
    assert client.post("/duty/day", data=form).status_code == 303
    assert "吴昼" in client.get("/duty").text


def test_a_text_and_the_call_to_it_wake_somebody_once(duty):
    duty.tell(duty.smoke())
    two = midnight(local(duty.now).date()) + 2 * 3_600_000
    [alarm] = [row.id for row in rows(duty, Alarm, Alarm.rule == "smoke")]
    with duty.db.write() as session:
        for at, channel in ((two, "sms"), (two + 20_000, "voice"), (two + 3_600_000, "voice"), (two + 12 * 3_600_000, "sms")):
            session.add(
                Notification(
                    alarm=alarm, unit=COUNTY, reason="raised", step=0, person=900, person_name="周夜", phone=PHONE, channel=channel, number="1",
                    text="", created_at=at, due=at, sent_at=at, state="sent",
                )
            )  # fmt: skip
    asked = {"from": datetime.fromtimestamp(two / 1000 - 7_200, UTC).isoformat(), "to": datetime.fromtimestamp(two / 1000 + 80_000, UTC).isoformat()}
    load = duty.client("duty").get(f"/api/v1/units/{COUNTY}/duty/load", params=asked).json()
    [person] = [one for one in load["people"] if one["name"] == "周夜"]
    assert (person["messages"], person["night_calls"], person["nights"]) == (4, 2, 1)


def alarms_of(duty, alarm):
    return duty.client("duty").get(f"/api/v1/alarms/{alarm}").json()


def test_the_desk_takes_over_for_one_of_the_called_with_two_clicks(duty):
    alarm = duty.smoke()
    called(duty, alarm)
    client = duty.client("duty")
    dialog = client.get(f"/alarms/{alarm}/dialog/acknowledge").text
    assert '<button type="submit" name="behalf" value="周夜">' in dialog
    form = {"behalf": "周夜", "on_behalf_of": ""}
    assert client.post(f"/alarms/{alarm}/acknowledge", data=form).status_code == 303
    [change] = rows(duty, Transition, Transition.alarm == alarm, Transition.name == "acknowledged")
    assert (change.by, change.person) == ("周夜（陈值班代为接手）", 900)


def test_a_second_answer_is_kept_and_shown_and_names_nobody_in_a_message(duty):
    alarm = duty.smoke()
    _, number = called(duty, alarm)
    duty.client("duty").post(f"/api/v1/alarms/{alarm}/acknowledge", json={})
    answer = posted(duty, "/callbacks/sms/inbound", MessageSid="SM77", From=PHONE, Body=f"1 {number}")
    assert said(answer) == ["已有人接手，或告警已变化。你的答复已记录，请致电值班室。"]
    assert alarms_of(duty, alarm)["also_answered"] == ["周夜"]
    assert "另有人答复接手" in duty.client("duty").get(f"/alarms/{alarm}").text
    [second] = rows(duty, Transition, Transition.name == "also_acknowledged")
    assert second.person == 900


@pytest.mark.parametrize(("path", "name"), [("no-danger", "no_danger"), ("progress", "progress"), ("assist", "assist"), ("decline", "decline")])
def test_every_answer_says_whose_it_is(duty, path, name):
    alarm = duty.smoke()
    called(duty, alarm)
    with duty.db.write() as session:
        session.query(Account).filter_by(login="duty").one().person = 901
    client = duty.client("duty")
    for body in ({}, {"on_behalf_of": "周夜", "note": "电话"}, {"code": "d901", "via": "voice"}, {"on_behalf_of": "路人"}):
        assert client.post(f"/api/v1/alarms/{alarm}/{path}", json=body).status_code == 200
    found = rows(duty, Transition, Transition.alarm == alarm, Transition.name == name)
    assert [(row.by, row.person, row.via) for row in found] == [
        ("陈值班", 901, "api"), ("周夜（陈值班代为答复）", 900, "api"),
        ("吴昼（陈值班代为答复）", 901, "voice"), ("路人（陈值班代为答复）", None, "api"),
    ]  # fmt: skip
    assert client.post(f"/api/v1/alarms/{alarm}/{path}", json={"code": "nobody"}).status_code == 422


def test_no_danger_on_the_page_proposes_a_false_alarm(duty):
    alarm = duty.smoke()
    client = duty.client("duty")
    Incidents(duty.db, duty.store, default_cards(), lambda _alarm, _sentence: None).run_once(duty.now)
    assert client.post(f"/alarms/{alarm}/no-danger", data={"note": "灰尘"}).status_code == 303
    incident = alarms_of(duty, alarm)["incident"]
    assert 'value="false_alarm" required checked' in client.get(f"/incidents/{incident}").text


def test_the_answer_to_a_test_message_proves_the_number(duty):
    client = duty.client("duty")
    assert client.post("/api/v1/people/d901/phone/test").status_code == 200
    [note] = rows(duty, Notification, Notification.reason == "test")
    phone = note.phone
    inbound = {"From": phone, "Body": f"1 {note.number}"}
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM90", **inbound)) == ["没有需要答复的告警。"], "it has not left yet"
    with duty.db.write() as session:
        session.get_one(Notification, note.id).sent_at = duty.now
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM91", **(inbound | {"From": PHONE}))) == ["没有需要答复的告警。"]
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM92", **inbound)) == ["已记录：收到试发短信，号码已验证。"]
    assert rows(duty, Person, Person.id == 901)[0].phone_verified_at == duty.now


@pytest.mark.parametrize("by", ["sms", "desk"])
def test_who_has_it_and_cannot_go_gives_it_back_by_whatever_way(duty, by):
    alarm = duty.smoke()
    _, number = called(duty, alarm)
    client = duty.client("duty")
    assert client.post(f"/alarms/{alarm}/acknowledge", data={"behalf": "周夜"}).status_code == 303
    assert alarms_of(duty, alarm)["state"] == "active_acked"
    if by == "sms":
        assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM60", From=PHONE, Body=f"2 {number}")) == ["已记录：已转给下一位。"]
    else:
        assert client.post(f"/alarms/{alarm}/decline", data={"behalf": "周夜"}).status_code == 303
    assert alarms_of(duty, alarm)["state"] == "active_unacked", "nobody has it any more: everybody is asked anew"


def test_somebody_else_who_cannot_go_takes_nothing_from_who_has_it(duty):
    alarm = duty.smoke()
    _, number = called(duty, alarm)
    duty.client("duty").post(f"/api/v1/alarms/{alarm}/acknowledge", json={})
    posted(duty, "/callbacks/sms/inbound", MessageSid="SM61", From=PHONE, Body=f"2 {number}")
    assert alarms_of(duty, alarm)["acked_by"] == "陈值班"


@pytest.mark.parametrize(("digit", "name"), [(3, "progress"), (5, "no_danger")])
def test_who_stands_at_the_door_has_it_and_the_others_are_not_called_any_more(duty, digit, name):
    alarm = duty.smoke()
    _, number = called(duty, alarm)
    posted(duty, "/callbacks/sms/inbound", MessageSid=f"SM7{digit}", From=PHONE, Body=f"{digit} {number}")
    assert alarms_of(duty, alarm)["acked_by"] == "周夜"
    names = [change.name for change in rows(duty, Transition, Transition.alarm == alarm)]
    assert names[-2:] == [name, "acknowledged"]
    steps = rows(duty, EscalationStep, EscalationStep.alarm == alarm)
    assert {step.state for step in steps if step.reason == "raised"} == {"cancelled"}
    assert [step.reason for step in steps if step.state == "pending"] == ["taken"], "those who were called are told"


def test_an_own_code_counts_from_any_telephone_only_for_who_was_called(duty):
    alarm = duty.smoke()
    _, number = called(duty, alarm)
    strange = "+8613700003333"
    answer = posted(duty, "/callbacks/sms/inbound", MessageSid="SM80", From=strange, Body=f"1 {number} d901")
    assert said(answer) == ["没有需要答复的告警。"], "d901 was not called"
    assert said(posted(duty, "/callbacks/sms/inbound", MessageSid="SM81", From=strange, Body=f"1 {number} d900")) == ["已记录：接手，请马上处置。"]
    [change] = rows(duty, Transition, Transition.alarm == alarm, Transition.name == "acknowledged")
    assert (change.by, change.person, change.via) == ("周夜", 900, "sms")


@pytest.mark.parametrize("path", ["acknowledge", "decline", "progress", "assist", "no-danger"])
def test_what_came_by_telephone_without_a_code_was_only_seen(duty, path):
    alarm = duty.smoke()
    client = duty.client()
    client.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    answer = client.post(f"/api/v1/alarms/{alarm}/{path}", json={"via": "voice", "on_behalf_of": "周夜"})
    assert (answer.status_code, answer.json()["state"]) == (200, "active_unacked")
    assert answer.json()["sentence"].startswith("已看到。")
    assert [change.name for change in rows(duty, Transition, Transition.alarm == alarm)] == ["raised", "seen"]
    assert client.post(f"/api/v1/alarms/{alarm}/{path}", json={"via": "voice", "code": "d900"}).status_code == 200
    assert [change.person for change in rows(duty, Transition, Transition.alarm == alarm)][2] == 900


def test_rooms_of_one_telephone_are_asked_about_in_one_call(duty):
    client = duty.client("duty")
    look = client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [ROOM, OTHER]}).json()
    [note] = rows(duty, Notification, Notification.reason == "look")
    assert "等2间" in note.text
    assert len({item["number"] for item in look["items"]}) == 1
    assert said(posted(duty, f"/callbacks/voice/{note.id}", CallSid="CA1", To=note.phone, Digits="1"))[0] == "已记录：平安。谢谢。"
    assert {item.state for item in rows(duty, LookItem)} == {"normal"}
    body = {"room": OTHER, "answer": "problem", "person": "王工"}
    client.post(f"/api/v1/units/{COUNTY}/looks/{look['number']}/answers", json=body)
    assert {item.room: item.state for item in rows(duty, LookItem)} == {ROOM: "normal", OTHER: "problem"}, "the desk answers for one room"


def test_a_call_to_look_that_nobody_took_stands_with_those_who_cannot_be_reached(duty):
    client = duty.client("duty")
    client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [ROOM]})
    with duty.db.write() as session:
        session.scalar(select(Notification).where(Notification.reason == "look")).state = "undelivered"
    [look] = client.get(f"/api/v1/units/{COUNTY}/looks").json()
    assert look["counts"] == {"waiting": 0, "normal": 0, "problem": 0, "unreachable": 1, "unanswered": 0}
    assert "联系不上 1" in client.get("/duty/looks", params={"unit": COUNTY}).text


def test_whoever_does_not_answer_is_called_once_more_and_then_stands_as_unanswered_with_a_notice(duty):
    client, job = duty.client("duty"), DutyConditions(duty.db, Workdays(), (), lambda _told: None)
    client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [ROOM, OTHER]})
    begun = duty.now

    def later(minutes):
        duty.now = begun + minutes * 60_000
        job.ask_again(duty.now)
        calls = rows(duty, Notification, Notification.reason == "look")
        with duty.db.write() as session:
            for row in session.scalars(select(Notification).where(Notification.state == "queued")):
                row.state, row.sent_at = "delivered", duty.now
        [look] = client.get(f"/api/v1/units/{COUNTY}/looks").json()
        return len(calls), look["counts"]["waiting"], look["counts"]["unanswered"], len(rows(duty, Notice, Notice.open_key.is_not(None)))

    assert [later(at) for at in (0, 14, 15, 16, 29, 30, 31)] == [(1, 2, 0, 0)] * 2 + [(2, 2, 0, 0)] * 3 + [(2, 0, 2, 1)] * 2
    first, second = rows(duty, Notification, Notification.reason == "look")
    assert (first.text, first.phone, first.channel) == (second.text, second.phone, second.channel)
    assert "未答复 2" in client.get("/duty/looks", params={"unit": COUNTY}).text
    assert "陈值班的派查有 2 间没有答复" in client.get("/notices").text
    answer = posted(duty, f"/callbacks/voice/{second.id}", CallSid="CA2", To=second.phone, Digits="1")
    assert said(answer)[0] == "已记录：平安。谢谢。"
    assert later(32) == (2, 0, 0, 0), "a late answer counts, and the notice goes"


def test_nobody_is_called_about_a_call_to_look_of_yesterday(duty):
    client, job = duty.client("duty"), DutyConditions(duty.db, Workdays(), (), lambda _told: None)
    client.post(f"/api/v1/units/{COUNTY}/looks", json={"rooms": [ROOM]})
    with duty.db.write() as session:
        session.scalar(select(Notification).where(Notification.reason == "look")).state = "undelivered"
    assert job.ask_again(duty.now + 86_400_000) == 1
    assert len(rows(duty, Notification, Notification.reason == "look")) == 1
    assert [item.state for item in rows(duty, LookItem)] == ["unreachable"]


def test_everybody_chooses_his_own_order_of_ways_and_a_form_or_a_list_sets_anybodys(duty):
    client = duty.client("duty")
    with duty.db.write() as session:
        account = session.scalars(select(Account).where(Account.login == "duty")).one()
        account.person = 901
    assert '<option value="voice;sms">' in client.get("/me").text
    assert client.post("/me/ways", data={"ways": "voice;sms"}).status_code == 303
    assert rows(duty, Person, Person.id == 901)[0].ways == ["voice", "sms"]
    assert '<option value="voice;sms" selected>' in client.get("/me").text
    assert client.post("/me/ways", data={"ways": "email;sms"}).status_code == 409, "no mailbox is known"
    assert client.post("/me/ways", data={"ways": "sms;sms"}).status_code == 422
    assert "语音 → 短信" in client.get("/people/901").text
    assert client.post("/me/ways", data={"ways": ""}).status_code == 303
    assert rows(duty, Person, Person.id == 901)[0].ways == []
