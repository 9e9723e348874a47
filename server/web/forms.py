"""A form that could not be taken, as it comes back: every field by its word, what was typed still in it, and beside what is wrong why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from server.web import labels
from server.web.faults import Fault
from server.web.i18n import Words
from server.web.kept import FILES
from server.web.offered import Offered

_NOTHING = Offered()


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a form. `choices` are codes and words where there is a list to choose from; `fault` says what is wrong with it, "" nothing."""

    name: str
    value: str
    label: str
    word: str
    fault: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """`open` are to be filled in, `kept` go along unseen or shown, `secrets` and `files` must be given anew."""

    open: tuple[Field, ...] = ()
    kept: tuple[Field, ...] = ()
    secrets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    wrong_names: frozenset[str] = frozenset()

    @property
    def offered(self) -> bool:
        """Whether there is anything to send again."""
        return bool(self.open or self.files or "actor_pin" in self.secrets)


def refused(
    words: Words,
    named: Sequence[str],
    *,
    typed: Sequence[tuple[str, str]] = (),
    secrets: Collection[str] = (),
    files: Collection[str] = (),
    faults: Mapping[str, Fault] = MappingProxyType({}),
    offered: Offered = _NOTHING,
) -> Refused:
    """Sort the fields of a form of which the `named` ones are wrong. Where none of them is, all that have a word are open. `offered` is what the
    page on which it stood says of its fields.
    """
    table = dict(typed).get("kind", "")
    wanted = [name for name in dict.fromkeys((*files, *named)) if name in FILES and (name in files or name in faults)]
    absent = [(name, "") for name in faults if name not in dict(typed) and name not in secrets and name not in FILES] if typed or files else []
    fields = [_field(words, table, name, value, faults, offered) for name, value in (*typed, *absent)]
    wrong = [field for field in fields if field.name in named]
    again = wrong or ("actor_pin" in secrets)
    shown = wrong if again else [field for field in fields if field.label != field.name and not field.name.startswith(("key.", "kind"))]
    kept = [field for field in fields if not any(field is one for one in shown)]
    return Refused(tuple(shown), tuple(kept), tuple(secrets), tuple(wanted), frozenset(field.name for field in wrong))


def _field(words: Words, table: str, name: str, value: str, faults: Mapping[str, Fault], offered: Offered) -> Field:
    group, _, column = name.partition(".")
    label = words.field(table, column) if group in ("cell", "key") and (table, column) in labels.COLUMNS else words.typed(name)
    fault = faults.get(name)
    said = "" if fault is None else words.text(fault.text, **fault.values)
    choices = tuple(offered.choices.get(name, ())) or _choices(words, table, name)
    label = offered.labels.get(name) or label
    return Field(name, value, label, dict(choices).get(value) or _word(words, table, name, value), said, choices)


def _choices(words: Words, table: str, name: str) -> tuple[tuple[str, str], ...]:
    column = labels.COLUMNS.get((table, name.partition(".")[2]))
    if column is not None and column.choices and column.words:
        return tuple((code, words.of(column.words, code)) for code in column.choices)
    known = labels.CHOICES.get(name)
    return () if known is None else tuple((code, words.of(known, code)) for code in labels.TABLES[known])


def _word(words: Words, table: str, name: str, value: str) -> str:
    column = labels.COLUMNS.get((table, name.partition(".")[2]))
    if column is not None and column.words:
        return words.of(column.words, value)
    if name == "quantity":
        return words.quantity(value)
    if name == "rule":
        return words.rule(value, {value: ("", value.partition("_")[0])})
    for known in (labels.CHOICES.get(name), *labels.ROLE_TABLES * (name == "role")):
        if known is not None and value in labels.TABLES[known]:
            return words.of(known, value)
    return value
