"""Action cards 处置卡 as data: which card answers an alarm, its steps filled from the room's sheet, and what the sensor must show at the end.

The cards are configuration (cards.yaml); everything a card could get wrong is checked when the file is read.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from alarms.document import duration_ms

BLANK = "（未填写，请补）"
"""What stands for a mark that the room's sheet does not fill (language.md 4.1)."""

MARKS = (
    "断电位置", "水阀位置", "钥匙保管人", "备用钥匙", "灭火方式", "消防控制室", "值班室电话", "除湿机", "空调", "门锁断电状态", "密集架操作",
    "遮盖布位置", "抢救顺序", "下一级联系人", "库房责任人",
)  # fmt: skip
"""Marks that a card may carry, each a field of the room's sheet or of the duty roster."""

NIGHT = (22 * 60, 7 * 60)
_MARK = re.compile(r"\{([^{}]*)\}")
_LIFE = frozenset({"smoke", "smoke_density", "leak", "door"})

When = Literal["always", "night", "gas", "no_dehumidifier", "smoke_lost", "life"]
Duration = Annotated[int, BeforeValidator(duration_ms)]


class CardError(ValueError):
    """A card file was refused. `str` is "file: where: reason"."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Branch(_Frozen):
    """A sentence that is shown only where its condition holds."""

    when: When
    text: str


class Claim(_Frozen):
    """A trend that "it is done" implies: since the report `quantity` has changed by `by` (canonical unit), at the latest `within` ms after it.

    falling and rising must be seen; not_rising and not_falling must not be contradicted.
    """

    quantity: str
    trend: Literal["falling", "rising", "not_rising", "not_falling"]
    by: float = Field(gt=0)
    within: Duration = 0

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.trend in ("falling", "rising") and not self.within:
            raise ValueError("a trend that must be seen needs `within`")
        return self


class Done(_Frozen):
    """What the sensor must show: the condition gone for `hold` ms, no later than `within` ms after the report."""

    hold: Duration
    within: Duration
    reset: bool = False
    fresh: bool = False
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.within <= self.hold:
            raise ValueError("`within` must be longer than `hold`")
        return self


class Card(_Frozen):
    """One card. `acknowledge` and `on_site` are minutes."""

    id: str
    number: int
    title: str
    events: tuple[str, ...]
    acknowledge: int
    on_site: int | None = None
    fire: bool = False
    steps: tuple[str, ...] = Field(min_length=3, max_length=6)
    branches: tuple[Branch, ...] = ()
    please: tuple[str, ...]
    never: tuple[str, ...]
    recovered: str
    done: Done

    @model_validator(mode="after")
    def _known_marks(self) -> Self:
        for text in self.texts():
            if unknown := [mark for mark in _MARK.findall(text) if mark not in MARKS]:
                raise ValueError(f"{{{unknown[0]}}} is not a mark of the room's sheet")
        return self

    def texts(self) -> Iterator[str]:
        """Every sentence of the card."""
        yield from (self.title, *self.steps, *(branch.text for branch in self.branches), *self.please, *self.never, self.recovered)

    def blanks(self, sheet: Mapping[str, str]) -> tuple[str, ...]:
        """Marks of this card that the sheet does not fill: weak points of the unit."""
        used = (mark for text in self.texts() for mark in _MARK.findall(text))
        return tuple(dict.fromkeys(mark for mark in used if not sheet.get(mark)))


class Situation(_Frozen):
    """What decides about branches: the event, minutes since midnight (Beijing), what is measured."""

    event: str = ""
    minute: int = 0
    quantity: str = ""

    def holds(self, when: When, sheet: Mapping[str, str]) -> bool:
        """Whether a branch is to be shown."""
        match when:
            case "night":
                return self.minute >= NIGHT[0] or self.minute < NIGHT[1]
            case "gas":
                means = sheet.get("灭火方式", "").strip()
                return means not in ("", "无", "没有", "否") and "干粉" not in means
            case "no_dehumidifier":
                return sheet.get("除湿机", "").strip() in ("", "无", "没有")
            case "smoke_lost":
                return self.event == "smoke_lost"
            case "life":
                return self.quantity in _LIFE
        return True


class Filled(_Frozen):
    """A card for one room: sentences ready to read, branches already chosen, marks without a filling named."""

    card: Card
    title: str
    steps: tuple[str, ...]
    branches: tuple[str, ...]
    please: tuple[str, ...]
    never: tuple[str, ...]
    recovered: str
    blanks: tuple[str, ...]


class Cards(_Frozen):
    """A checked card file."""

    cards: tuple[Card, ...]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        events = [event for card in self.cards for event in card.events]
        if double := [event for event in events if events.count(event) > 1]:
            raise ValueError(f"two cards answer {double[0]}")
        if "other" not in events:
            raise ValueError("one card must answer `other`")
        return self

    def answering(self, event: str) -> Card:
        """The card for an event (a key of the vocabulary of events); the one for `other` where no card names it."""
        return next((card for card in self.cards if event in card.events), None) or self.answering("other")

    def get(self, ident: str) -> Card | None:
        """A card by its id."""
        return next((card for card in self.cards if card.id == ident), None)


def fill(card: Card, sheet: Mapping[str, str], situation: Situation, translate: Mapping[str, str] | None = None) -> Filled:
    """A card with its marks filled. `translate` maps source sentences to another language; the fillings stay as they were entered."""
    said = translate or {}

    def sentence(text: str) -> str:
        return _MARK.sub(lambda found: sheet.get(found[1]) or said.get(BLANK, BLANK), said.get(text, text))

    return Filled(
        card=card,
        title=sentence(card.title),
        steps=tuple(sentence(step) for step in card.steps),
        branches=tuple(sentence(branch.text) for branch in card.branches if situation.holds(branch.when, sheet)),
        please=tuple(map(sentence, card.please)),
        never=tuple(map(sentence, card.never)),
        recovered=sentence(card.recovered),
        blanks=card.blanks(sheet),
    )


def load_cards(path: Path) -> Cards:
    """Read a card file. Raises CardError with file, place and reason."""
    try:
        document: Any = YAML(typ="safe").load(path.read_text("utf-8"))
        return Cards.model_validate(document)
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CardError(f"{path}:{line}: {error.problem}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


@cache
def default_cards() -> Cards:
    """The product's own cards, cards.yaml beside this module."""
    return load_cards(Path(__file__).with_name("cards.yaml"))
