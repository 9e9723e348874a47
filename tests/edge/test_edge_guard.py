"""The local watch: what is told on the spot, when, and where the rules come from."""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from alarms.quiet import NEVER
from alarms.rules import default_rules, parse_rules
from contract.sample import Quality, Sample
from edge.guard import Duty, Guard, LocalAlarm, Rules
from edge.intake import Report
from edge.plan import PlannedPoint, build
from edge.rows import Lane
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings, GuardSettings, TcpBus
from edge.sounder import Sounder

NOW = 1_800_000_000_000
MINUTE = 60_000
ROOM = "350128000001-01"
RULES = """
rules:
  - {name: hot, kind: threshold, quantity: temperature, deadband: 0.5, off_delay: 1m,
     ladder: {alarm: {above: 26, on_delay: 1m}, urgent: {above: 30, on_delay: 2m}}}
  - {name: smoke, kind: state, quantity: smoke, latch: true, ladder: {critical: {equals: 1, on_delay: 0s}}}
  - {name: silent, kind: stale, quantity: temperature, ladder: {urgent: {on_delay: 1m}}}
"""


def points() -> tuple[PlannedPoint, ...]:
    bus = TcpBus(name="b", kind="tcp", host="-")
    settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path(), buses=(bus,))
    entries = (
        {"name": "th", "profile": "renke-rs-ws-n01", "unit": 1, "interval_s": 30},
        {"name": "sm", "profile": "generic-rs485-smoke", "unit": 2, "interval_s": 10},
    )
    devices = DevicesSettings.model_validate({"devices": tuple({"bus": "b", "room": ROOM, **entry} for entry in entries)})
    return tuple(build(settings, devices, {}).points)


class Post:
    """A guard with time."""

    def __init__(self, folder: Path, text: str = RULES, **options: Any) -> None:
        self.rules = Rules(folder / "rules.json")
        if text:
            assert self.rules.take(text)
        self.guard = Guard(GuardSettings.model_validate(options), self.rules, points())
        self.now = NOW
        self.heard = NOW
        self.watches = True

    def see(self, metric: str, value: float | None, quality: Quality = Quality.GOOD) -> None:
        point = next(planned.key for planned in points() if planned.key.metric == metric)
        self.guard.take([Report(Sample(point, self.now, value, quality if value is not None else Quality.BAD), Lane.NORMAL)])

    def wait(self, ms: int) -> list[LocalAlarm]:
        self.now += ms
        if self.watches:
            self.heard = self.now
        return self.guard.run_once(self.now, self.heard, centre_watches=self.watches)


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def told(alarms: list[LocalAlarm]) -> list[tuple[str, str, str, float | None]]:
    return [(alarm.rule, alarm.level, alarm.state, alarm.value) for alarm in alarms]


def test_nothing_is_told_while_the_centre_watches(post: Post) -> None:
    post.see("sm/smoke", 1)
    assert post.wait(1_000) == []
    assert not post.guard.on_duty


def test_smoke_without_a_line_is_told_at_once(post: Post) -> None:
    post.wait(1_000)
    post.watches = False
    assert post.wait(1_000) == []
    assert post.guard.on_duty
    post.see("sm/smoke", 0)
    post.see("sm/smoke", 1)
    (alarm,) = post.wait(1_000)
    assert (alarm.room, alarm.point, alarm.rule, alarm.level, alarm.state, alarm.value) == (ROOM, "sm/smoke", "smoke", "critical", "raised", 1)
    assert post.wait(1_000) == []
    post.see("sm/smoke", 0)
    assert told(post.wait(1_000)) == [("smoke", "critical", "cleared", None)]


def test_a_doubtful_fire_is_a_fire_and_a_bad_reading_is_none(post: Post) -> None:
    post.watches = False
    post.wait(1_000)
    post.see("sm/smoke", None)
    assert post.wait(1_000) == []
    post.see("sm/smoke", 1, Quality.UNCERTAIN)
    assert len(post.wait(1_000)) == 1


