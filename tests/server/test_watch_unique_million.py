"""The same at length (tests/server/test_watch_unique.py): a million raises."""

import pytest

from tests.server.test_watch_unique import check_unique

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def test_a_million_raises_at_once_are_one_alarm_per_point(slice_):
    check_unique(slice_, 1_000_000)
