"""编号: the six digits by which a person names an alarm on the phone, in an SMS reply or on the keys of a call.

Five digits come from the alarm's id, the sixth is the Luhn check digit, so that one wrong digit is never another alarm. Digits only, because a
numeric template variable must carry it and letters cannot be keyed (language.md 3.1).
"""

CYCLE = 100_000
"""So many alarms may follow one another before a number comes again."""

# x -> FACTOR * x + SHIFT is a bijection of 0..CYCLE-1 because FACTOR shares no divisor with CYCLE = 2^5 * 5^5. The factor is chosen so that
# alarms raised one after the other differ in most digits: neighbours on the same screen must not be confused.
_FACTOR = 61_803
_SHIFT = 39_887
_DIGITS = 6


def number(seed: int) -> str:
    """The number of the alarm with id `seed` (≥ 0): six digits, the last one the check digit.

    Uniqueness over 30 days holds by construction: ids grow and are never reused, and two ids share a number only if they are a multiple of
    CYCLE apart. A province raises about 150 alarms a day, so 100,000 of them last for years; it would take 3,300 a day to break the promise.
    Raises ValueError for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"an alarm id is never negative: {seed}")
    body = f"{(seed % CYCLE * _FACTOR + _SHIFT) % CYCLE:05d}"
    return body + str(-_luhn_sum(body + "0") % 10)


def valid(text: str) -> bool:
    """Whether a text is a number that we could have given out. Blanks are allowed: screens show `483 925`."""
    digits = "".join(text.split())
    return len(digits) == _DIGITS and digits.isascii() and digits.isdigit() and _luhn_sum(digits) % 10 == 0


def spaced(text: str) -> str:
    """As printed on screens and read out: two groups of three."""
    return f"{text[:3]} {text[3:]}"


def _luhn_sum(digits: str) -> int:
    """Sum of ISO/IEC 7812-1 Annex B: every second digit from the right doubled, the digits of a doubled one added."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)
