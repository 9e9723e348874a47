"""What a person answers, by whatever way: the same digits everywhere (language.md 3.4). Pure.

1 接手   2 去不了   3 已到场   4 需要支援   5 现场无险情   9 再听一遍 (calls only)
"""

import re
import unicodedata
from dataclasses import dataclass

from server.duty.numbers import valid

WORDS = {"接手": 1, "去不了": 2, "转交": 2, "到场": 3, "求援": 4, "支援": 4, "无险情": 5}
AGAIN = 9
NOT_UNDERSTOOD = "没有听懂。接手按1，转交按2，重听按9。"
_GROUP = re.compile(r"(?<!\d)(\d{3})[ -]?(\d{3})(?!\d)")
_DIGIT = re.compile(r"(?<!\d)([1-5])(?!\d)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A digit (1–5, None = not understood) and the 编号 that it is about ('' = none was given)."""

    digit: int | None
    number: str = ""


def read(text: str) -> Answer:
    """Read a reply: `1 483925`, `483 925 去不了`, `１`. A number with a wrong check digit is none."""
    plain = unicodedata.normalize("NFKC", text)
    number = next((a + b for a, b in _GROUP.findall(plain) if valid(a + b)), "")
    rest = _GROUP.sub(" ", plain)
    word = next((digit for said, digit in WORDS.items() if said in rest), None)
    found = _DIGIT.search(rest)
    return Answer(int(found[1]) if found else word, number)
