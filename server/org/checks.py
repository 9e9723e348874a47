"""Checks of single values that people type, shared by forms, API and import: each takes text and returns the value, or says what is wrong."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import permutations
from zoneinfo import ZoneInfo

from contract.quantities import QUANTITIES
from server.org import roles
from server.org.vocabulary import SHORT_NAME, SMS_PLACE

Check = Callable[[str], object]
ZONE = ZoneInfo("Asia/Shanghai")
_PHONE = re.compile(r"\+?\d{5,15}")
_EMAIL = re.compile(r"[^@\s]{1,60}@[^@\s]{1,58}")


class CheckError(ValueError):
    """A value that cannot be taken; the text is the sentence shown to the person."""


def text(longest: int, *, required: bool = False) -> Check:
    """Free text; a longer one is refused, never cut."""

    def check(value: str) -> str:
        if required and not value:
            raise CheckError("不能为空")
        if len(value) > longest:
            raise CheckError(f"最多 {longest} 个字，现有 {len(value)} 个：{value}")
        if any(ord(character) < 32 for character in value):
            raise CheckError("含有换行或控制字符")
        return value

    return check


short_name = text(SHORT_NAME, required=True)
sms_place = text(SMS_PLACE, required=True)


def match(pattern: str, hint: str, *, required: bool = True) -> Check:
    """Text of a form, e.g. a code; `hint` says in words what it looks like."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str | None:
        if not value and not required:
            return None
        if not compiled.fullmatch(value):
            raise CheckError(f"应为{hint}，现为 {value!r}")
        return value

    return check


unit_code = match(r"\d{12}", "12 位数字的单位编号")
room_code = match(r"\d{12}-\d{2}", "单位编号加“-”加 2 位数字")
ident = match(r"[^+#/\s]{1,40}", "不含空格、+、#、/ 的编号")


def one_of(allowed: Iterable[str], default: str | None = None) -> Check:
    """One of a few words; an empty value is `default` when that is given."""
    words = tuple(allowed)

    def check(value: str) -> str:
        if not value and default is not None:
            return default
        if value not in words:
            raise CheckError(f"只能是 {'、'.join(word for word in words if word)}，现为 {value!r}")
        return value

    return check


def phone(value: str) -> str | None:
    """A telephone number without blanks and hyphens, None for none."""
    digits = re.sub(r"[\s-]", "", value)
    if not digits:
        return None
    if not _PHONE.fullmatch(digits):
        raise CheckError(f"应为 5 到 15 位数字的电话号码，现为 {value!r}")
    return digits


def email(value: str) -> str:
    """An e-mail address, '' for none."""
    if value and not _EMAIL.fullmatch(value):
        raise CheckError(f"不是邮箱地址：{value!r}")
    return value


def flag(value: str) -> bool:
    """是 or 否, also 1, 0, true, false; empty is 否."""
    if value.lower() in ("", "0", "否", "false", "no", "n"):
        return False
    if value.lower() in ("1", "是", "true", "yes", "y"):
        return True
    raise CheckError(f"只能是 是 或 否，现为 {value!r}")


def number(lowest: float, highest: float, *, required: bool = True, whole: bool = False) -> Check:
    """A number within limits; None for an empty value that is not required."""

    def check(value: str) -> float | int | None:
        if not value and not required:
            return None
        try:
            found = float(value)
        except ValueError as error:
            raise CheckError(f"不是数字：{value!r}") from error
        if not lowest <= found <= highest or (whole and found != int(found)):
            raise CheckError(f"应在 {lowest:g} 到 {highest:g} 之间{'的整数' if whole else ''}，现为 {value}")
        return int(found) if whole else found

    return check


def day(value: str) -> int:
    """The millisecond at which a calendar day (2026-11-05, also 2026/11/5) begins in Asia/Shanghai."""
    parts = re.fullmatch(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]00:00:00)?", value)
    if parts is None:
        raise CheckError(f"不是日期（如 2026-11-05）：{value!r}")
    try:
        year, month, date = (int(part) for part in parts.groups())
        return int(datetime(year, month, date, tzinfo=ZONE).timestamp()) * 1000
    except ValueError as error:
        raise CheckError(f"不是日期（如 2026-11-05）：{value!r}") from error


def _listed(value: str) -> list[str]:
    return [part for part in re.split(r"[;；、,，\s]+", value) if part]


def quantities(value: str) -> list[str]:
    """Quantities joined by ';'."""
    names = _listed(value)
    unknown = [name for name in names if name not in QUANTITIES]
    if unknown:
        raise CheckError(f"不认识的测量量：{'、'.join(unknown)}")
    return names


def quantity(value: str) -> str:
    """One quantity."""
    if value not in QUANTITIES:
        raise CheckError(f"不认识的测量量：{value}")
    return value


def role_list(value: str) -> list[str]:
    """Roles joined by ';' that one person may hold together."""
    names = _listed(value)
    unknown = [name for name in names if name not in roles.ROLES]
    if unknown:
        raise CheckError(f"不认识的角色：{'、'.join(unknown)}")
    if (clash := roles.conflict(names)) is not None:
        raise CheckError(f"{clash[0]} 与 {clash[1]} 不能由同一人担任")
    return names


WAY_NAMES = {"sms": "短信", "voice": "语音", "email": "邮件"}
"""How a person is reached, as people write it."""


def way_list(value: str) -> list[str]:
    """Ways of reaching a person in order, joined by ';', each at most once; an empty value leaves the order to the product."""
    words = {name: way for way, name in WAY_NAMES.items()}
    ways = [words.get(name, name) for name in _listed(value)]
    if unknown := [way for way in ways if way not in WAY_NAMES]:
        raise CheckError(f"通知方式只能是 {'、'.join(words)}，现为 {'、'.join(unknown)}")
    if len(set(ways)) != len(ways):
        raise CheckError("每种通知方式只能写一次")
    return ways


def way_orders(*, email: bool) -> list[tuple[str, ...]]:
    """The orders of ways that a person may choose from: two of them or all, letters only to a mailbox."""
    ways = [way for way in WAY_NAMES if way != "email" or email]
    return [order for length in range(2, len(ways) + 1) for order in permutations(ways, length)]
