"""How a simulator's command ends."""

import signal
import threading


def stop_event() -> threading.Event:
    """An event that SIGINT or SIGTERM sets. Call it from the main thread."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended
