"""Sparkplug B topics and the STATE message of a host application (specification 3.0, chapters 4 and 5)."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from contract.sparkplug import MAX_TIMESTAMP, MalformedPayloadError

NAMESPACE: Final = "spBv1.0"


class MalformedTopicError(ValueError):
    """The topic is not one of Sparkplug B; the text says why."""


class Kind(StrEnum):
    """The message types of the topic namespace."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"
    STATE = "STATE"


@dataclass(frozen=True, slots=True)
class Topic:
    """`spBv1.0/<group>/<kind>/<node>[/<device>]`; for STATE the group is empty and `node` is the host id.

    Raises MalformedTopicError for an id that is empty or holds `+`, `/`, `#` or NUL, and for a device where the kind has none (or the reverse).
    """

    group: str
    kind: Kind
    node: str
    device: str | None = None

    def __post_init__(self) -> None:
        ids = [self.node] if self.kind is Kind.STATE else [self.group, self.node]
        if self.device is not None:
            ids.append(self.device)
        for part in ids:
            if not part or not set("+/#\x00").isdisjoint(part):
                raise MalformedTopicError(f"{part!r} cannot be an id in a Sparkplug topic")
        if (self.device is not None) != self.kind.startswith("D"):
            raise MalformedTopicError(f"{self.kind} topics {'need' if self.device is None else 'have no'} device id")

    def __str__(self) -> str:
        if self.kind is Kind.STATE:
            return state_topic(self.node)
        return "/".join((NAMESPACE, self.group, self.kind, self.node, *((self.device,) if self.device else ())))


def parse(topic: str) -> Topic:
    """Read a topic. Raises MalformedTopicError."""
    namespace, *parts = topic.split("/")
    if namespace != NAMESPACE:
        raise MalformedTopicError(f"topic {topic!r} is not in the namespace {NAMESPACE}")
    if len(parts) == 2 and parts[0] == Kind.STATE:
        return Topic("", Kind.STATE, parts[1])
    if len(parts) not in (3, 4) or parts[1] not in Kind.__members__ or parts[1] == Kind.STATE:
        raise MalformedTopicError(f"topic {topic!r} is not {NAMESPACE}/<group>/<type>/<node>[/<device>]")
    return Topic(parts[0], Kind(parts[1]), parts[2], parts[3] if len(parts) == 4 else None)


def state_topic(host_id: str) -> str:
    """Where a host application says whether it is there; retained, QoS 1."""
    return f"{NAMESPACE}/{Kind.STATE}/{host_id}"


def state_payload(online: bool, timestamp: int) -> bytes:
    """The STATE message; `timestamp` is UTC ms and the same in the birth and in the Will."""
    return json.dumps({"online": online, "timestamp": timestamp}, separators=(",", ":")).encode()


def read_state(payload: bytes) -> tuple[bool, int]:
    """Read a STATE message into (online, timestamp UTC ms). Raises MalformedPayloadError with reason "state"."""
    try:
        content: Any = json.loads(payload)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("online"), bool):
        raise MalformedPayloadError("state", "A STATE message is a JSON object with online and timestamp.")
    timestamp = content.get("timestamp")
    if not isinstance(timestamp, int) or isinstance(timestamp, bool) or not 0 <= timestamp <= MAX_TIMESTAMP:
        raise MalformedPayloadError("state", "A STATE message carries a timestamp in UTC ms.")
    return content["online"], timestamp
