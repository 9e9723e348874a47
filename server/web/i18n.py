"""Languages of the screens. Chinese is the source: a message is its own key; English comes from a .po file read at start."""

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from babel.messages.pofile import read_po

from contract.quantities import QUANTITIES
from server.duty.events import event_of
from server.duty.words import DESK
from server.org import notice_words
from server.web import labels

SOURCE = "zh"
COMMAND_LINE = "cli"
"""Who acts through a command on the server (server/commands)."""
LANGUAGES = {"zh": "中文", "en": "English"}


@cache
def load(language: str) -> Mapping[str, str]:
    """Translations by Chinese text; empty for the source language."""
    if language == SOURCE:
        return {}
    with files("dashboards").joinpath("locale", language, "LC_MESSAGES", "messages.po").open("rb") as stream:
        return {str(message.id): str(message.string) for message in read_po(stream, locale=language) if message.id and message.string}


_VALUES = {"role": "role", "via": "via", "before": "alarm_state", "after": "alarm_state", "ways": "channel"}
"""Particulars of the audit log whose values are codes, and the table of their words."""
_NAMELESS: Mapping[str, str] = {}
_BY_NUMBER = re.compile(r"\{(?P<name>\w+):(?P<one>[^|}]*)\|(?P<many>[^}]*)\}")
_MARKS: Mapping[str, str] = {"list": "、", "colon": "：", "semicolon": "；", "open": "（", "close": "）", "stop": "。", "gap": ""}
_ENGLISH_MARKS: Mapping[str, str] = {"list": ", ", "colon": ": ", "semicolon": "; ", "open": " (", "close": ")", "stop": ". ", "gap": " "}


