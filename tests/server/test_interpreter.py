"""Work that nobody waits for gives way to alarms."""

import itertools
import sys

import pytest

from server.interpreter import REST_S, WORK_S, giving_way


def work():
    return sum(range(3))


def test_it_rests_after_each_bit_of_work_and_goes_on():
    """The clock goes on by a third of WORK_S whenever it is looked at."""
    ticks, rests, done = itertools.count(), [], []
    with giving_way(rests.append, lambda: next(ticks) * WORK_S / 3):
        done += [work() for _ in range(30)]
    assert done == [3] * 30
    assert len(rests) > 10
    assert set(rests) == {REST_S}
    assert sys.getprofile() is None


def test_a_failure_within_comes_out_and_the_thread_runs_freely_again():
    with pytest.raises(ZeroDivisionError), giving_way(lambda _s: None):
        _ = 1 / 0
    assert sys.getprofile() is None
