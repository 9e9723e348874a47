"""Action cards: the packaged file, its checks, and how a card is filled for a room."""

from pathlib import Path

import pytest

from server.duty.cards import BLANK, CardError, Situation, default_cards, fill, load_cards
from server.web import labels
from server.web.i18n import load

SHEET = {"断电位置": "走廊东头配电箱", "值班室电话": "0591-87550110", "灭火方式": "七氟丙烷", "除湿机": "格力一台"}


def test_twelve_cards_of_three_to_six_steps_answer_every_event() -> None:
    cards = default_cards()
    assert [card.number for card in cards.cards] == list(range(1, 13))
    for event in labels.EVENTS:
        assert 3 <= len(cards.answering(event).steps) <= 6
    assert cards.answering("smoke_lost").id == "smoke"
    assert cards.answering("never heard of").id == cards.answering("other").id


def test_a_sentence_is_short_enough_to_read_at_night() -> None:
    for card in default_cards().cards:
        for step in card.steps:
            assert max(len(part) for part in step.replace("，", "。").replace("；", "。").replace("：", "。").split("。")) <= 26, step


def test_marks_come_from_the_sheet_and_a_blank_is_said() -> None:
    filled = fill(default_cards().answering("smoke"), SHEET, Situation(event="smoke"))
    assert "0591-87550110" in filled.steps[0]
    assert "走廊东头配电箱" in filled.steps[2]
    assert BLANK in filled.steps[3]
    assert set(filled.blanks) == {"消防控制室", "库房责任人"}


@pytest.mark.parametrize(
    ("event", "sheet", "situation", "shown"),
    [
        ("smoke", SHEET, Situation(event="smoke"), ["七氟丙烷"]),
        ("smoke", {"灭火方式": "干粉"}, Situation(event="smoke"), []),
        ("smoke", {}, Situation(event="smoke_lost"), ["失联"]),
        ("humidity_high", SHEET, Situation(), []),
        ("humidity_high", {"除湿机": "无"}, Situation(), ["没有除湿机"]),
        ("stale", {}, Situation(quantity="humidity"), []),
        ("stale", {}, Situation(quantity="leak"), ["没有保护"]),
        ("leak", {}, Situation(), ["漏雨", "湿档案很多"]),
    ],
)
def test_branches_are_shown_only_where_they_apply(event: str, sheet: dict[str, str], situation: Situation, shown: list[str]) -> None:
    filled = fill(default_cards().answering(event), sheet, situation)
    assert len(filled.branches) == len(shown)
    assert all(word in text for word, text in zip(shown, filled.branches, strict=True))


def test_every_sentence_has_an_english_one_with_the_same_marks() -> None:
    english = load("en")
    for card in default_cards().cards:
        for text in card.texts():
            assert english.get(text), text
            assert sorted(part.split("}")[0] for part in text.split("{")[1:]) == sorted(part.split("}")[0] for part in english[text].split("{")[1:])


ONE = """cards:
  - id: a
    number: 1
    title: t
    events: [other]
    acknowledge: 5
    steps: [一, 二, 三]
    please: []
    never: []
    recovered: r
    done: {hold: 10m, within: 1h}
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("[一, 二, 三]", "[一, 二]"), "steps"),
        (("一,", "'去 {不存在}',"), "不存在"),
        (("within: 1h", "within: 5m"), "longer than"),
        (("[other]", "[smoke]"), "other"),
        (("within: 1h", "within: 1h, claims: [{quantity: humidity, trend: falling, by: 1}]"), "needs `within`"),
        (("title: t", "titel: t"), "title"),
        (("number: 1", "number: [1"), ":"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = tmp_path / "cards.yaml"
    path.write_text(ONE, "utf-8")
    assert len(load_cards(path).cards) == 1
    path.write_text(ONE.replace(*change), "utf-8")
    with pytest.raises(CardError, match=reason):
        load_cards(path)
