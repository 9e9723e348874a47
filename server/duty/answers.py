"""What a person answers, by whatever way: the same digits everywhere (language.md 3.4). Pure.

1 接手   2 去不了   3 已到场   4 需要支援   5 现场无险情   9 再听一遍 (calls only)
"""

import re
import unicodedata
from dataclasses import dataclass

from server.duty.numbers import valid

ASKS = {1: "acknowledge", 2: "decline", 3: "progress", 4: "assist", 5: "no-danger"}
"""Digit -> the action that it asks for, by the name that pages and the interface use."""
WORDS = {"接手": 1, "去不了": 2, "转交": 2, "到场": 3, "求援": 4, "支援": 4, "无险情": 5}
AGAIN = 9
NOT_UNDERSTOOD = "没有听懂。接手按1，转交按2，重听按9。"
_GROUP = re.compile(r"(?<![A-Za-z0-9])(\d{3})[ -]?(\d{3})(?![A-Za-z0-9])")
_CODE = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9-]{3,32}(?![A-Za-z0-9-])")
_DIGIT = re.compile(r"(?<!\d)([1-5])(?!\d)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A digit (1–5, None = not understood), the 编号 that it is about and the person's own code ('' = none was given)."""

    digit: int | None
    number: str = ""
    code: str = ""


def read(text: str) -> Answer:
    """Read a reply: `1 483925`, `483 925 去不了`, `１`, `1 483925 P0017`. A number with a wrong check digit is none."""
    plain = unicodedata.normalize("NFKC", text)
    number = next((found for found in _GROUP.finditer(plain) if valid(found[1] + found[2])), None)
    rest = plain if number is None else f"{plain[: number.start()]} {plain[number.end() :]}"
    code = _CODE.search(rest) if number is not None else None  # it counts only beside a 编号
    rest = _CODE.sub(" ", rest)
    word = next((digit for said, digit in WORDS.items() if said in rest), None)
    digit = _DIGIT.search(rest)
    return Answer(int(digit[1]) if digit else word, number[1] + number[2] if number else "", code[0] if code else "")
