"""The time-series store behind one protocol."""
