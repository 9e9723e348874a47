"""The line of the last hours on an alarm's page: from stored history, with its limit, its gaps, and the same in words."""

import re

import pytest

from server.series import SeriesError
from tests.web.house import ROOM, House

HTML = {"accept": "text/html"}
MINUTE = 60_000


@pytest.fixture
def damp(house: House) -> int:
    """Twenty minutes in the band, forty of nothing, then humid until it is an alarm; all of it in the history store."""
    for humidity, minutes in ((52, 20), (None, 40), (68, 35)):
        for _ in range(minutes):
            house.now += MINUTE
            if humidity is not None:
                house.send(temperature=21.4, humidity=humidity, smoke=0)
    house.history.run_once(house.now)
    return house.alarm(ROOM, "humidity_high").id


def test_the_line_shows_limit_and_gaps_and_says_them_in_words(house: House, damp: int) -> None:
    client = house.client("duty")
    assert f'data-part="/alarms/{damp}/trend"' in client.get(f"/alarms/{damp}").text
    part = client.get(f"/alarms/{damp}/trend").text
    line = re.search(r'class="line" d="([^"]+)"', part)[1]
    assert line.count("M") == 2, "a stretch without data breaks the line"
    gaps = [(float(x), float(width)) for x, width in re.findall(r'<rect class="gap" x="([\d.]+)" y="0" width="([\d.]+)"', part)]
    assert len(gaps) == 2, "before the first sample and in between"
    assert gaps[1][1] == pytest.approx(1000 * 35 / 360, abs=1000 * 10 / 360), "so wide as it was long"
    assert 'class="limit" d="M0' in part
    assert "限值 65.0 %RH" in part
    words = re.search(r'<figcaption id="trend-said">(.*?)</figcaption>', part, re.S)[1]
    assert "湿度" in words
    assert "最低 52.0 %RH，最高 68.0 %RH。" in words
    assert re.search(r"超出限值 3[45] 分。 缺测 5 小时 \d+ 分（灰色）。", words), words
    assert 'role="img" aria-labelledby="trend-said"' in part
    assert "style=" not in part, "the pages' policy lets no style through"
    english = client.get(f"/alarms/{damp}/trend?lang=en").text
    assert "lowest 52.0 %RH, highest 68.0 %RH. Beyond the limit for 3" in english
    assert not re.search(r"[\u4e00-\u9fff，。：、]", english)


def test_it_is_asked_for_by_those_who_may_and_where_there_is_something_to_draw(house: House, damp: int, monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = house.smoke()
    client = house.client("duty")
    assert "/trend" not in client.get(f"/alarms/{smoke}").text
    assert "<svg" not in client.get(f"/alarms/{smoke}/trend").text
    assert house.client("sister-duty").get(f"/alarms/{damp}/trend", headers=HTML).status_code == 403

    def broken(*_args: object) -> None:
        raise SeriesError("the disk is gone")

    monkeypatch.setattr(house.store, "figures", broken)
    part = client.get(f"/alarms/{damp}/trend")
    assert (part.status_code, "历史数据暂时取不到" in part.text) == (200, True)
    assert client.get(f"/alarms/{damp}").status_code == 200, "the alarm's own page never waits for history"
