"""What a column of the database can hold. A name that is longer, or a number that is larger, is refused here with a reason: one gateway's nonsense
must not fail the transaction that carries the samples of all the others.
"""

from typing import Any, Final

from contract.batch import Birth
from contract.declarations import Outbox
from contract.offers import dump
from contract.sample import PointKey
from contract.sparkplug import MalformedPayloadError
from contract.topics import Topic
from server.store.tables import Gateway, Point

_MOST: Final = 2**63 - 1
_LONGEST_INTERVAL_S: Final = 366 * 86_400.0


def _length(column: Any) -> int:
    return int(column.type.length)


_GATEWAY, _GROUP, _RULES = (_length(Gateway.__table__.c[name]) for name in ("code", "group_id", "rules_version"))
_POINT: Final = {name: _length(Point.__table__.c[name]) for name in ("device", "quantity", "channel", "unit", "klass")}


def check_topic(topic: Topic) -> None:
    """Raises MalformedPayloadError (bounds)."""
    _text("gateway", topic.node, _GATEWAY)
    _text("group", topic.group, _GROUP)


def check_birth(topic: Topic, birth: Birth) -> None:
    """Raises MalformedPayloadError (bounds)."""
    _text("rules version", birth.rules_version, _RULES)
    _number("bdSeq", birth.bd_seq)
    check_outbox(birth.outbox)
    if birth.offers is not None and "\\u0000" in dump(birth.offers):
        raise MalformedPayloadError("bounds", "The offers hold a NUL.")
    for point in birth.points:
        key = PointKey.of(topic.node, point.metric)
        parts = {"device": key.device, "quantity": key.quantity, "channel": key.channel, "unit": point.unit, "klass": point.klass}
        for name, text in parts.items():
            _text(name, text, _POINT[name])
        if point.interval_s is not None and not 0 < point.interval_s <= _LONGEST_INTERVAL_S:
            raise MalformedPayloadError("bounds", f"{point.metric} declares an interval of {point.interval_s} s.")


def check_outbox(outbox: Outbox | None) -> None:
    """Raises MalformedPayloadError (bounds)."""
    if outbox is not None:
        _number("first sequence", outbox.first)
        _number("last sequence", outbox.last)


def _text(what: str, text: str, longest: int) -> None:
    if len(text) > longest or "\x00" in text:
        raise MalformedPayloadError("bounds", f"The {what} {text[:80]!r} is longer than {longest} characters or holds a NUL.")


def _number(what: str, number: int | None) -> None:
    if number is not None and not 0 <= number <= _MOST:
        raise MalformedPayloadError("bounds", f"The {what} is {number}, which no column holds.")
