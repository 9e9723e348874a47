"""The whole schema: import this instead of tables.py where every table must be known (migrations, tests that create a database at once).

A new noun's tables live in server/store/tables_<area>.py and are found by that name.
"""

from importlib import import_module
from pkgutil import iter_modules

from server import store
from server.store.tables import Base

for _module in iter_modules(store.__path__):
    if _module.name.startswith("tables_"):
        import_module(f"{store.__name__}.{_module.name}")

__all__ = ["Base"]
