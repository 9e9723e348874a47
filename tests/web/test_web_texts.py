"""Words: catalogues are complete, forbidden words do not occur, colours can be read, old browsers understand the files."""

import json
import re
from pathlib import Path

import pytest

from alarms import explain
from alarms.builtin import builtin
from alarms.rules import default_rules
from server.live.tiles import STATES
from server.web import labels
from server.web.formats import Formats
from server.web.i18n import Words, load
from tests.web.house import T0
from tests.web.web_messages import ROOT, messages, of_templates

DASHBOARDS = ROOT / "dashboards"
CSS, DARK = ((DASHBOARDS / "static/css" / name).read_text("utf-8") for name in ("app.css", "dark.css"))
SCRIPTS = sorted((DASHBOARDS / "static/js").glob("*.js"))
TEMPLATES = sorted((DASHBOARDS / "templates").glob("*.html"))
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def test_every_text_has_an_english_translation() -> None:
    english = load("en")
    assert [f"{where}: {text}" for text, where in messages().items() if not english.get(text)] == []
    assert [word for word in labels.everything() if re.search(r"[\u4e00-\u9fff]", word) and not english.get(word)] == []
    assert len(dict(of_templates())) > 80


def test_the_sources_of_limits_are_chinese_and_translated() -> None:
    english, rules = load("en"), (*default_rules().rules, *builtin(0, 0).values())
    sources = {one.source for rule in rules for one in (rule, *(variant for _, variant in rule.by_medium if variant is not None))}
    assert [source for source in sources if not re.search(r"[\u4e00-\u9fff]", source) or not english.get(source)] == []


def test_placeholders_are_the_same_in_both_languages() -> None:
    for chinese, english in load("en").items():
        assert sorted(re.findall(r"%\(\w+\)s", chinese)) == sorted(re.findall(r"%\(\w+\)s", english)), chinese


def test_templates_hold_no_chinese_outside_of_messages() -> None:
    for template in TEMPLATES:
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", template.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r"[\u4e00-\u9fff]+", text), template.name
    for script in SCRIPTS:
        assert not re.search(r"[\u4e00-\u9fff]", script.read_text("utf-8")), script.name


def test_words_that_mislead_do_not_occur() -> None:
    shown = [*messages(), *labels.everything()]
    for text in shown:
        if text != labels.FIRE_SENTENCE:
            assert "报警" not in text
        assert not re.search("严重|未处理|掉线|阈值|管理员$(?<!系统管理员)(?<!安全管理员)(?<!审计管理员)|必须", text), text


def test_every_state_has_a_shape_a_word_and_a_colour() -> None:
    for state in (*STATES, "unconnected"):
        assert labels.SHAPES[state]
        assert labels.ROOM_STATES[state]
        assert f".m-{state}" in CSS
    assert [labels.SHAPES[level] for level in ("critical", "urgent", "alarm", "warn", "blind")] == ["◆", "◆", "▲", "●", "○"]


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(theme: str) -> None:
    light, dark = (tokens(re.search(r":root \{(.*?)\}", css, re.DOTALL)[1]) for css in (CSS, DARK))
    colours = light if theme == "light" else light | dark
    grounds = ("ground", "card", "raised", "critical-soft", "urgent-soft", "alarm-soft", "warn-soft")
    pairs = [(text, ground) for text in ("text", "muted", "link") for ground in grounds]
    pairs += [(f"{name}-text", name) for name in ("critical", "urgent", "alarm", "warn", "blind", "degraded", "maintenance", "bar", "primary")]
    pairs += [
        ("stale-text", "card"),
        ("wrong", "card"),
        ("wrong", "raised"),
        ("bar-muted", "bar"),
        ("blind-text", "blind-stripe"),
        ("stale-text", "degraded"),
    ]
    measured = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in measured.items() if ratio < 4.5} == {}


def test_browsers_of_2021_understand_the_files() -> None:
    assert not re.search(r":has\(|@container|@layer|^\s*&|\bsubgrid\b|color-mix|oklch", CSS, re.MULTILINE)
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        assert not re.search(r"structuredClone|\.at\(|\.findLast|Object\.hasOwn|\.toSorted|#\w+\s+in\s", text), script.name
        assert not re.search(r"crypto\.randomUUID|navigator\.clipboard|navigator\.locks", text), script.name  # missing on plain HTTP
        assert "eval(" not in text


