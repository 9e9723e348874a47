"""A rule set on trial at the wire: begun, judged on the journal beside the rules in force, compared, ended; silent and restart-proof."""

from typing import Any

import pytest

from alarms.rules import default_rules
from server.settings import WatchSettings
from server.store.journal import prune
from server.store.tables import Alarm, AuditEntry, EscalationStep, Journal, JournalCursor
from server.store.tables_alarms import ShadowAlarm, ShadowRun
from server.trials import Trials
from server.watch.commands import Reload
from tests.web.house import CITY, COUNTY, FOREIGN, ROOM, SISTER, SISTER_GATEWAY, House

TIGHT = """rules:
  - {name: humidity_high, kind: threshold, quantity: humidity, ladder: {warn: {above: 55}, alarm: {above: 60}}, deadband: 1}
  - {name: smoke, kind: state, quantity: smoke, ladder: {critical: {equals: 1}}, latch: true}
"""


def start(house: House, **changes: Any) -> Any:
    return house.client("in_charge").post("/api/v1/rule-trials", json={"name": "汛期", "unit": COUNTY, "rules": TIGHT} | changes)


def follow(house: House) -> Trials:
    return Trials(house.db, WatchSettings(stale_intervals=3, stale_min_s=60, restart_holdoff_s=10), {})