def test_delays_run_from_before_the_line_went_down(post: Post) -> None:
    for _ in range(3):
        post.see("th/temperature", 31)
        post.wait(30_000)
    post.watches = False
    assert post.wait(1_000) == []
    post.see("th/temperature", 31)
    assert told(post.wait(30_000)) == [("hot", "urgent", "raised", 31)]


def test_what_the_centre_did_not_hear_of_is_told_when_the_watch_begins(post: Post) -> None:
    post.wait(1_000)
    post.heard = post.now
    post.now += 20_000
    post.see("sm/smoke", 1)
    post.watches = False
    assert told(post.wait(40_000)) == [("smoke", "critical", "raised", 1)]


def test_what_the_centre_knows_is_not_told_again(post: Post) -> None:
    post.see("sm/smoke", 1)
    post.wait(5_000)
    post.watches = False
    assert post.wait(61_000) == []


def test_only_the_chosen_levels_are_told(tmp_path: Path) -> None:
    for level, expected in (("urgent", []), ("alarm", [("hot", "alarm", "raised", 27)])):
        post = Post(tmp_path, level=level)
        post.watches = False
        post.wait(1_000)
        found = []
        for _ in range(4):
            post.see("th/temperature", 27)
            found += post.wait(30_000)
        assert told(found) == expected


def test_a_sensor_that_falls_silent_is_told(post: Post) -> None:
    post.watches = False
    post.see("th/temperature", 20)
    assert post.wait(90_000) == []
    assert post.wait(59_000) == []
    assert [alarm[:3] for alarm in told(post.wait(2_000))] == [("silent", "urgent", "raised")]


def test_the_end_of_the_trouble_ends_the_watch(post: Post) -> None:
    post.watches = False
    post.wait(1_000)
    post.watches = True
    post.see("sm/smoke", 1)
    assert post.wait(1_000) == []
    assert not post.guard.on_duty


# ------------------------------------------------------------------------------------------------------------------------------------- rules


def test_the_rules_of_the_product_hold_until_the_server_sends_others(tmp_path: Path) -> None:
    rules = Rules(tmp_path / "rules.json")
    assert rules.version == default_rules().version
    sent = parse_rules(RULES, "x").canonical()
    assert rules.take(sent)
    assert rules.version == parse_rules(RULES, "x").version
    assert Rules(tmp_path / "rules.json").version == rules.version


@pytest.mark.parametrize("text", ["{", "rules: [{name: x}]", "x" * 70_000])
def test_rules_that_cannot_be_used_change_nothing(tmp_path: Path, text: str) -> None:
    rules = Rules(tmp_path / "rules.json")
    before = rules.version
    assert not rules.take(text)
    assert rules.version == before
    assert not (tmp_path / "rules.json").exists()


def test_what_a_newer_centre_writes_is_refused_once_aloud_and_counted(tmp_path: Path) -> None:
    told: list[str] = []
    rules = Rules(tmp_path / "rules.json", told.append)
    assert rules.take(RULES)
    kept = rules.version
    newer = RULES.replace("rules:", "rules:\n  - {name: later, kind: threshold, quantity: humidity, ladder: {warn: {above: 60}}, moonlight: 3}", 1)
    assert [rules.take(newer), rules.take(newer)] == [False, False]
    assert (rules.version, rules.refused, len(told)) == (kept, 2, 1)
    assert "moonlight" in told[0]
    assert "升级" in rules.trouble
    assert Rules(tmp_path / "rules.json").version == kept
    assert rules.take(RULES)
    assert rules.trouble == ""


