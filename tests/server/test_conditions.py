from server.store.tables import Alarm, EscalationStep, Transition
from server.watch import commands

UNIT = "350102000000"


def names(made):
    return [row.name for row in made.rows(Transition)]


def gap(made, active=True, **changes):
    values = {"subject": f"unit:{UNIT}", "rule": "duty_vacancy", "unit": UNIT, "by": "system"} | changes
    return made.order(commands.Condition(active=active, **values))


def test_a_condition_raises_one_alarm_however_often_it_is_said_and_clears_it(slice_):
    first = gap(slice_, note="夜班无人")
    assert (first.ok, first.state) == (True, "active_unacked")
    assert gap(slice_).alarm == first.alarm
    [alarm] = slice_.rows(Alarm)
    assert (alarm.subject, alarm.rule, alarm.unit, alarm.level, alarm.note) == (f"unit:{UNIT}", "duty_vacancy", UNIT, "alarm", "夜班无人")
    gap(slice_, level="urgent")
    gap(slice_, False)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.level, alarm.state) == ("urgent", "cleared_unacked")
    assert names(slice_) == ["raised", "escalated", "cleared"]


def test_a_condition_outlives_a_restart_and_can_be_taken_over(slice_):
    alarm = gap(slice_).alarm
    slice_.start()
    assert slice_.order(commands.Acknowledge(alarm=alarm, by="林一")).state == "active_acked"
    gap(slice_, False)
    assert [row.state for row in slice_.rows(Alarm)] == ["normal"]
    assert gap(slice_).alarm != alarm


def test_what_is_no_condition_is_refused(slice_):
    assert gap(slice_, rule="smoke").code == "not_allowed"
    assert gap(slice_, level="terrible").code == "not_allowed"
    assert gap(slice_, unit="999999999999").code == "not_found"
    assert slice_.rows(Alarm) == []


def taken(made):
    made.birth()
    made.send(("smoke1/smoke", 1))
    [alarm] = made.rows(Alarm)
    made.order(commands.Acknowledge(alarm=alarm.id, by="林一", person_id=7))
    return alarm.id


def plan_expiry(made, alarm, after_s):
    with made.db.write() as session:
        session.add(EscalationStep(alarm=alarm, annunciation=1, reason="expire", step=0, due=made.now + after_s * 1000))


def test_a_take_over_that_runs_out_asks_everybody_anew(slice_):
    alarm = taken(slice_)
    plan_expiry(slice_, alarm, 20)
    slice_.run(19)
    assert names(slice_) == ["raised", "acknowledged"]
    slice_.run(3)
    assert names(slice_)[-1] == "take_over_expired"
    assert [row.state for row in slice_.rows(Alarm)] == ["active_unacked"]
    assert [(s.reason, s.state) for s in slice_.rows(EscalationStep)][-1] == ("raised", "pending")
    assert [row.person for row in slice_.rows(Transition)] == [None, 7, None]


def test_progress_starts_the_clock_anew(slice_):
    alarm = taken(slice_)
    plan_expiry(slice_, alarm, 20)
    slice_.order(commands.Progress(alarm=alarm, by="林一"))
    slice_.run(30)
    assert "take_over_expired" not in names(slice_)
    assert [(s.reason, s.state) for s in slice_.rows(EscalationStep)][-2:] == [("expire", "cancelled"), ("progressed", "pending")]


def test_the_owner_who_cannot_go_gives_it_back_and_all_are_asked(slice_):
    alarm = taken(slice_)
    slice_.order(commands.Decline(alarm=alarm, by="林一"))
    assert names(slice_)[2:] == ["decline", "take_over_expired"]
    assert [row.state for row in slice_.rows(Alarm)] == ["active_unacked"]


def test_the_second_answer_is_on_the_record_and_told_who_was_first(slice_):
    alarm = taken(slice_)
    outcome = slice_.order(commands.Acknowledge(alarm=alarm, by="陈二"))
    assert (outcome.code, outcome.sentence) == ("conflict", "已由林一接手，你的答复已记录。")
    assert slice_.order(commands.Acknowledge(alarm=alarm, by="林一")).code == "conflict"
    assert names(slice_) == ["raised", "acknowledged", "also_acknowledged"]


def test_no_danger_is_progress_and_seen_stops_nothing(slice_):
    alarm = taken(slice_)
    slice_.order(commands.NoDanger(alarm=alarm, by="林一"))
    slice_.order(commands.Seen(alarm=alarm, by="+8613800000000"))
    assert names(slice_)[2:] == ["no_danger", "seen"]


def test_the_supervision_line_is_not_silenced_by_the_handler(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm)
    with slice_.db.write() as session:
        session.add(EscalationStep(alarm=alarm.id, annunciation=1, reason="supervise", step=0, due=slice_.now + 60_000))
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    assert {(s.reason, s.state) for s in slice_.rows(EscalationStep)} == {("raised", "cancelled"), ("supervise", "pending"), ("taken", "pending")}
