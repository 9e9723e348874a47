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
