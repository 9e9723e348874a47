"""Coverage against ground truth: every millisecond judged on its own, by a rule as plain as the glossary."""

from hypothesis import given
from hypothesis import strategies as st

from alarms.coverage import DAY_MS, Heard, Span, Watch, classify, day_of, fold, merged, stretch, totals

WANTED = ("temperature", "humidity")


def test_watched_needs_every_demanded_quantity() -> None:
    both = {"temperature": [200], "humidity": [300]}
    assert classify(WANTED, both, 100) == (Watch.WATCHED, (), 200)
    assert classify(WANTED, both, 199).state is Watch.WATCHED
    assert classify(WANTED, both, 200) == (Watch.DEGRADED, ("temperature",), 300)
    assert classify(WANTED, both, 300) == (Watch.BLIND, WANTED, None)


def test_a_second_point_keeps_the_quantity_fresh() -> None:
    assert classify(["humidity"], {"humidity": [100, 900]}, 500) == (Watch.WATCHED, (), 900)


def test_a_quantity_that_never_reported_is_missing() -> None:
    assert classify(WANTED, {"humidity": [900]}, 500) == (Watch.DEGRADED, ("temperature",), 900)
    assert classify(WANTED, {}, 500) == (Watch.BLIND, WANTED, None)


def test_a_room_that_demands_nothing_is_not_called_watched() -> None:
    assert classify([], {}, 500).state is Watch.BLIND


def test_a_person_stands_in_but_never_replaces_sensors() -> None:
    assert classify(WANTED, {"humidity": [900]}, 500, manual_until=700) == (Watch.MANUAL, ("temperature",), 700)
    assert classify(WANTED, {"temperature": [900], "humidity": [900]}, 500, manual_until=700) == (Watch.WATCHED, (), 900)
    assert classify(WANTED, {}, 700, manual_until=700).state is Watch.BLIND


def test_a_late_look_writes_the_exact_instants() -> None:
    deadlines = {"temperature": [150], "humidity": [400]}
    assert stretch(WANTED, deadlines, 100, 1000, manual_until=600) == (
        Span(100, 150, Watch.WATCHED, ()),
        Span(150, 400, Watch.MANUAL, ("temperature",)),
        Span(400, 600, Watch.MANUAL, WANTED),
        Span(600, 1000, Watch.BLIND, WANTED),
    )


def test_injected_silence_of_a_day_is_found_to_the_millisecond() -> None:
    start, end = day_of(1_790_000_000_000)
    allowed = 180_000
    beats = [at for at in range(start - 60_000, end, 60_000) if not start + 3_600_000 < at < start + 7_200_001]
    heard = [Heard(at, quantity, quantity, allowed) for at in beats for quantity in WANTED]
    spans = fold(WANTED, [h for h in heard if h.at >= start], start, end, first=[h for h in heard if h.at < start])
    last = max(at for at in beats if at <= start + 3_600_000)
    back = min(at for at in beats if at > start + 3_600_000)
    assert [s for s in spans if s.state is Watch.BLIND] == [Span(last + allowed, back, Watch.BLIND, WANTED)]
    sums = totals(spans, start, end)
    assert sums[Watch.BLIND] == back - last - allowed
    assert sum(sums.values()) == DAY_MS


def test_totals_clip_to_the_period_and_do_not_invent_time() -> None:
    spans = [Span(0, 100, Watch.WATCHED, ()), Span(100, 150, Watch.BLIND, WANTED)]
    assert totals(spans, 50, 400) == {Watch.WATCHED: 50, Watch.DEGRADED: 0, Watch.BLIND: 50, Watch.MANUAL: 0}


def test_neighbours_that_say_the_same_are_one() -> None:
    assert merged([Span(0, 5, Watch.BLIND, ()), Span(5, 5, Watch.BLIND, ()), Span(5, 9, Watch.BLIND, ())]) == (Span(0, 9, Watch.BLIND, ()),)


HEARD = st.builds(Heard, st.integers(0, 119), st.sampled_from(WANTED), st.sampled_from(["a", "b"]), st.integers(1, 40))
PERIOD = st.tuples(st.integers(0, 119), st.integers(1, 40)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(HEARD, max_size=20), st.lists(PERIOD, max_size=3))
def test_fold_agrees_with_ground_truth_at_every_instant(samples: list[Heard], manual: list[tuple[int, int]]) -> None:
    heard = sorted(samples, key=lambda sample: sample.at)
    spans = fold(WANTED, heard, 0, 120, manual)
    assert [span.since for span in spans] == [0, *(span.until for span in spans[:-1])]
    assert spans[-1].until == 120
    for at in range(120):
        last = {(h.quantity, h.point): h for h in heard if h.at <= at}
        fresh = {h.quantity for h in last.values() if at < h.at + h.allowed_ms}
        by_hand = any(first <= at < until for first, until in manual)
        truth = "watched" if len(fresh) == 2 else "manual" if by_hand else "degraded" if fresh else "blind"
        span = next(s for s in spans if s.since <= at < s.until)
        assert (at, span.state, set(span.missing)) == (at, truth, set(WANTED) - fresh)
    assert sum(totals(spans, 0, 120).values()) == 120
