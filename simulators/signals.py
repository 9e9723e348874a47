"""How a simulator's command ends."""

import ctypes
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def stop_event() -> threading.Event:
    """An event that SIGINT or SIGTERM sets. Call it from the main thread."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the child when the thread that started it ends. Linux only; elsewhere the parent ends its children."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
