"""Alarms looked at afterwards: why one did what it did, and its case as a file that can be judged again."""

from server.cases.bundle import NoCaseError, bundle
from server.cases.explanation import explain_alarm

__all__ = ["NoCaseError", "bundle", "explain_alarm"]
