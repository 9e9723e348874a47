"""A form that cannot be taken comes back with what was typed, in words, and beside each field what is wrong with it."""

import re

import httpx
import pytest
from starlette.testclient import TestClient

from tests.web.house import ROOM, House

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
