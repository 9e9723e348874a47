"""A look ahead: which messages bring news of smoke, leaks or doors. It is told before anybody reads them whole.

Runs in the line's process, which has the time for it; what hurries then goes before the others all the way (lanes.py, watch/inbox.py). It knows the
aliases from the births that pass by and says nothing of a node whose birth it has not seen: such a message goes in its turn, no more.
"""

from collections.abc import Iterable

from contract.batch import read_birth
from contract.sparkplug import MalformedPayloadError, decode, peek
from server.ingest.session import CALM, URGENT


class Scout:
    """Remembers of each node the aliases of the alarm class and the last number of each."""

    def __init__(self) -> None:
        self._said: dict[str, dict[int, float | None]] = {}

    def hurries(self, topic: str, payload: bytes) -> bool:
        """Whether a message brings news of the alarm class, as far as its aliases tell; never raises."""
        _, _, kind, *ids = (*topic.split("/", 4), "", "", "")
        if kind in ("NDATA", "DDATA"):
            said = self._said.get(sender(topic))
            return said is not None and _news(said, payload)
        if kind in ("NBIRTH", "DBIRTH"):
            before = self._said.get(sender(topic), {}) if kind == "DBIRTH" else {}
            self._said[sender(topic)] = before | dict.fromkeys(_hot(payload, ids[1] or None), CALM[0])
        return False


def _hot(birth: bytes, device: str | None) -> Iterable[int]:
    """The aliases of the alarm class that a birth gives; none where it cannot be read: whoever reads it whole says what is wrong with it."""
    try:
        names = read_birth(decode(birth), device=device).names
    except MalformedPayloadError:
        return ()
    return [alias for alias, name in names.items() if name and name.split("/")[1] in URGENT]


def _news(said: dict[int, float | None], payload: bytes) -> bool:
    now = dict(peek(payload, said))
    new = any(said[alias] != value for alias, value in now.items())
    said |= now
    return new


def sender(topic: str) -> str:
    """Group and node of a Sparkplug topic `spBv1.0/<group>/<type>/<node>[/<device>]`; the topic itself for any other."""
    parts = topic.split("/")
    return f"{parts[1]}/{parts[3]}" if len(parts) > 3 else topic
