"""Writing a plan in parts of a thousand changes, each a transaction with the images that its undo needs: the watch is never kept waiting for long."""

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Table, and_, bindparam, insert, select, update
from sqlalchemy.orm import Session

from server.org.imports.plan import Change, chunks
from server.org.imports.staff import Ref
from server.store.tables import Person
from server.store.tables_org import ImportImage

PART: Final = 1_000
_FIRST: Final = ("unit", "person", "gateway", "room")
Image = tuple[str, Any, dict[str, Any] | None, dict[str, Any]]


def write_part(session: Session, run: int, number: int, changes: Sequence[Change]) -> None:
    """Write one part of a plan and its images inside the caller's transaction."""
    images = apply(session, changes)
    body = zlib.compress(json.dumps(images, ensure_ascii=False, separators=(",", ":")).encode())
    session.add(ImportImage(run=run, part=number, body=body))


def apply(session: Session, changes: Sequence[Change]) -> list[Image]:
    """Write changes inside the caller's transaction; returns the images that an undo needs."""
    images: list[Image] = []
    for _, group in groupby(sorted(changes, key=_order), key=_order):
        batch = list(group)
        table, new = batch[0].table, batch[0].before is None
        images += _insert(session, table, batch) if new else _update(session, table, batch)
    return images


def _order(change: Change) -> tuple[int, str, bool]:
    """Rows that others refer to come first, new ones before changed ones."""
    name = change.table.name
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name, change.before is not None)


def images(session: Session, run: int) -> Iterator[Image]:
    """What a run changed, last change first."""
    query = select(ImportImage.part).where(ImportImage.run == run).order_by(ImportImage.part.desc())
    for part in session.scalars(query).all():
        body = session.get_one(ImportImage, (run, part)).body
        yield from reversed(json.loads(zlib.decompress(body)))


def _insert(session: Session, table: Table, batch: Sequence[Change]) -> list[Image]:
    rows = _resolved(session, batch)
    key = next(iter(table.primary_key.columns))
    if key.name in rows[0]:
        session.execute(insert(table), rows)
        return [(table.name, row[key.name], None, row) for row in rows]
    keys = session.scalars(insert(table).returning(key, sort_by_parameter_order=True), rows).all()
    # History is not undone: taking an import back is a further entry of it.
    return [] if table.name == "org_change" else [(table.name, ident, None, row) for ident, row in zip(keys, rows, strict=True)]


def _resolved(session: Session, batch: Sequence[Change]) -> list[dict[str, Any]]:
    """The rows with people named by personnel number replaced by their ids."""
    refs = {value for change in batch for value in change.after.values() if isinstance(value, Ref)}
    if not refs:
        return [change.after for change in batch]
    ids: dict[str, int] = {}
    for part in chunks(sorted(refs)):
        ids |= dict(session.execute(select(Person.code, Person.id).where(Person.code.in_([str(code) for code in part]))).all())
    return [{name: ids[value] if isinstance(value, Ref) else value for name, value in change.after.items()} for change in batch]


def _update(session: Session, table: Table, batch: Sequence[Change]) -> list[Image]:
    """Updates with the same columns go together; the key of the image is the row's primary key."""
    primary = next(iter(table.primary_key.columns)).name
    done: list[Image] = []
    for columns, group in groupby(sorted(batch, key=lambda c: sorted(c.after)), key=lambda c: sorted(c.after)):
        same = list(group)
        names = list(same[0].key)
        statement = update(table).where(and_(*(table.c[name] == bindparam(f"k_{name}") for name in names)))
        statement = statement.values({name: bindparam(f"v_{name}") for name in columns})
        parameters = [
            {f"k_{name}": change.key[name] for name in names} | {f"v_{name}": value for name, value in change.after.items()} for change in same
        ]
        session.connection().execute(statement, parameters)
        keys = _primary_keys(session, table, primary, same)
        done += [(table.name, key, change.before, change.after) for key, change in zip(keys, same, strict=True)]
    return done


def _primary_keys(session: Session, table: Table, primary: str, batch: Sequence[Change]) -> list[Any]:
    if list(batch[0].key) == [primary]:
        return [change.key[primary] for change in batch]
    keys = []
    for change in batch:
        query = select(table.c[primary]).where(and_(*(table.c[name] == value for name, value in change.key.items())))
        keys.append(session.scalars(query).one())
    return keys