def test_nothing_asks_another_origin() -> None:
    for path in (*TEMPLATES, *SCRIPTS, DASHBOARDS / "static/css/app.css"):
        assert not re.search(r"(https?:)?//[\w-]+\.\w+", re.sub(r"^\s*//.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)), path.name


def test_the_lock_pins_versions_by_hash_and_names_no_address() -> None:
    lock = json.loads((DASHBOARDS / "web/package-lock.json").read_text("utf-8"))
    packages = {name.split("node_modules/")[-1]: entry for name, entry in lock["packages"].items() if name}
    assert {name: packages[name]["version"] for name in ("htmx.org", "uplot")} == {"htmx.org": "4.0.1", "uplot": "1.6.32"}
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())
    for name in ("package.json", "package-lock.json", ".npmrc", "build.mjs"):
        assert "http" not in (DASHBOARDS / "web" / name).read_text("utf-8")
    wanted = json.loads((DASHBOARDS / "web/package.json").read_text("utf-8"))["dependencies"]
    assert wanted == {"htmx.org": "4.0.1", "uplot": "1.6.32"}


@pytest.mark.parametrize(
    ("ms", "age", "duration"),
    [
        (999, "0 秒前", "0 秒"),
        (59_999, "59 秒前", "59 秒"),
        (3 * MINUTE, "3 分钟前", "3 分"),
        (2 * HOUR + 14 * MINUTE, "2 小时前", "2 小时 14 分"),
        (2 * HOUR, "2 小时前", "2 小时"),
        (3 * DAY + 5 * HOUR, "3 天前", "3 天 5 小时"),
        (-5, "0 秒前", "0 秒"),
    ],
)
def test_ages_and_durations(ms: int, age: str, duration: str) -> None:
    fmt = Formats(Words("zh"))
    assert (fmt.age(ms), fmt.duration(ms)) == (age, duration)


def test_numbers_and_times() -> None:
    fmt, english = Formats(Words("zh")), Formats(Words("en"))
    assert fmt.value("temperature", 24.64) == "24.6 ℃"
    assert fmt.value("humidity", 60.4) == "60.4 %RH"  # 60 beside "above 60" would look like a lie
    assert fmt.value("temperature", None) == "—"
    assert fmt.value("door", 1) == "开"
    assert english.value("door", 1) == "open"
    assert fmt.value("camera", 9) == "9"
    assert fmt.percent(99.99) == "99.9 %"
    assert fmt.percent(None) == "—"
    assert fmt.when(T0, T0) == "22:13"
    assert fmt.when(T0 - DAY, T0) == "9月20日 22:13"
    assert fmt.when(T0 - 400 * DAY, T0) == "2025年8月17日 22:13"
    assert english.when(T0 - DAY, T0) == "20 Sep 22:13"
    assert fmt.band("temperature", (14, 24)) == "14–24 ℃"
    assert fmt.band("humidity", (None, 50)) == "≤ 50 %RH"
    assert fmt.band("humidity", (None, None)) == "—"
    assert fmt.masked("+8613900001234") == "+86****1234"
    assert fmt.grouped("483925") == "483 925"


@pytest.mark.parametrize(
    ("rule", "kind", "quantity", "word"),
    [
        ("humidity_high", "threshold", "humidity", "湿度过高"),
        ("too_low_for_film", "threshold", "temperature", "温度过低"),
        ("fire", "rate", "temperature", "快速升温"),
        ("smoke", "state", "smoke", "烟感告警"),
        ("door_held", "state", "door", "库门未关"),
        ("sensor_stale", "stale", "smoke", "传感器失联"),
        ("gateway_offline", "stale", "", "网关离线"),
        ("own_rule", "threshold", "co2", "二氧化碳异常"),
    ],
)
def test_what_happened_is_named(rule: str, kind: str, quantity: str, word: str) -> None:
    assert Words("zh").event(rule, kind, quantity) == word


def test_the_product_ships_no_third_party_file() -> None:
    own = {path.suffix for path in (DASHBOARDS / "static").rglob("*") if path.is_file() and "vendor" not in path.parts}
    assert own == {".js", ".css", ".svg"}
    assert "/dashboards/static/vendor/" in Path(ROOT / ".gitignore").read_text("utf-8")


@pytest.mark.parametrize("text", [explain.ALONE, explain.STRICTEST])
def test_why_a_limit_holds_is_said_in_english_too(text: str) -> None:
    assert Words("en").text(text) != text


def test_a_text_that_is_no_literal_goes_through_words_and_is_escaped() -> None:
    """`_()` reads a % as a format and trusts what it gets: a source with "%RH" was an error 500, a name with a tag would have been markup."""
    found = [
        f"{path.name}: {match}"
        for path in TEMPLATES
        for match in re.findall(r"(?<!\w)_\((?=[a-z])[^)]*\)", path.read_text("utf-8"))
        if "**" not in match
    ]
    assert found == []
