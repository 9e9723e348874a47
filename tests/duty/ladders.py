"""Escalation tables for tests of the machinery."""

from pathlib import Path

from server.duty.escalation import load_escalation

TEN_MINUTES = Path(__file__).with_name("ten_minutes.yaml")


def ten_minutes():
    """A plain ladder of ten-minute steps without day and night."""
    return load_escalation(TEN_MINUTES)
