"""The rules in force: those of the files and the changed limits, looked at again and again, because changes begin and end by the clock."""

import threading
from collections.abc import Callable

from alarms.rules import RuleSet
from server.store.holidays import NONE_GIVEN, Given
from server.store.limits import effective_rules
from server.store.session import Database


class RuleBook:
    """Any thread may ask and look. `adopt` gets each new rule set; the watch takes it over between two transactions."""

    def __init__(self, db: Database, base: RuleSet, now: int, adopt: Callable[[RuleSet], object], given: Given = NONE_GIVEN) -> None:
        self.base, self.given, self._db, self._adopt = base, given, db, adopt
        self._lock = threading.Lock()
        with db.read() as session:
            self.current = effective_rules(session, base, now, given)

    def run_once(self, now: int) -> bool:
        """Look at the changes in force; True when other rules hold than before."""
        with self._lock:
            with self._db.read() as session:
                rules = effective_rules(session, self.base, now, self.given)
            if rules.version == self.current.version:
                return False
            self.current = rules
            self._adopt(rules)
            return True
