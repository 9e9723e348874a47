"""The one statement on which every claim rests: a conditional update, and whether it met its row."""

from typing import Any, cast

from sqlalchemy import CursorResult, Update
from sqlalchemy.orm import Session


def changed(session: Session, statement: Update) -> bool:
    """Run an UPDATE and say whether it changed a row. Its WHERE carries the state that the row must still be in."""
    result = cast(CursorResult[Any], session.execute(statement))
    return result.rowcount > 0