class Words:
    """The words of one language: texts of templates and the names of codes."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = load(language)

    def text(self, message: str, **values: Any) -> str:
        """A message in this language, `%(name)s` filled in. A text that is missing in the catalogue stays Chinese."""
        found = self.worded(message, values)
        return found % values if values else found

    def worded(self, message: str, values: Mapping[str, Any]) -> str:
        """A message before its values are filled in, with what goes with a number: of `{n:room|rooms}` one of the two."""
        found = self._catalogue.get(message, message)
        return _BY_NUMBER.sub(lambda by: by["one"] if str(values.get(by["name"])) == "1" else by["many"], found) if "|" in found else found

    def notice(self, sentence: str) -> str:
        """A notice as it is kept, in this language; one that is made of no known text, and what people wrote into it, stay as they are."""
        made = None if self.language == SOURCE else notice_words.taken_apart(sentence)
        if made is None:
            return sentence
        text, values = made
        ours = {"quantity": self._measured(values.get("quantity", "")), "role": self.text(values.get("role", ""))}
        return self.text(text, **{**values, **ours})

    def _measured(self, zh: str) -> str:
        return next((self.quantity(name) for name, known in QUANTITIES.items() if known.zh == zh), zh)

    def of(self, table: str, code: str) -> str:
        """The word for a code, e.g. of("quality", "stale"); an unknown code stands for itself."""
        word = labels.TABLES[table].get(code)
        return code if word is None else self.text(word)

    def listed(self, messages: Iterable[str]) -> str:
        """Several texts in one sentence."""
        return self.marks["list"].join(map(self.text, messages))

    @property
    def marks(self) -> Mapping[str, str]:
        """Marks between words, as the language writes them."""
        return _MARKS if self.language == SOURCE else _ENGLISH_MARKS

    def quantity(self, name: str) -> str:
        """The name of a quantity."""
        known = QUANTITIES.get(name)
        if known is None:
            return name
        return known.zh if self.language == SOURCE else known.en

    def event(self, rule: str, kind: str, quantity: str) -> str:
        """What happened, in two to six characters; where there is no word for it, the quantity is named."""
        key = event_of(rule, kind, quantity)
        return f"{self.quantity(quantity)}{self.of('event', key)}" if key == "other" and quantity else self.of("event", key)

    def rule(self, name: str, signs: Mapping[str, tuple[str, str]]) -> str:
        """What a rule is about, by (kind, quantity) of the rules in force; a rule that is in force no more is told by its name alone."""
        kind, quantity = signs.get(name, ("", ""))
        word = self.event(name, kind, quantity)
        return name if word == self.of("event", "other") else word

    def changed(
        self, kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, names: Mapping[str, str] = _NAMELESS
    ) -> list[tuple[str, str, str]]:
        """What an entry of the audit log changed: particular, before, after. `kind` is the table of the books it is about, or anything else, `names`
        what codes are called (see told).
        """
        old, new = before or {}, after or {}
        cells = ((name, self._cell(kind, name, old.get(name), names), self._cell(kind, name, new.get(name), names)) for name in {**old, **new})
        return [(self.field(kind, name), was, becomes) for name, was, becomes in cells]

    def field(self, kind: str, name: str) -> str:
        """What a particular is called; `kind` is the table of the books that it belongs to, or anything else."""
        column = labels.COLUMNS.get((kind, name))
        if column is not None:
            return self.text(column.title)
        return self.of("sheet" if name in labels.TABLES["sheet"] else "detail", name)

    def typed(self, name: str) -> str:
        """What a field of a form is called; one that has no word stands for itself."""
        return self.of("form", name) if name in labels.FORM else self.field("", name)

    def _cell(self, kind: str, name: str, value: object, names: Mapping[str, str]) -> str:
        column = labels.COLUMNS.get((kind, name))
        if name == "demanded":
            return self.listed(map(self.quantity, str(value or "—").split(";")))
        if column is not None and column.words and value:
            return self.of(column.words, str(value))
        return self.told(name, value, names)

    def told(self, name: str, value: object, names: Mapping[str, str] = _NAMELESS) -> str:
        """A value of an entry of the audit log by the name it has there, whatever it is; nothing is a dash. A code that `names` knows (of a unit, a
        room, a person) stands beside what it is called.
        """
        if value in ("", None, [], {}):
            return "—"
        match value:
            case list():
                return self.listed(self.told(name, one, names) for one in value)
            case dict() if name == "moved":
                return self.listed(f"{self.of('moved', table)} {count}" for table, count in value.items() if table in labels.TABLES["moved"])
            case dict():
                return self.listed(f"{self.field('', key)} {self.told(key, one, names)}" for key, one in value.items())
        return self.of(_VALUES[name], value) if name in _VALUES and isinstance(value, str) else self._called(str(value), names)

    def _called(self, code: str, names: Mapping[str, str]) -> str:
        if code not in names:
            return code
        return f"{names[code]}（{code}）" if self.language == SOURCE else f"{names[code]} ({code})"

    def source(self, text: str) -> str:
        """Where a rule comes from; the name of an operator's own file stays as it is."""
        own, _, file = text.partition(" ")
        return f"{self.text(own)} {file}" if own == labels.OWN_RULE_FILE else self.text(text)

    def who(self, name: str) -> str:
        """Who did something or was told; the command line and the duty room of a unit have no name of their own."""
        if name.endswith(DESK) and self.language != SOURCE:
            return f"{name.removesuffix(DESK)} {self.text(DESK)}"
        return self.text("命令行") if name == COMMAND_LINE else name

    def probe(self, channel: str) -> str:
        """Which of several points of one quantity: where it stands, or its number."""
        return self.text("室外参考") if channel == "outdoor" else channel

    def state_of(self, quantity: str, value: float) -> str:
        """The word for the value of a state quantity."""
        word = labels.STATES_OF.get(quantity, {}).get(int(value))
        return f"{value:g}" if word is None else self.text(word)

    @cached_property
    def for_script(self) -> dict[str, Any]:
        """What the browser needs to write by itself what the templates have written."""
        tables = ("quality", "spoken", "side", "level")
        return {
            "language": self.language,
            **{table: {code: self.of(table, code) for code in labels.TABLES[table]} for table in tables},
            "state_of": {quantity: {str(v): self.text(word) for v, word in states.items()} for quantity, states in labels.STATES_OF.items()},
            "ui": {key: self.text(message) for key, message in SCRIPT.items()},
        }


SCRIPT = {
    "live": "实时",
    "reconnecting": "重连中",
    "lost": "已断开 %(time)s",
    "stopped": "数据停止于 %(time)s。以下是断开前的情况，不代表现在。请改用电话联系值班室。",
    "sounding": "鸣响告警 %(n)s 条，最高%(level)s",
    "sound_lost": "与中心断开，看不到现在的情况",
    "sound_blocked": "浏览器还不让本页发声，点一下页面任意处即可。",
    "sound_none": "这个浏览器不能发声。",
    "signed_out": "登录已过期，请重新登录。",
    "mean": "平均",
    "low": "最低",
    "high": "最高",
    "outdoor": "室外参考",
    "by_hand": "人工抄录（可信度较低）",
    "no_data": "这段时间没有数据。",
    "failed": "图表数据没有取到，请看下面的表格。",
    "undo_left": "撤销（%(n)s 秒）",
    "send_failed": "没有送到中心，请检查网络后重试，或改打电话。",
    "bucket": "每点 %(span)s",
    "pick_person": "姓名、拼音首字母或编号",
    "pick_out": "去掉%(name)s",
    "pick_turn": "第 %(n)s 轮",
}
"""Texts that own modules write."""
