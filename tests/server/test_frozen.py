"""A server that was held up as a whole and goes on: nobody watched meanwhile, which is no sensor's silence."""

import threading
import time

from server.store.tables import Alarm, CoverageSpan
from server.store.tables_watch import ServerOutage

WAIT = 20.0
READINGS = (("th1/humidity", 52.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0.0))


def test_a_writer_that_was_held_up_calls_nobody_silent_and_the_ledger_says_who_did_not_watch(slice_):
    slice_.birth()
    stop = threading.Event()
    thread = threading.Thread(target=slice_.watch.run, args=(stop, lambda: slice_.now))
    thread.start()
    slice_.send(*READINGS, wait=False)[1].result(WAIT)
    held, slice_.now = slice_.now, slice_.now + 300_000
    deadline = time.monotonic() + WAIT
    while not (outages := [row for row in slice_.rows(ServerOutage) if row.ended == slice_.now]):
        assert time.monotonic() < deadline, "the gap was not noticed"
        time.sleep(0.01)
    slice_.send(*READINGS, wait=False)[1].result(WAIT)
    stop.set()
    thread.join(WAIT)
    assert [row.began for row in outages] == [held]
    assert slice_.rows(Alarm) == []
    spans = [(span.state, span.cause, span.since, span.until) for span in slice_.rows(CoverageSpan, room=slice_.ROOM)]
    assert ("blind", "server", held, slice_.now) in spans
    assert spans[-1][0] == "watched"
