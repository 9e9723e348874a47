"""The words of rule-test files: series, commands and states. What they mean is in timeline.py."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alarms import state as life
from alarms.document import Block, duration_ms, text, truth
from alarms.model import Level, Rule
from contract.quantities import UnknownQuantityError
from contract.quantities import quantity as lookup

DEADLINE_INTERVALS = 3
DEADLINE_MIN_MS = 180_000
STATES = (
    "normal", "out_of_service", "suppressed", "shelved", "latched_acked", "cleared_unacked", "latched_unacked", "active_acked", "active_unacked"
)  # fmt: skip
"""Least remarkable first."""
_TOKEN = re.compile(r"(?:(?P<word>_|bad)|(?P<start>-?\d+(?:\.\d+)?)(?P<slope>[+-]\d+(?:\.\d+)?)?)(?:x(?P<count>\d+))?")


class Reading(NamedTuple):
    """One entry of an expanded series; value None = unusable."""

    at: int
    value: float | None


@dataclass(slots=True, eq=False)
class Point:
    """One series: a measured point of a room."""

    room: str
    quantity: str
    channel: str
    allowed_ms: int
    readings: tuple[Reading, ...]
    last: int = 0
    number: int = 0

    @property
    def deadline(self) -> int:
        """Until when its last usable reading counts."""
        return self.last + self.allowed_ms


def expand(values: str, interval_ms: int, start: int = 0) -> tuple[Reading, ...]:
    """Expand series notation into readings. Raises ValueError."""
    readings: list[Reading] = []
    at = start
    for token in values.split():
        for value in _values(token):
            if value is not _NOTHING:
                readings.append(Reading(at, None if value is _BAD else float(value)))
            at += interval_ms
    return tuple(readings)


_NOTHING, _BAD = "_", "bad"


def _values(token: str) -> Sequence[float | str]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is not like 58x30, 21+0.5x10, _x3 or badx2")
    count = int(match["count"] or 1)
    if match["word"]:
        return [_NOTHING if match["word"] == "_" else _BAD] * count
    start = float(match["start"])
    if match["slope"] is None:
        return [start] * count
    if match["count"] is None:
        raise ValueError(f"{token!r} needs xN")
    return [round(start + float(match["slope"]) * step_no, 9) for step_no in range(count + 1)]


def point_of(block: Block, test: Block) -> Point:
    """A series of a test. Raises RuleError."""
    block.only(("room", "quantity", "channel", "values", "interval", "deadline", "start"))
    interval = block.get("interval", duration_ms, 0) or test.need("interval", duration_ms)
    if interval <= 0:
        raise test.error("interval must be longer than 0", "interval")
    allowed = max(DEADLINE_INTERVALS * interval, DEADLINE_MIN_MS)
    start = block.get("start", duration_ms, 0)
    return Point(
        room=block.need("room", text),
        quantity=block.need("quantity", _quantity),
        channel=block.get("channel", text, ""),
        allowed_ms=block.get("deadline", duration_ms, 0) or test.get("deadline", duration_ms, allowed),
        readings=block.need("values", lambda values: expand(text(values), interval, start)),
    )


def _quantity(value: object) -> str:
    try:
        return lookup(text(value)).name
    except UnknownQuantityError as error:
        raise ValueError(str(error)) from error


def check_target(block: Block, names: set[str], points: Sequence[Point]) -> None:
    """A misspelt alarm or room would be "normal" for ever, so it is an error of the file."""
    commands = ("do", "by", "for", "reason", "note", "cause", "one_shot", "second", "refused") if "do" in block else ("state", "level")
    block.only(("at", "alarm", "room", "quantity", "channel", *commands))
    if block.need("alarm", text) not in names:
        raise block.error(f"no rule is called {block.body['alarm']}", "alarm")
    if "room" in block and block.need("room", text) not in {point.room for point in points}:
        raise block.error(f"no series is in room {block.body['room']}", "room")
    if "do" in block:
        block.need("do", _verb)
    else:
        block.need("state", state_of)
        block.get("level", level_of, None)


def level_of(value: object) -> Level | None:
    """A level by its word. Raises ValueError."""
    return Level.of(text(value))


def state_of(value: object) -> str:
    """A state by its name. Raises ValueError."""
    if value not in STATES:
        raise ValueError(f"{value!r} is not a state ({', '.join(STATES)})")
    return str(value)


def _verb(value: object) -> str:
    if value not in _VERBS:
        raise ValueError(f"{value!r} is not a command ({', '.join(_VERBS)})")
    return str(value)


def event_of(block: Block, rule: Rule, now: int) -> life.Event:
    """The event behind a command."""
    return _VERBS[block.body["do"]](block, block.get("by", text, "operator"), rule, now)


def _shelve(block: Block, by: str, rule: Rule, now: int) -> life.Event:
    until = now + block.get("for", duration_ms, rule.shelve_max_ms)
    return life.Shelve(until, by, block.get("reason", text, "rule test"), block.get("one_shot", truth, False))


_VERBS: Mapping[str, Callable[[Block, str, Rule, int], life.Event]] = {
    "acknowledge": lambda block, by, _rule, _now: life.Acknowledge(by, block.get("note", text, "")),
    "unacknowledge": lambda _block, by, _rule, _now: life.Unacknowledge(by),
    "shelve": _shelve,
    "unshelve": lambda _block, by, _rule, _now: life.Unshelve(by),
    "reset": lambda block, by, _rule, _now: life.Reset(by, block.get("note", text, "")),
    "suppress": lambda block, by, _rule, _now: life.Suppress(block.get("cause", text, "maintenance"), by, block.get("second", text, "")),
    "unsuppress": lambda block, _by, _rule, _now: life.Unsuppress(block.get("cause", text, "maintenance")),
    "out_of_service": lambda block, by, _rule, _now: life.OutOfService(by, block.get("reason", text, "rule test"), block.get("second", text, "")),
    "return_to_service": lambda _block, by, _rule, _now: life.ReturnToService(by),
}
