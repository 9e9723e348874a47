import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.watch.spools import Mark


def test_contiguous_ranges_advance_the_watermark():
    mark = Mark().add(1, 5).add(6, 6)
    assert (mark.upto, mark.ranges) == (6, ())


def test_a_live_batch_behind_a_backlog_waits_as_a_range():
    mark = Mark(10).add(15, 20)
    assert (mark.upto, mark.ranges) == (10, ((15, 20),))
    assert mark.holds(16, 18)
    assert not mark.holds(11, 16)
    assert mark.add(11, 14) == Mark(20)


def test_repeats_are_recognised():
    mark = Mark(10, ((15, 20),))
    assert mark.holds(3, 10)
    assert mark.holds(15, 20)
    assert not mark.holds(10, 11)
    assert mark.add(15, 20) == mark


def test_a_birth_closes_what_the_spool_no_longer_holds():
    assert Mark(10, ((15, 20),)).declared(13) == Mark(12, ((15, 20),), lost=2)
    assert Mark(10, ((15, 20),)).declared(15) == Mark(20, (), lost=4)
    assert Mark(10).declared(4) == Mark(10)


def test_a_gap_counts_as_lost():
    assert Mark(10).add(11, 15, lost=True) == Mark(15, (), lost=5)


def test_backwards_ranges_are_refused():
    with pytest.raises(ValueError, match="backwards"):
        Mark().add(5, 4)


@given(st.permutations(range(12)), st.lists(st.integers(1, 6), min_size=12, max_size=12))
def test_any_order_of_arrival_ends_at_the_same_watermark(order, sizes):
    ranges, first = [], 1
    for size in sizes:
        ranges.append((first, first + size - 1))
        first += size
    mark, seen = Mark(), set()
    for index in order:
        low, high = ranges[index]
        assert not mark.holds(low, high)
        mark = mark.add(low, high)
        assert mark.holds(low, high)
        seen.update(range(low, high + 1))
        contiguous = next(n for n in range(first + 1) if n + 1 not in seen)
        assert mark.upto == contiguous
        assert {n for low, high in mark.ranges for n in range(low, high + 1)} == {n for n in seen if n > contiguous}
    assert mark == Mark(first - 1)
