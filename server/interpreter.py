"""How Python runs in a process in which an alarm may not wait."""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SWITCH_S: Final = 0.0005
"""How long a busy thread keeps the others from running: an alarm passes several threads, and each statement of its transaction lets go once."""
COLLECT: Final = (20_000, 4, 5_000)
"""Python's garbage collector looks at everything that lives: with the memory of a province half a second in which nothing else runs. What stands
after the start is put out of its sight, and the rest is looked at seldom: hardly anything here forms cycles. The second number is small because
what has survived is looked at once more in one go: of twenty times 20,000 objects a seventh of a second long, of four a third of that."""
WORK_S: Final = 0.003
REST_S: Final = 0.047


def tune() -> None:
    """Set the interpreter up."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*COLLECT)


@contextmanager
def giving_way(rest: Callable[[float], object], clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """For work that nobody waits for: in this block the thread calls `rest(REST_S)` after each WORK_S.

    Threads that are busy get equal shares of the interpreter, so that a single one that counts rooms for two seconds halves the pace at which alarms
    are judged. It is stopped wherever it calls or returns: the block must not hold what others wait for, such as a transaction that writes.
    """
    until = clock() + WORK_S

    def pace(*_event: object) -> None:
        nonlocal until
        if clock() >= until:
            rest(REST_S)
            until = clock() + WORK_S

    sys.setprofile(pace)
    try:
        yield
    finally:
        sys.setprofile(None)
