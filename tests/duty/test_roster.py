from datetime import date

import pytest

from server.duty.calendar import CalendarError, Workdays, load_workdays
from server.duty.clock import local, midnight
from server.duty.roster import Away, Book, Sheet, Watcher, gaps, shifts, turns_of, who

HOUR = 3_600_000
DAY = date(2026, 11, 23)  # a Monday
UNIT = "350102000000"


def sheet(**changes):
    values = {"id": 1, "unit": UNIT, "name": "夜班", "role": "duty_officer", "starts_min": 18 * 60, "minutes": 14 * 60, "days": "all", "turn_days": 1,
              "anchor": DAY, "turns": ((1,), (2,), (3, 4))}  # fmt: skip
    return Sheet(**(values | changes))


def people(*left, **changes):
    return {i: Watcher(i, f"P{i}", UNIT, f"1380000000{i}", verified=True, left=i in left, **changes) for i in range(1, 6)}


def book(*sheets, **changes):
    return Book(sheets=sheets or (sheet(),), people=changes.pop("people", people()), **changes)


def names(found):
    return [one.watcher.id for one in found]


def at(day, hour):
    return midnight(date(2026, 11, day)) + int(hour * HOUR)


@pytest.mark.parametrize(
    ("day", "hour", "present"),
    [(23, 17.99, []), (23, 18, [1]), (24, 3, [1]), (24, 7.99, [1]), (24, 8, []), (24, 19, [2]), (25, 23, [3, 4]), (26, 18, [1])],
)
def test_the_rotation_over_midnight(day, hour, present):
    assert names(who(book(), UNIT, "duty_officer", at(day, hour))) == present


def test_other_roles_and_units_are_not_on_duty():
    assert who(book(), UNIT, "duty_leader", at(23, 19)) == ()
    assert who(book(), "350103000000", "duty_officer", at(23, 19)) == ()
    assert names(who(book(), UNIT, "", at(23, 19))) == [1]


def test_a_turn_of_a_week():
    weekly = book(sheet(turn_days=7))
    assert [names(who(weekly, UNIT, "", at(day, 19))) for day in (23, 29, 30)] == [[1], [1], [2]]


def test_a_hand_writes_over_a_day_and_an_empty_day_has_no_shift():
    changed = book(changes={(1, DAY): (5,), (1, date(2026, 11, 24)): ()})
    assert names(who(changed, UNIT, "", at(23, 19))) == [5]
    assert who(changed, UNIT, "", at(24, 19)) == ()
    assert [shift.changed for shift in shifts(changed, UNIT, at(23, 0), at(26, 0))] == [True, False]


def test_a_stand_in_answers_for_who_is_on_leave_and_so_on():
    away = {1: (Away(at(23, 0), at(25, 0), 2),), 2: (Away(at(23, 20), at(24, 0), 5),)}
    leave = book(leave=away)
    [early] = who(leave, UNIT, "", at(23, 19))
    assert (early.watcher.id, early.instead_of.id) == (2, 1)
    assert names(who(leave, UNIT, "", at(23, 21))) == [5]
    nobody = book(leave={1: (Away(at(23, 0), at(25, 0), None),)})
    assert who(nobody, UNIT, "", at(23, 19)) == ()


def test_workdays_know_holidays_and_make_up_days():
    days = Workdays()
    assert not days.works(date(2026, 10, 1))
    assert days.works(date(2026, 10, 10))  # a Saturday that is worked
    assert [days.known(year) for year in (2026, 2040)] == [True, False]
    assert days.works(date(2040, 1, 2))  # a Monday beyond the library's years
    assert Workdays({date(2026, 10, 1): True}).works(date(2026, 10, 1))


def test_day_shifts_on_workdays_rest_days_for_the_others():
    work = sheet(id=1, name="白班", starts_min=480, minutes=600, days="work", anchor=date(2026, 9, 28), turns=((1,), (2,)))
    rest = sheet(id=2, name="假日班", starts_min=480, minutes=600, days="rest", anchor=date(2026, 9, 28), turns=((3,), (4,), (5,)))
    both = book(work, rest)
    found = [names(who(both, UNIT, "", midnight(date(2026, 10, day)) + 10 * HOUR)) for day in range(1, 11)]
    # 1 to 7 October are the National Day; 10 October (Saturday) is worked
    assert found == [[3], [4], [5], [3], [4], [5], [3], [2], [1], [2]]


def test_a_holiday_file(tmp_path):
    path = tmp_path / "days.txt"
    path.write_text("# ours\n2027-02-05 rest 春节\n2027-02-07 work\n\n", "utf-8")
    days = load_workdays(path)
    assert (days.works(date(2027, 2, 5)), days.works(date(2027, 2, 7)), days.known(2027)) == (False, True, True)
    path.write_text("2027-02-05 maybe\n")
    with pytest.raises(CalendarError, match=r"days.txt:1: expected"):
        load_workdays(path)
    path.write_text("soon rest\n")
    with pytest.raises(CalendarError, match=r"days.txt:1: "):
        load_workdays(path)


def reasons(made, day=23, hour=12):
    found = gaps(made, UNIT, at(day, hour), at(day + 1, hour), lambda phone: bool(phone) and len(phone) == 11)
    return [(gap.reasons, gap.empty) for gap in found]


def test_no_gap_where_everybody_can_be_reached():
    assert reasons(book()) == []


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (book(sheet(turns=())), (("nobody",), True)),
        (book(people=people(1)), (("left",), True)),
        (book(leave={1: (Away(at(23, 0), at(25, 0), None),)}), (("on_leave",), True)),
        (book(people=people() | {1: Watcher(1, "P1", "350199000000", "13800000001", verified=True)}), (("transferred",), True)),
        (book(people=people() | {1: Watcher(1, "P1", UNIT, "", verified=False)}), (("no_phone",), True)),
        (book(people=people() | {1: Watcher(1, "P1", UNIT, "13800000001", verified=False)}), (("unverified",), True)),
    ],
)
def test_gaps_are_seen_before_the_shift_begins(made, expected):
    assert reasons(made) == [expected]


def test_one_who_can_be_counted_on_is_enough():
    pair = book(sheet(turns=((1, 2),)), people=people() | {1: Watcher(1, "P1", UNIT, "13800000001", verified=False)})
    assert reasons(pair) == [(("unverified",), False)]


def test_a_day_without_a_shift_by_hand_is_no_gap():
    assert reasons(book(changes={(1, DAY): ()})) == []


def test_turns_of_a_row():
    assert turns_of([1, [2, 3]]) == ((1,), (2, 3))
    for wrong in (["a"], [[]], [True], [[1, "b"]]):
        with pytest.raises(ValueError, match="a turn is"):
            turns_of(wrong)


def test_the_clock_is_that_of_beijing():
    assert local(midnight(DAY)).isoformat() == "2026-11-23T00:00:00+08:00"
