"""The tables that nearly everybody asks about, by one name. Times are UTC milliseconds; codes are those of design "Identity"."""

from server.store.base import Base
from server.store.tables_occurrences import Alarm, AlarmMemory, EscalationStep, Notification, Transition
from server.store.tables_samples import CoverageSpan, Gateway, GatewayCommand, Journal, JournalCursor, Point, Refused, Snapshot, Watermark
from server.store.tables_security import AuditEntry
from server.store.tables_tree import Account, Person, Room, Unit, WebSession

__all__ = [
    "Account",
    "Alarm",
    "AlarmMemory",
    "AuditEntry",
    "Base",
    "CoverageSpan",
    "EscalationStep",
    "Gateway",
    "GatewayCommand",
    "Journal",
    "JournalCursor",
    "Notification",
    "Person",
    "Point",
    "Refused",
    "Room",
    "Snapshot",
    "Transition",
    "Unit",
    "Watermark",
    "WebSession",
]
