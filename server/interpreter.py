"""How Python runs in a process in which an alarm may not wait."""

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.0005
"""How long a busy thread keeps the others from running: an alarm passes several threads, and each statement of its transaction lets go once."""
COLLECT: Final = (20_000, 20, 1_000)
"""Python's garbage collector looks at everything that lives: with the memory of a province half a second in which nothing else runs. What stands
after the start is put out of its sight, and the rest is looked at seldom: hardly anything here forms cycles."""


def tune() -> None:
    """Set the interpreter up."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*COLLECT)
