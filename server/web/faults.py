"""What is wrong with a field of a form: one Chinese sentence with its values; the page says it in the language of whoever reads."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple


class Fault(NamedTuple):
    """A sentence with its values (Words.text)."""

    text: str
    values: Mapping[str, Any] = {}

    @property
    def plain(self) -> str:
        """In Chinese."""
        return self.text % self.values if self.values else self.text


_OF: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("请填写。", ""),
    "string_too_short": ("请填写，至少 %(n)s 个字。", "min_length"),
    "string_too_long": ("太长，最多 %(n)s 个字。", "max_length"),
    "too_short": ("至少选 %(n)s 个。", "min_length"),
    "too_long": ("最多选 %(n)s 个。", "max_length"),
    "greater_than": ("须大于 %(n)s。", "gt"),
    "greater_than_equal": ("不能小于 %(n)s。", "ge"),
    "less_than": ("须小于 %(n)s。", "lt"),
    "less_than_equal": ("不能大于 %(n)s。", "le"),
    "string_pattern_mismatch": ("写法不对，请核对。", ""),
    "extra_forbidden": ("没有这一项。", ""),
}
"""By pydantic's type of the error: the sentence, and which of the error's particulars stands in it."""
_CHOOSE, _WHEN = "请从列出的里面选。", "日期写作 2026-11-26，时间写作 18:00。"
_OF_KIND: Final = (
    ("int", "请填整数。"), ("float", "请填数字。"), ("decimal", "请填数字。"), ("date", _WHEN), ("time", _WHEN), ("bool", _CHOOSE),
    ("literal", _CHOOSE), ("enum", _CHOOSE),
)  # fmt: skip
SENTENCES: Final = (*(text for text, _ in _OF.values()), *(text for _, text in _OF_KIND), "内容不符合要求。")


def of(error: Mapping[str, Any]) -> Fault:
    """One error as pydantic describes it. An empty field that should hold a number or a date is one that is missing."""
    kind, context = str(error["type"]), error.get("ctx") or {}
    if error.get("input") == "" or (kind == "string_too_short" and context.get("min_length") == 1):
        return Fault("请填写。")
    if kind == "string_pattern_mismatch" and "|" in context.get("pattern", ""):
        return Fault(_CHOOSE)
    text, name = _OF.get(kind, ("", ""))
    if text:
        return Fault(text, {"n": f"{context[name]:g}" if isinstance(context[name], float) else context[name]} if name in context else {})
    return Fault(next((sentence for start, sentence in _OF_KIND if kind.startswith(start)), "内容不符合要求。"))


def by_field(errors: Iterable[Mapping[str, Any]]) -> dict[str, Fault]:
    """The first fault of each field of a form or body."""
    found: dict[str, Fault] = {}
    for error in errors:
        if error["loc"] and error["loc"][0] == "body":
            found.setdefault(str(error["loc"][-1]), of(error))
    return found
