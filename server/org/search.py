"""What people may type to find a unit, a room or a person: the name, its pinyin in full and in initials, the code. Stored beside the row."""

from functools import lru_cache

from pypinyin import lazy_pinyin
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import Person, Room, Unit

# Surnames that are read otherwise than the character's first reading.
_SURNAMES = {
    "曾": "zeng", "单": "shan", "仇": "qiu", "解": "xie", "任": "ren", "查": "zha", "盖": "ge", "区": "ou", "朴": "piao", "覃": "qin", "翟": "zhai",
    "缪": "miao", "宁": "ning", "尉": "wei", "乐": "yue", "员": "yun", "召": "shao", "华": "hua", "黑": "he", "折": "she", "种": "chong",
}  # fmt: skip
_LONGEST = 300


@lru_cache(maxsize=100_000)
def _syllable(character: str) -> str:
    return str(lazy_pinyin(character)[0])


def of_person(name: str, code: str) -> str:
    """Search text of a person. Characters are read one by one: names are no phrases, and most characters occur again and again.

    The phone number is not in it: whoever may not see numbers could find one out digit by digit.
    """
    syllables = [_SURNAMES.get(name[0]) or _syllable(name[0]), *(_syllable(character) for character in name[1:])] if name else []
    return _join(name, syllables, code)


def of_place(*names: str, code: str) -> str:
    """Search text of a unit or a room, by its names. Read as phrases, because 厦 in 厦门 is no 大厦."""
    parts = [text for name in names for text in _readings(name)]
    return _trim(*names, *parts, code)


def _readings(name: str) -> tuple[str, str]:
    syllables = lazy_pinyin(name)
    return "".join(s[0] for s in syllables if s), "".join(syllables)


def _join(name: str, syllables: list[str], *more: str) -> str:
    return _trim(name, "".join(s[0] for s in syllables if s), "".join(syllables), *more)


def _trim(*parts: str) -> str:
    return " ".join(dict.fromkeys(part for part in parts if part)).lower()[:_LONGEST]


def missing(session: Session) -> bool:
    """Whether there is a row without a search text."""
    return any(session.execute(select(table.search).where(table.search == "").limit(1)).first() is not None for table in (Person, Unit, Room))


def fill(session: Session, limit: int = 50) -> int:
    """Give up to `limit` rows a table without a search text one (written before there was such a column, or by hand); returns how many."""
    done = 0
    for row in session.scalars(select(Person).where(Person.search == "").limit(limit)).all():
        row.search = of_person(row.name, row.code)
        done += 1
    places: list[Unit | Room] = [*session.scalars(select(Unit).where(Unit.search == "").limit(limit))]
    places += session.scalars(select(Room).where(Room.search == "").limit(limit))
    for place in places:
        place.search = of_place(place.name, place.short_name, code=place.code)
    return done + len(places)