def shown(house: House, ident: int) -> Any:
    answer = house.client("duty").get(f"/api/v1/rule-trials/{ident}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_trial_is_compared_with_what_really_happened_and_tells_nobody(house: House) -> None:
    begun = start(house)
    assert begun.status_code == 200, begun.text
    ident, trials = begun.json()["id"], follow(house)
    for humidity in (52, 57, 57, 62, 52):
        house.now += 60_000
        house.send(humidity=humidity)
        trials.run_once(house.now)
    house.now += 1000
    house.smoke()
    alarms, steps = count(house, Alarm), count(house, EscalationStep)
    trials.run_once(house.now)
    assert (count(house, Alarm), count(house, EscalationStep)) == (alarms, steps), "a trial touches neither alarms nor messages"
    told = shown(house, ident)
    assert {rule["rule"]: (rule["now"], rule["trial"]) for rule in told["rules"]} == {"humidity_high": (0, 1), "smoke": (1, 1)}
    assert (told["now"], told["trial"], told["different"]) == (1, 2, 1)
    [difference] = told["differences"]
    assert (difference["room"], difference["now"], difference["trial"]["level"]) == (ROOM, None, "alarm")
    page = house.client("duty").get(f"/trials/{ident}").text
    assert "humidity_high" in page
    assert "一号库房" in page
    assert "结束试行" not in page, "a person on duty looks on"


def test_a_trial_goes_on_after_a_restart_and_never_judges_a_sample_twice(house: House) -> None:
    ident = start(house).json()["id"]
    house.now += 1000
    house.send(humidity=57)
    assert follow(house).run_once(house.now) == 1
    for _ in range(3):
        assert follow(house).run_once(house.now) == 0, "a restart reads nothing anew"
    house.now += 1000
    house.send(humidity=61)
    follow(house).run_once(house.now)
    house.now += 1000
    house.send(humidity=50)
    follow(house).run_once(house.now)
    with house.db.read() as session:
        [row] = session.query(ShadowAlarm).filter_by(run=ident)
        assert (row.rule, row.level, row.raised_at, row.cleared_at) == ("humidity_high", "alarm", house.now - 2000, house.now)
    assert house.client("in_charge").post(f"/api/v1/rule-trials/{ident}/end").json()["active"] is False
    assert house.client("in_charge").post(f"/api/v1/rule-trials/{ident}/end").status_code == 409
    house.now += 1000
    house.send(humidity=57)
    assert follow(house).run_once(house.now) == 0
    with house.db.read() as session:
        assert session.query(ShadowAlarm).count() == 1
        entries = session.query(AuditEntry).filter(AuditEntry.action.like("rules.trial.%"))
        assert [entry.action for entry in entries] == ["rules.trial.start", "rules.trial.end"]


def test_a_transaction_that_fails_is_judged_again_from_what_was_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ident, trials = start(house).json()["id"], follow(house)
    trials.run_once(house.now)
    house.now += 1000
    house.send(humidity=57)
    with monkeypatch.context() as broken:
        broken.setattr("server.trials.journal.advance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trials.run_once(house.now)
    assert trials.run_once(house.now) == 1
    assert shown(house, ident)["trial"] == 1


def test_the_rules_in_force_on_trial_differ_in_nothing(house: House) -> None:
    ident, trials = start(house, rules=default_rules().canonical()).json()["id"], follow(house)
    for number in range(60):
        house.now += 61_003  # no delay of a rule ends at the very instant of a reading
        house.watch.submit(Reload(by="", points=())).result(20)  # the watch has seen the time: in life it looks four times a second
        humidity = [52, 62, 66, 76][number // 10 % 4]
        house.send(humidity=humidity, temperature=21 + number % 7, door=int(number % 5 == 0), leak=int(number > 50), smoke=0)
        if number % 7 == 0:
            trials = follow(house)
        trials.run_once(house.now)
    told = shown(house, ident)
    assert told["now"] == told["trial"] > 3
    assert [(one["rule"], one["now"], one["trial"]) for one in told["differences"]] == []


def test_only_the_rooms_of_its_unit_and_only_its_people(house: House) -> None:
    house.birth(SISTER_GATEWAY, (FOREIGN,))
    ident = start(house).json()["id"]
    house.now += 1000
    house.send(FOREIGN, gateway=SISTER_GATEWAY, humidity=70)
    follow(house).run_once(house.now)
    assert shown(house, ident)["trial"] == 0
    for login in ("sister-in_charge", "sister-duty"):
        assert house.client(login).get(f"/api/v1/rule-trials/{ident}").status_code == 403
        assert house.client(login).get("/api/v1/rule-trials").json()["items"] == []
        assert house.client(login).get(f"/trials/{ident}").status_code == 403
    assert house.client("sister-in_charge").post(f"/api/v1/rule-trials/{ident}/end").status_code == 403
    assert house.client("duty").post(f"/api/v1/rule-trials/{ident}/end").status_code == 403
    for unit in (SISTER, CITY):
        assert start(house, unit=unit).status_code == 403


@pytest.mark.parametrize(
    ("change", "status"), [({"rules": "rules: [{name: x}]"}, 422), ({"rules": "rules: []"}, 409), ({"until": "2020-01-01T00:00:00Z"}, 409)]
)
def test_what_cannot_be_tried_is_refused(house: House, change: dict[str, Any], status: int) -> None:
    assert start(house, **change).status_code == status
    with house.db.read() as session:
        assert session.query(ShadowRun).count() == 0


def test_three_at_a_time_and_the_journal_is_not_kept_for_those_that_are_over(house: House) -> None:
    until = "2026-09-21T15:00:00Z"
    assert [start(house, until=until).status_code for _ in range(4)] == [200, 200, 200, 409]
    house.now += 1000
    house.send(humidity=57)
    trials = follow(house)
    assert trials.run_once(house.now) == 3
    with house.db.read() as session:
        assert session.get(JournalCursor, "trials").journal == session.query(Journal.id).order_by(Journal.id.desc()).first()[0]
    house.now += 86_400_000
    house.history.run_once(house.now)
    trials.run_once(house.now)
    with house.db.write() as session:
        assert session.get(JournalCursor, "trials") is None
        assert prune(session, house.now + 1) > 0


def test_a_trial_from_the_page(house: House) -> None:
    client = house.client("in_charge")
    assert "开始试行" in client.get("/trials").text
    made = client.post("/trials", data={"name": "", "unit": COUNTY, "days": "7"}, files={"file": ("tight.yaml", TIGHT.encode())})
    assert made.status_code == 303, made.text
    assert "tight.yaml" in client.get(made.headers["location"]).text
    for data, file in (({"days": "9"}, TIGHT.encode()), ({"days": "7"}, b""), ({"days": "7"}, b"\xff\xfe"), ({"days": "7"}, b"rules: 1")):
        answer = client.post("/trials", data={"name": "x", "unit": COUNTY} | data, files={"file": ("x.yaml", file)})
        assert answer.status_code == 422, answer.text
    assert client.post(made.headers["location"] + "/end").status_code == 303
    assert "已结束" in client.get("/trials").text


def count(house: House, table: Any) -> int:
    with house.db.read() as session:
        return session.query(table).count()
