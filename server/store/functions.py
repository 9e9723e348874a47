"""SQL functions that SQLite and PostgreSQL call by different names."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class AfterColon(GenericFunction[str]):
    """What follows the first colon of a text, e.g. the code in `room:350102000000-01`; the whole text where there is no colon."""

    type = String()
    inherit_cache = True


@compiles(AfterColon)
def _with_strpos(element: AfterColon, compiler: SQLCompiler, **how: Any) -> str:
    text = compiler.process(element.clauses, **how)
    return f"substr({text}, strpos({text}, ':') + 1)"


@compiles(AfterColon, "sqlite")
def _with_instr(element: AfterColon, compiler: SQLCompiler, **how: Any) -> str:
    text = compiler.process(element.clauses, **how)
    return f"substr({text}, instr({text}, ':') + 1)"


class PlaceNamed(GenericFunction[str]):
    """The first twelve characters behind the colon of a subject: the unit of the code that it names. An index of the audit log is made of it, which
    both databases use only for this very text: its numbers may not become parameters.
    """

    type = String()
    inherit_cache = True


@compiles(PlaceNamed)
def _place_named(element: PlaceNamed, compiler: SQLCompiler, **how: Any) -> str:
    return f"substr({compiler.process(AfterColon(*element.clauses), **how)}, 1, 12)"
