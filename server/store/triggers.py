"""Triggers that make tables append-only: whoever has a connection cannot change what is written, short of dropping them (which is found)."""

from collections.abc import Iterator

APPEND_ONLY = ("audit", "transition")


def statements(dialect: str, table: str) -> Iterator[str]:
    """SQL that refuses UPDATE, DELETE and what amounts to either, on SQLite or PostgreSQL."""
    if dialect == "postgresql":
        yield (
            f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        yield f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_append_only()"
        yield f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
        return
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    for event in ("update", "delete"):
        yield f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table} {refuse}"
    # REPLACE removes the old row without firing its delete trigger.
    there = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608 - names of our own tables
    yield f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} {refuse}"


def names(dialect: str, table: str) -> tuple[str, ...]:
    """Triggers that must be there."""
    return (
        (f"{table}_no_change", f"{table}_no_truncate")
        if dialect == "postgresql"
        else tuple(f"{table}_no_{e}" for e in ("update", "delete", "replace"))
    )