def test_a_spoilt_file_falls_back_to_the_rules_of_the_product(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(b"\xff{")
    assert Rules(tmp_path / "rules.json").version == default_rules().version


def test_new_rules_take_effect_while_it_runs(post: Post) -> None:
    post.watches = False
    post.wait(1_000)
    post.rules.take(RULES.replace("above: 26", "above: 20").replace("level: alarm", "level: warn"))
    for _ in range(6):
        post.see("th/temperature", 31)
        post.wait(30_000)
    post.rules.take("rules: []")
    post.see("th/temperature", 31)
    post.see("sm/smoke", 1)
    assert [told.rule for told in post.wait(1_000)] == ["smoke"], "no rules from above take smoke away"


def test_the_shipped_rules_tell_of_smoke(tmp_path: Path) -> None:
    post = Post(tmp_path, text="")
    post.watches = False
    post.wait(1_000)
    found = []
    for _ in range(10):
        post.see("sm/smoke", 1)
        found += post.wait(1_000)
    assert [alarm.level for alarm in found] == ["critical"]


# -------------------------------------------------------------------------------------------------------------------------------------- duty


def test_the_centre_watches_while_it_acknowledges() -> None:
    duty = Duty(60, NOW, 0)
    assert duty.centre_watches({}, NOW, 59_999)
    assert not duty.centre_watches({}, NOW + 60_000, 60_000)
    online = {"phase": "online", "host_online": True, "acknowledged_s_ago": 5.0}
    assert duty.centre_watches(online, NOW + 70_000, 70_000)
    assert duty.last_heard == NOW + 65_000
    assert duty.centre_watches({"phase": "down"}, NOW + 120_000, 120_000)
    assert not duty.centre_watches({"phase": "down"}, NOW + 126_000, 126_000)
    assert not duty.centre_watches({**online, "acknowledged_s_ago": 61}, NOW + 200_000, 200_000)


def test_a_host_that_says_offline_does_not_watch() -> None:
    duty = Duty(60, NOW, 0)
    assert not duty.centre_watches({"phase": "waiting", "host_online": False}, NOW, 1)
    assert duty.centre_watches({"phase": "connecting", "host_online": False}, NOW, 1)


# ------------------------------------------------------------------------------------------------------------------------------------ sounder

ALARM = LocalAlarm(NOW, ROOM, "sm/smoke", "smoke", "critical", "raised", 1.0)


def sound(folder: Path, *command: str) -> None:
    async def run() -> None:
        sounder = Sounder(folder / "alarms.jsonl", command)
        sounder.tell(ALARM)
        await sounder.finish()

    asyncio.run(run())


def test_an_alarm_is_written_down_and_handed_to_the_program(tmp_path: Path) -> None:
    code = f"import sys; open({str(tmp_path / 'out')!r}, 'w').write(sys.stdin.read())"
    sound(tmp_path, sys.executable, "-c", code)
    written = json.loads((tmp_path / "alarms.jsonl").read_text(encoding="utf-8"))
    assert written["rule"] == "smoke"
    assert json.loads((tmp_path / "out").read_text(encoding="utf-8")) == written


def test_a_program_that_fails_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound(tmp_path, sys.executable, "-c", "raise SystemExit(3)")
    sound(tmp_path, str(tmp_path / "none"))
    words = [record.message for record in caplog.records]
    assert any("失败（3）" in word for word in words)
    assert any("不能运行" in word for word in words)


@pytest.mark.parametrize("seed", range(4))
def test_skipping_calm_readings_changes_nothing(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same story with every reading judged by every rule, and with the calm ones passed by: the same words at the same instants."""

    def story(folder: Path) -> list[tuple[int, Any]]:
        folder.mkdir()
        noise, post, heard = random.Random(seed), Post(folder, "", level="warn"), []
        value = 22.0
        for _ in range(400):
            value += noise.choice((-3, -0.2, 0, 0.1, 0.2, 4)) if noise.random() < 0.3 else noise.uniform(-0.1, 0.1)
            post.watches = noise.random() < 0.2 if noise.random() < 0.1 else post.watches
            if noise.random() < 0.9:
                post.see("th/temperature", value, noise.choice((Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN)))
                post.see("th/humidity", None if noise.random() < 0.2 else 55 + value % 20)
            post.see("sm/smoke", float(noise.random() < 0.03))
            heard += [(post.now, alarm) for alarm in post.wait(noise.choice((1_000, 10_000, 30_000, 400_000)))]
        return heard

    quick = story(tmp_path / "quick")
    monkeypatch.setattr("edge.guard.quiet", lambda *_: NEVER)
    assert story(tmp_path / "slow") == quick
    assert len({alarm.rule for _, alarm in quick}) > 2
