"""The whole schema: import this instead of tables.py where every table must be known (migrations, tests that create a database at once).

A new noun's tables live in server/store/tables_<area>.py and are imported here.
"""

from server.store import (
    tables,
    tables_alarms,
    tables_drill,
    tables_duty,
    tables_gateway,
    tables_incident,
    tables_occurrences,
    tables_org,
    tables_papers,
    tables_samples,
    tables_security,
    tables_series,
    tables_stills,
    tables_tree,
    tables_watch,
)
from server.store.base import Base

__all__ = [
    "Base",
    "tables",
    "tables_alarms",
    "tables_drill",
    "tables_duty",
    "tables_gateway",
    "tables_incident",
    "tables_occurrences",
    "tables_org",
    "tables_papers",
    "tables_samples",
    "tables_security",
    "tables_series",
    "tables_stills",
    "tables_tree",
    "tables_watch",
]
