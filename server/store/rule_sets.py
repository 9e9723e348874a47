"""Rule sets by version: what was in force when, so that an old alarm can be explained by the rules of its own day."""

from functools import lru_cache

from sqlalchemy.orm import Session

from alarms.rules import RuleSet, parse_rules
from server.store.tables_alarms import RuleSetVersion


def keep(session: Session, rules: RuleSet, now: int) -> None:
    """Store a rule set that has come into force; one that was in force before keeps its first instant."""
    if session.get(RuleSetVersion, rules.version) is None:
        session.add(RuleSetVersion(version=rules.version, body=rules.canonical(), since=now))
        session.flush()


def get(session: Session, version: str) -> RuleSet | None:
    """The rule set of a version, None when it was never in force here."""
    row = session.get(RuleSetVersion, version)
    return None if row is None else parsed(version, row.body)


@lru_cache(maxsize=16)
def parsed(version: str, body: str) -> RuleSet:
    """A stored rule set; reading one takes longer than a page may, and a version never changes."""
    return parse_rules(body, f"rule set {version[:12]}")
