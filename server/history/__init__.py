"""History: the way of samples from the journal into the series store, and what is asked of and done to that store."""

from server.history.drain import READER, Counters, History, pause_after

__all__ = ["READER", "Counters", "History", "pause_after"]
