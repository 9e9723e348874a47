"""What every table stands on: the declarative base and the type of a counted key."""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Integer
from sqlalchemy.orm import DeclarativeBase

# SQLite gives rowid semantics (and thus AUTOINCREMENT) only to INTEGER PRIMARY KEY.
Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Declarative base; int columns are 64 bit because instants are milliseconds."""

    type_annotation_map: ClassVar = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}
