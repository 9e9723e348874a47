"""SMS texts: chosen by what an alarm is about, filled with variables only, never longer than one message.

The texts are configuration (templates/sms.yaml). Everything that could go wrong with one at night is checked when the file is read: length over
the longest filling, unknown or neighbouring variables, a missing number. Lengths are UTF-16 units, which is what UCS-2 segments count.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from contract.quantities import QUANTITIES
from server.duty.ladder import Selector
from server.duty.routing import BEIJING
from server.duty.words import place

SINGLE, JOINED = 70, 67
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_SAME_DAY_MS = 12 * 3_600_000
_LINK = re.compile(r"https?:|www\.|[A-Za-z0-9]\.[A-Za-z]{2,}")
_FOLLOW = (
    "escalated", "again", "taken", "cleared", "assist", "reopened", "drill", "drill_taken", "digest", "summary", "supervise", "supervise_taken",
    "progress", "look", "test", "verify", "group_taken", "digest_over", "digest_both",
)  # fmt: skip


class TextError(ValueError):
    """A text file was refused. `str` is "file: text: reason"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFacts:
    """What a text may say about an alarm. Instants are UTC ms; `minutes` is how long it has lasted or waited; `place` is the 短信地点.

    `value` is the number that the rule judged; of an alarm over many rooms it is their count. `time` (hh:mm) stands for 时间 where the text is
    about another instant than the call, e.g. the begin of a shift; `now` is when it is said; `post` is the office of who has it, never a name;
    `count` what a summary counts, `over` how many of the night are over.
    """

    level: str
    rule: str
    kind: str
    quantity: str
    place: str
    number: str
    at: int
    since: int
    value: float | None = None
    minutes: int | None = None
    backup_minutes: int | None = None
    drill: bool = False
    time: str | None = None
    now: int | None = None
    acked: bool = False
    post: str = ""
    count: int | None = None
    over: int | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What selectors look at."""
        return {"rule": self.rule, "kind": self.kind, "quantity": self.quantity, "level": self.level}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(_Frozen):
    """One row of the table: alarms that match `when` are called `matter` and told with `text`."""

    when: Selector
    text: str
    otherwise: str | None = None
    matter: str
    time: Literal["at", "since"] = "at"
    minutes: Literal["minutes", "backup_minutes"] = "minutes"


class Catalogue(_Frozen):
    """A checked text file."""

    signature: str
    reply_hint: str
    tail: str
    variables: dict[str, int]
    levels: dict[str, str]
    units: dict[str, str]
    texts: dict[str, str]
    choose: tuple[Choice, ...]
    follow: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, text in self.texts.items():
            if reason := self._objection(text):
                raise ValueError(f"{name}: {reason}")
        named = {name for choice in self.choose for name in (choice.text, choice.otherwise) if name} | set(self.follow.values())
        if unknown := sorted(named - set(self.texts)):
            raise ValueError(f"there is no text {unknown[0]}")
        if missing := [key for key in _FOLLOW if key not in self.follow]:
            raise ValueError(f"follow must name a text for {missing[0]}")
        if long := [choice.matter for choice in self.choose if utf16(choice.matter) > self.variables["事项"]]:
            raise ValueError(f"{long[0]} is longer than 事项 may be")
        return self

    def _objection(self, text: str) -> str:
        found = _VARIABLE.findall(text)
        length = utf16(self.longest(text, reply_hint=True)) if all(name in self.variables for name in found) else 0
        checks = (
            (not text.startswith(self.signature), f"does not begin with {self.signature}"),
            (not text.endswith(self.tail), f"does not end with {self.tail}"),
            (not length, "names an unknown variable"),
            (len(found) != len(set(found)), "a variable stands twice"),
            ("}{" in text, "two variables stand side by side"),
            (bool(_LINK.search(text)), "carries a link"),
            (length > SINGLE, f"{length} units at its longest, {SINGLE} fit into one message"),
        )
        return next((reason for wrong, reason in checks if wrong), "")

    def longest(self, text: str, *, reply_hint: bool = False) -> str:
        """A text with every variable at its full width."""
        return _VARIABLE.sub(lambda found: "宽" * self.variables[found[1]], self._hinted(text, reply_hint))

    def matter(self, facts: AlarmFacts) -> str:
        """The 事项 of an alarm."""
        return self._choice(facts).matter

    def first(self, facts: AlarmFacts, *, reply_hint: bool = False) -> str:
        """The text that tells of an alarm for the first time; drills always say that they are one."""
        if facts.drill:
            return self.follow_up("drill", facts, reply_hint=reply_hint)
        choice = self._choice(facts)
        filling = self._filling(facts, choice, getattr(facts, choice.minutes))
        for name in (choice.text, choice.otherwise):
            if name is not None and set(_VARIABLE.findall(self.texts[name])) <= filling.keys():
                return self._fill(name, filling, reply_hint)
        raise TextError(f"{choice.text}: no filling for {facts.rule}, and nothing otherwise")

    def follow_up(self, key: str, facts: AlarmFacts, *, reply_hint: bool = False) -> str:
        """A text that follows the first: escalated, again, taken, cleared, assist, reopened, drill, drill_taken."""
        choice = self._choice(facts).model_copy(update={"time": "at"})  # of what comes after: when it came, not when the alarm began
        return self._fill(self.follow[key], self._filling(facts, choice, facts.minutes), reply_hint)

    def summary(self, minutes: int, count: int, number: str) -> str:
        """S15: how many were held back for one phone, under the number of one of them."""
        filling = {"分钟": str(min(max(minutes, 1), 999)), "数量": str(min(count, 9999)), "编号": number}
        return self._fill(self.follow["summary"], filling, reply_hint=False)

    def with_marks(self, key: str, *marks: str) -> str:
        """A text that follows no alarm (look, test, verify), its variables in order replaced by marks for str.format."""
        names = iter(marks)
        return _VARIABLE.sub(lambda _found: f"{{{next(names)}}}", self.texts[self.follow[key]])

    def recognise(self, text: str) -> tuple[str, dict[str, str]] | None:
        """Which registered text this is, and its variables by name; None for one that is not ours. For gateways that send by template code."""
        bare, names = text.replace(self.reply_hint, ""), list(self.variables)
        for name, template in self.texts.items():
            pieces = _VARIABLE.split(template)
            pattern = "".join(f"(?P<v{names.index(piece)}>.+?)" if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces))
            if (found := re.fullmatch(pattern, bare)) is not None:
                return name, {names[int(key[1:])]: value for key, value in found.groupdict().items()}
        return None

    def _choice(self, facts: AlarmFacts) -> Choice:
        for choice in self.choose:
            if choice.when.matches(facts.facts):
                return choice
        raise TextError(f"no text for rule {facts.rule!r}, kind {facts.kind!r}, quantity {facts.quantity!r}")

    def _filling(self, facts: AlarmFacts, choice: Choice, minutes: int | None) -> dict[str, str]:
        """Variables that have something to say, each within its width. Places are cut, never other words."""
        wanted = {
            "级别": self.levels[facts.level],
            "地点": place(facts.place, self.variables["地点"]) or "库房",
            "区域": place(facts.place, self.variables["区域"]) or "本单位",
            "事项": choice.matter,
            "测量": QUANTITIES[facts.quantity].zh if facts.quantity in QUANTITIES else None,
            "时间": facts.time or when(facts.since if choice.time == "since" else facts.at, facts.now),
            "数值": self._number(facts),
            "分钟": None if minutes is None else str(min(max(minutes, 1), 999)),
            "数量": self._count(facts),
            "恢复数": None if facts.over is None else str(min(facts.over, 9999)),
            "岗位": facts.post,
            "编号": facts.number,
        }
        return {name: text for name, text in wanted.items() if text and utf16(text) <= self.variables[name]}

    @staticmethod
    def _count(facts: AlarmFacts) -> str | None:
        counted = facts.count if facts.count is not None else facts.value
        return None if counted is None else str(min(max(round(counted), 1), 9999))

    def _number(self, facts: AlarmFacts) -> str | None:
        """Only a threshold judges the reading itself; what a rate or a swing judged is not a temperature."""
        unit = self.units.get(facts.quantity) if facts.kind == "threshold" else None
        return None if unit is None or facts.value is None else f"{facts.value:.1f}".removesuffix(".0") + unit

    def _fill(self, name: str, filling: Mapping[str, str], reply_hint: bool) -> str:
        return _VARIABLE.sub(lambda found: filling[found[1]], self._hinted(self.texts[name], reply_hint))

    def _hinted(self, text: str, reply_hint: bool) -> str:
        return text.removesuffix(self.tail) + self.reply_hint + self.tail if reply_hint else text


def clock(at: int) -> str:
    """hh:mm in Beijing."""
    return datetime.fromtimestamp(at / 1000, BEIJING).strftime("%H:%M")


def when(at: int, now: int | None) -> str:
    """hh:mm where that cannot be taken for another day, else 昨日hh时 or how many days ago: all within the width of 时间 that carriers registered."""
    if now is None or now - at < _SAME_DAY_MS:
        return clock(at)
    then, today = (datetime.fromtimestamp(ms / 1000, BEIJING) for ms in (at, now))
    days = (today.date() - then.date()).days
    return clock(at) if days < 1 else f"昨日{then:%H}时" if days == 1 else f"{min(days, 999)}天前"


def utf16(text: str) -> int:
    """Length in UTF-16 units: what a UCS-2 message counts."""
    return len(text.encode("utf-16-le")) // 2


def segments(text: str) -> int:
    """How many SMS a Chinese text costs: 70 units alone, 67 each when joined."""
    return 1 if utf16(text) <= SINGLE else -(-utf16(text) // JOINED)


def load_texts(path: Path) -> Catalogue:
    """Read a text file. Raises TextError with the file and, for YAML errors, the line."""
    try:
        document: Any = YAML(typ="safe").load(path.read_text("utf-8"))
        return Catalogue.model_validate(document)
    except OSError as error:
        raise TextError(f"{path}: {error.strerror}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TextError(f"{path}:{line}: {error.problem}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise TextError(f"{path}: {where}: {reason}" if where else f"{path}: {reason}") from error


@cache
def default_texts() -> Catalogue:
    """The product's own texts, templates/sms.yaml."""
    return load_texts(Path(__file__).with_name("templates") / "sms.yaml")
