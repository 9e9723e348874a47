"""A form that cannot be taken comes back with what was typed, in words, and beside each field what is wrong with it."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from starlette.datastructures import FormData
from starlette.testclient import TestClient

from tests.web.house import COUNTY, GATEWAY, PASSWORD, ROOM, House
from tests.web.walk_examples import Place
from tests.web.walk_routes import Route, content, routes, targets

HTML = {"accept": "text/html"}


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 422, answer.text
    return answer.text[answer.text.index("<main") :]


@pytest.fixture
def charge(shared_house: House) -> TestClient:
    return shared_house.client("in_charge")


def test_what_was_chosen_comes_back_in_words_and_a_wrong_choice_as_a_list(charge: TestClient) -> None:
    form = {
        "rule": "humidity_high",
        "room": ROOM,
        "unit": "",
        "level": "urgent",
        "limit": "x",
        "minutes": "",
        "why": "汛期",
        "until": "",
        "act": "save",
    }
    page = refused(charge.post("/limits", data=form, headers=HTML))
    assert "<small>级别</small> <bdi>紧急</bdi>" in page
    assert 'name="level" value="urgent"' in page, "and goes along"
    assert "<small>规则</small> <bdi>湿度过高</bdi>" in page
    assert re.search(
        r'name="limit" value="x" aria-invalid="true" aria-describedby="(fault-1)".*id="\\1">请填一个数。<'.replace("\\\\", "\\"), page, re.S
    )
    page = refused(charge.post("/limits", data=form | {"limit": "57", "level": "nonsense"}, headers=HTML))
    assert re.search(r'<select name="level" aria-invalid="true".*<option value="urgent">紧急</option>.*请从列出的里面选。', page, re.S)
    english = refused(charge.post("/limits?lang=en", data=form | {"limit": "57", "level": "nonsense"}, headers=HTML))
    assert "Choose one of those listed." in english


def test_every_field_that_is_wrong_says_why(charge: TestClient) -> None:
    page = refused(charge.post(f"/rooms/{ROOM}/report", data={"note": "字" * 501}, headers=HTML))
    assert "太长，最多 500 个字。" in page
    assert "字" * 501 in page
    assert "请看各项说明" in page


def test_a_form_with_a_file_keeps_its_texts_and_asks_for_the_file_again(shared_house: House) -> None:
    client = shared_house.client("system")
    file = {"file": ("rooms.csv", b"code\n1\n", "text/csv")}
    page = refused(client.post("/imports", data={"kind": "nonsense", "dry_run": "1"}, files=file, headers=HTML))
    assert 'enctype="multipart/form-data"' in page
    assert 'name="dry_run" value="1"' in page
    assert re.search(r'<select name="kind" aria-invalid="true".*<option value="rooms">', page, re.S)
    assert '<input type="file" name="file" required>' in page
    assert "文件（须再选一次）" in page
    page = refused(client.post("/imports", data={"kind": "rooms", "dry_run": "1"}, headers=HTML))
    assert "文件（须再选一次）" in page, "also where it was forgotten"
    assert "<bdi>库房</bdi>" in page


def test_a_refusal_that_names_no_field_leaves_all_of_them_to_be_changed(shared_house: House) -> None:
    client = shared_house.client("system")
    form = {"kind": "rooms", "key.code": ROOM, "cell.name": "一号库房", "cell.medium": "nonsense", "reason": "更正", "back": "/rooms"}
    page = refused(client.post("/edit", data=form, headers=HTML))
    assert re.search(r'<span>[^<]+</span><input name="cell.name" value="一号库房"', page)
    assert re.search(r'<select name="cell.medium"><option value=""></option><option value="paper">', page)
    assert f'type="hidden" name="key.code" value="{ROOM}"' in page


def test_a_list_of_the_page_comes_back_as_that_list_also_when_it_is_refused_twice(charge: TestClient) -> None:
    at = {"referer": f"http://testserver/limits?room={ROOM}&quantity=humidity", "host": "testserver"}
    form = {"rule": "nonsense", "room": ROOM, "unit": "", "level": "urgent", "limit": "57", "minutes": "", "why": "汛期", "until": "", "act": "save"}
    page = refused(charge.post("/limits", data=form, headers=HTML | at))
    again = re.search(r'name="page_of_form" value="([^"]+)"', page)
    assert '<option value="humidity_high">' in page, "the rules of this room, which no other page offers"
    assert "smoke" not in page
    twice = refused(charge.post("/limits", data=form | {"page_of_form": again[1].replace("&amp;", "&")}, headers=HTML))
    assert '<option value="humidity_high">' in twice
    page = refused(
        charge.post(
            f"/rooms/{ROOM}/maintenance",
            data={"minutes": "7", "reason": "施工", "person": "王工"},
            headers=HTML | {"referer": f"http://testserver/rooms/{ROOM}"},
        )
    )
    assert re.search(r'<select name="minutes" aria-invalid="true".*<option value="">.*<option value="60">1 小时</option>', page, re.S)
    assert "<bdi>施工</bdi>" in page
    strange = {"referer": "http://testserver/api/v1/stream"}
    assert "<select" not in refused(charge.post(f"/rooms/{ROOM}/maintenance", data={"minutes": "7"}, headers=HTML | strange))


NASTY = ("", "²", "9" * 30, "nan", "-1e999", "x\x00y", "字" * 600, "2026-13-45T99:99", "\ud800", "٣")
"""Values that break what is careless: int("²") fails although "²".isdigit(), 9e29 is in no column, NUL in no text of PostgreSQL."""
TURNS = 1
"""So many of them for each field; each value has its turn."""
_WITHOUT = ("/api/", "/callbacks/", "/login", "/logout", "/me/security", "/take-over")


def _bodies(house: House, alarm: int) -> Iterator[tuple[Route, str, dict[str, str]]]:
    """Each form of a page with its address and what is usually filled in."""
    place = Place(
        key="", unit=COUNTY, room=ROOM, gateway=GATEWAY, person=1, person_code="P-0001", account=1, alarm=alarm, incident=1, point=1, check=1
    )
    for route in routes(house.app):
        if route.method == "POST" and not route.path.startswith(_WITHOUT) and b"multipart" not in content(route, place)[1]["content-type"].encode():
            target = next(targets(route, place, filtered=False))
            yield route, target, dict(parse_qsl(content(route, place)[0].decode(), keep_blank_values=True))


def test_no_value_of_any_field_of_any_form_breaks_the_server(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = shared_house.smoke()
    clients = [shared_house.client(login) for login in ("in_charge", "system", "security", "duty")]
    read: set[str] = set()
    get, getlist = FormData.get, FormData.getlist
    monkeypatch.setattr(FormData, "get", lambda self, name, default=None: read.add(name) or get(self, name, default))
    monkeypatch.setattr(FormData, "getlist", lambda self, name: read.add(name) or getlist(self, name))
    turn, broken, tried = 0, [], 0
    for route, target, body in _bodies(shared_house, alarm):
        read.clear()
        client = next((one for one in clients if one.post(target, data=body, headers=HTML).status_code != 403), clients[0])
        for name in sorted({*route.body, *read} - {"form_token"}):
            for _ in range(TURNS):
                turn, tried = turn + 1, tried + 1
                value = NASTY[turn % len(NASTY)]
                sent = urlencode({**body, name: value}, errors="surrogatepass")
                answer = client.post(target, content=sent, headers=HTML | {"content-type": "application/x-www-form-urlencoded"})
                if answer.status_code >= 500:
                    broken.append((route.key, name, value[:20], answer.status_code))
    assert not broken, broken
    assert tried > 50


def test_a_shift_that_cannot_be_is_told_by_its_own_fields_in_the_words_of_its_page(charge: TestClient) -> None:
    form = {
        "unit": COUNTY,
        "name": "夜班",
        "role": "duty_officer",
        "starts": "18:00",
        "hours": "14",
        "days": "all",
        "turn_days": "1",
        "anchor": "2026-09-01",
    }
    at = HTML | {"referer": f"http://testserver/duty?unit={COUNTY}"}
    page = refused(charge.post("/duty/roster", data=form | {"people": "林一", "days": "nonsense", "turn_days": "0"}, headers=at))
    assert re.search(
        r'<span>哪些日子</span>\s*<select name="days" aria-invalid="true".*<option value="work">工作日（含调休上班）</option>', page, re.S
    )
    assert re.search(r'<span>每轮几天</span>\s*<input name="turn_days" value="0" aria-invalid="true"', page)
    assert "请改这几项" in page
    for hours in ("x", "nan", "inf", "1e9", "0"):
        page = refused(charge.post("/duty/roster", data=form | {"people": "林一", "hours": hours}, headers=at))
        assert f'name="hours" value="{hours}" aria-invalid="true"' in page
    assert charge.post("/duty/roster", data=form | {"people": "林一"}, headers=at).status_code == 303
    page = refused(charge.post("/duty/day", data={"unit": COUNTY, "name": "夜班", "day": "31.10.", "people": ""}, headers=at))
    assert re.search(r'name="day" value="31.10." aria-invalid="true"', page)


def test_a_second_person_who_is_not_proven_leaves_the_reason_typed(charge: TestClient) -> None:
    form = {"minutes": "60", "reason": "空调检修要停两小时", "person": "王工", "second": "duty", "second_password": "wrong"}
    answer = charge.post(f"/rooms/{ROOM}/maintenance", data=form, headers=HTML)
    assert answer.status_code == 403
    assert "没有核实第二人" in answer.text
    assert 'name="reason" value="空调检修要停两小时"' in answer.text, "goes along"
    assert re.search(r'name="second" value="duty" aria-invalid="true"', answer.text), "may be another one"
    assert "wrong" not in answer.text.partition("<main")[2].replace('class="wrong"', ""), "no password comes back"
    assert charge.post(f"/rooms/{ROOM}/maintenance", data=form | {"second_password": PASSWORD}, headers=HTML).status_code == 303
