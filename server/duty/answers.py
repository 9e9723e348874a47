"""What a person answers, by whatever way: the same digits everywhere (language.md 3.4). Pure.

1 接手   2 去不了   3 已到场   4 需要支援   5 现场无险情   9 再听一遍 (calls only)
"""

import re
import unicodedata
from dataclasses import dataclass

from server.duty.numbers import valid

ASKS = {1: "acknowledge", 2: "decline", 3: "progress", 4: "assist", 5: "no-danger"}
"""Digit -> the action that it asks for, by the name that pages and the interface use."""
WORDS = {
    "去不了": 2, "来不了": 2, "接不了": 2, "求援": 4, "支援": 4, "无险情": 5, "没有险情": 5, "没险情": 5, "到场": 3, "转交": 2, "接手": 1,
}  # fmt: skip
"""Of several words the first of this order counts: whoever cannot go and wants somebody else to take over has not taken over."""
AGAIN = 9
NOT_UNDERSTOOD = "没有听懂。接手按1，转交按2，重听按9。"
_GROUP = re.compile(r"(?<![A-Za-z0-9])(\d{3})[ -]?(\d{3})(?![A-Za-z0-9])")
_GLUED = re.compile(r"(?<![A-Za-z0-9])([1-5])(\d{6})(?![A-Za-z0-9])")
_CODE = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9-]{3,32}(?![A-Za-z0-9-])")
_DIGIT = re.compile(r"(?<![\d.:])([1-5])(?![\d.:]\d|\d|\s*(?:个|小时|分|秒|点|时|天|号|楼|层|间|人|度|库|公里|里|米|%|°))")
"""An answer, and no part of an hour, a floor, or the minutes until somebody comes."""
_DENIED = re.compile(r"(?:不|没|未|无法|别|勿|谁)[^，。,.;；!！?？\s]{0,3}$")


@dataclass(frozen=True, slots=True)
class Answer:
    """A digit (1–5, None = not understood), the 编号 that it is about and the person's own code ('' = none was given)."""

    digit: int | None
    number: str = ""
    code: str = ""


def read(text: str) -> Answer:
    """Read a reply: `1 483925`, `1483925`, `483 925 去不了`, `１`, `1 483925 P0017`. A number with a wrong check digit is none.

    What could mean two things is not understood: a wrong answer would end the calls to people who could go.
    """
    plain = unicodedata.normalize("NFKC", text)
    glued = next((found for found in _GLUED.finditer(plain) if valid(found[2])), None)
    if glued is not None:
        plain = f"{plain[: glued.start()]}{glued[1]} {glued[2]} {plain[glued.end() :]}"
    number = next((found for found in _GROUP.finditer(plain) if valid(found[1] + found[2])), None)
    rest = plain if number is None else f"{plain[: number.start()]} {plain[number.end() :]}"
    code = _CODE.search(rest) if number is not None else None  # it counts only beside a 编号
    return Answer(_meant(_CODE.sub(" ", rest)), number[1] + number[2] if number else "", code[0] if code else "")


def _meant(rest: str) -> int | None:
    """The one digit, else the first word of WORDS that is neither denied nor a question. None: nothing, two digits, or a digit against 去不了."""
    digits = {int(found) for found in _DIGIT.findall(rest)}
    words = [digit for said, digit in WORDS.items() if _says(rest, said)]
    if len(digits) > 1:
        return None
    if digits:
        digit = digits.pop()
        return None if words and (words[0] == 2) is not (digit == 2) else digit
    return words[0] if words else None


def _says(rest: str, word: str) -> bool:
    at = rest.find(word)
    return at >= 0 and _DENIED.search(rest[:at]) is None and "吗" not in rest[at:] and "?" not in rest[at:]
