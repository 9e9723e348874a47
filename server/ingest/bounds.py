"""What a column of the database can hold. A name that is longer, or a number that is larger, is refused here with a reason: one gateway's nonsense
must not fail the transaction that carries the samples of all the others.
"""

from typing import Final

from contract.batch import Birth
from contract.declarations import Outbox
from contract.offers import dump
from contract.sample import PointKey
from contract.sparkplug import MalformedPayloadError
from contract.topics import Topic

_MOST: Final = 2**63 - 1
_LONGEST_INTERVAL_S: Final = 366 * 86_400.0


# Said here once more: this runs in the process that talks to the broker, which loads no database. A test compares them with the tables.
GATEWAY: Final = {"code": 40, "group_id": 12, "rules_version": 64}
POINT: Final = {"device": 60, "quantity": 24, "channel": 24, "unit": 12, "klass": 12}


def check_topic(topic: Topic) -> None:
    """Raises MalformedPayloadError (bounds)."""
    _text("gateway", topic.node, GATEWAY["code"])
    _text("group", topic.group, GATEWAY["group_id"])


def check_birth(topic: Topic, birth: Birth) -> None:
    """Raises MalformedPayloadError (bounds)."""
    _text("rules version", birth.rules_version, GATEWAY["rules_version"])
    _number("bdSeq", birth.bd_seq)
    check_outbox(birth.outbox)
    if birth.offers is not None and "\\u0000" in dump(birth.offers):
        raise MalformedPayloadError("bounds", "The offers hold a NUL.")
    for point in birth.points:
        key = PointKey.of(topic.node, point.metric)
        parts = {"device": key.device, "quantity": key.quantity, "channel": key.channel, "unit": point.unit, "klass": point.klass}
        for name, text in parts.items():
            _text(name, text, POINT[name])
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
