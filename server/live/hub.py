"""The hub: takes facts from the watch thread, folds them into the board and hands each viewer what changed and what he may see.

`publish` is called by any thread, folds and returns; it never waits for a viewer. Everything else runs in the thread of the event loop. Tiles are
gathered for up to a second, an alarm goes out at once together with all tiles gathered so far: whatever a viewer has received up to a revision is
complete, so the revision is a true point to resume from. A viewer who does not read keeps one set of room codes and a short queue, then a flag
that he needs a new snapshot, and is let go when he stays silent.
"""

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from server.live import wire
from server.live.board import AlarmFact, Board, Fact
from server.live.facts import FloodFact, ReadingFact

log = logging.getLogger("server.live")

GATHER_MS = 1_000
SILENT_MS = 30_000
QUEUE = 256
HISTORY = 1_000


Kind = Literal["snapshot", "tiles", "alarm", "notice", "ping", "bye"]
"""Every kind of event that a stream carries. The test of rights causes each of them."""


class Event(NamedTuple):
    """One server-sent event; `data` is JSON text, `id` the revision up to which the viewer is complete (None: none promised)."""

    name: Kind
    data: str
    id: int | None = None


class _Message(NamedTuple):
    """Something that is not a tile: an alarm or a notice, with the unit and room that decide who sees it."""

    name: Kind
    unit: str
    room: str | None
    data: dict[str, Any]
    own: bool = False
    """Only for the desk of that very unit: a flood further down is not one further up."""


class _Shown(NamedTuple):
    """A tile as last sent out."""

    revision: int
    group: str
    text: str


@dataclass(eq=False)
class Client:
    """One viewer: the subtree `scope` he may see (None: all), optionally narrowed to one room; with `all_alarms` only its tiles are."""

    scope: str | None
    room: str | None = None
    all_alarms: bool = False
    rooms: set[str] = field(default_factory=set)
    messages: deque[_Message] = field(default_factory=deque)
    resync: bool = False
    bye: str | None = None
    waiting_since: int | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pending(self) -> bool:
        """Whether there is something to hand over."""
        return bool(self.rooms or self.messages or self.resync or self.bye)


class Hub:
    """See the module. `now` at construction starts the revisions, so that they grow across restarts of the server."""

    def __init__(self, board: Board, now: int, on_clients: Callable[[int], None] = lambda _: None) -> None:
        self.board = board
        self.revision = now
        self._first = now
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._outbox: deque[_Message] = deque()
        self._log: deque[tuple[int, _Message]] = deque(maxlen=HISTORY)
        self._shown: dict[str, _Shown] = {}
        self._later: set[str] = set()
        self._clients: set[Client] = set()
        self._flushed_at = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._on_clients = on_clients

    # -- any thread -------------------------------------------------------------------------------------------------------------------

    def publish(self, facts: Sequence[Fact], now: int) -> None:  # noqa: ARG002 - part of the seam: every logic is told the time
        """Fold facts into the board and have them sent. Never blocks on a viewer, never raises for one."""
        changed = self.board.apply(facts)
        others = [fact for fact in facts if type(fact) is not ReadingFact]
        alarms = [_Message("alarm", fact.unit, fact.room, wire.alarm(fact)) for fact in others if isinstance(fact, AlarmFact)]
        floods = [_Message("notice", fact.unit, None, wire.flood(fact), own=True) for fact in others if isinstance(fact, FloodFact)]
        with self._lock:
            self._dirty |= changed
            self._outbox.extend([*floods, *alarms])
        if alarms or floods:
            self._nudge()

    def close(self) -> None:
        """Say `bye` to all viewers; called before the HTTP server waits for its connections to end."""
        self._closing = True
        self._nudge()

    def _nudge(self) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the loop has just been closed: nobody is left to be told
            log.debug("event loop is closed; nothing to wake")

    # -- thread of the event loop -----------------------------------------------------------------------------------------------------

    async def run(self, clock: Callable[[], int]) -> None:
        """Send until cancelled: at once when nudged, else every quarter of the gathering time."""
        self._loop, self._closing = asyncio.get_running_loop(), False
        try:
            while True:
                self.run_once(clock())
                try:
                    await asyncio.wait_for(self._wake.wait(), GATHER_MS / 4000)
                except TimeoutError:
                    continue
                self._wake.clear()
        finally:
            self._loop = None

    def run_once(self, now: int) -> None:
        """Send what is due: alarms and notices at once, tiles when they have been gathered for long enough."""
        if self._closing:
            self._say_bye()
        with self._lock:
            urgent = bool(self._outbox)
        if urgent or abs(now - self._flushed_at) >= GATHER_MS:  # a clock that was put back holds nothing up
            self._flush(now)
        for client in [c for c in self._clients if c.waiting_since is not None and now - c.waiting_since > SILENT_MS]:
            log.info("a viewer does not read; letting go of it")
            client.bye = "slow"
            self.detach(client)

    def attach(self, scope: str | None, now: int, *, room: str | None = None, all_alarms: bool = False, last_event_id: str = "") -> Client:
        """Register a viewer. He gets what he missed since `last_event_id` if that is still known, else a snapshot."""
        self._flush(now, attaching=True)
        client = Client(scope, room, all_alarms)
        since = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
        oldest = max(self._first, self._log[0][0] if len(self._log) == HISTORY else 0)
        if oldest <= since <= self.revision:
            client.rooms = {code for code, shown in self._shown.items() if shown.revision > since and self._sees(client, "", code)}
            client.messages.extend(m for revision, m in self._log if revision > since and self._hears(client, m))
        else:
            client.resync = True
        self._clients.add(client)
        self._mark(client, now)
        self._on_clients(len(self._clients))
        return client

    def detach(self, client: Client) -> None:
        """Forget a viewer."""
        self._clients.discard(client)
        self._on_clients(len(self._clients))

    def take(self, client: Client, now: int) -> list[Event]:
        """Everything that waits for a viewer, complete up to the present revision; empties his queue."""
        client.wake.clear()
        client.waiting_since = None
        if client.bye:
            return [Event("bye", json.dumps({"reason": client.bye, "retry_ms": 2_000}))]
        if client.resync:
            events = [Event("snapshot", self._snapshot(client, now), self.revision)]
        else:
            events = [Event(m.name, json.dumps({"now": wire.iso(now), m.name: m.data}, ensure_ascii=False)) for m in client.messages]
            if client.rooms:
                events.append(Event("tiles", self._tiles(client, client.rooms, now), self.revision))
            elif events:
                events[-1] = events[-1]._replace(id=self.revision)
        client.rooms, client.resync = set(), False
        client.messages.clear()
        return events

    def counts(self, scope: str | None) -> dict[str, int]:
        """Rooms per state in a subtree, as last sent out; rooms that are not connected apart."""
        found: dict[str, int] = {}
        for code, shown in self._shown.items():
            if scope is None or scope in self.board.room_path(code):
                found[shown.group] = found.get(shown.group, 0) + 1
        return found

    def _flush(self, now: int, *, attaching: bool = False) -> None:
        self._flushed_at = now
        late = self.board.tick(now)
        with self._lock:
            dirty, self._dirty = self._dirty | late, set()
            messages, self._outbox = list(self._outbox), deque()
        if not (dirty or messages or (attaching and self._later)):
            return
        self.revision += 1
        self._log.extend((self.revision, message) for message in messages)
        if not (self._clients or attaching):
            self._later |= dirty  # nobody looks: made when somebody comes
            return
        dirty, self._later = dirty | self._later, set()
        removed = [code for code in dirty if not self._render(code, now)]
        for client in self._clients:
            client.resync = client.resync or bool(removed)
            self._enqueue(client, dirty, messages, now)
        if removed:
            self._first = self.revision  # whoever was away must learn that a room is gone: by a snapshot

    def _render(self, code: str, now: int) -> bool:
        room = self.board.room(code, now)
        if room is None:
            return self._shown.pop(code, None) is None
        self._shown[code] = _Shown(self.revision, room.group, json.dumps(wire.tile(room), ensure_ascii=False))
        return True

    def _enqueue(self, client: Client, dirty: Iterable[str], messages: Iterable[_Message], now: int) -> None:
        if not client.resync:
            client.rooms.update(code for code in dirty if self._sees(client, "", code))
            client.messages.extend(m for m in messages if self._hears(client, m))
            if len(client.messages) > QUEUE:
                client.messages.clear()
                client.rooms.clear()
                client.resync = True
        self._mark(client, now)

    def _mark(self, client: Client, now: int) -> None:
        if client.pending:
            client.waiting_since = now if client.waiting_since is None else client.waiting_since
            client.wake.set()

    def _hears(self, client: Client, message: _Message) -> bool:
        if message.own:
            return client.room is None and (client.scope == message.unit or (client.scope is None and len(self.board.path(message.unit)) == 1))
        return self._sees_alarm(client, message.unit, message.room)

    def _sees(self, client: Client, unit: str, room: str | None) -> bool:
        return (client.room is None or room == client.room) and self._reaches(client, unit, room)

    def _sees_alarm(self, client: Client, unit: str, room: str | None) -> bool:
        return self._reaches(client, unit, room) if client.all_alarms else self._sees(client, unit, room)

    def _reaches(self, client: Client, unit: str, room: str | None) -> bool:
        if client.scope is None:
            return True
        return client.scope in self.board.room_path(room) if room else self.board.visible(unit, client.scope)

    def _tiles(self, client: Client, codes: Iterable[str], now: int, extra: str = "") -> str:
        tiles = ",".join(self._shown[code].text for code in sorted(codes) if code in self._shown)
        head = {"now": wire.iso(now), "revision": self.revision, "counts": self.counts(client.scope)}
        return f'{json.dumps(head)[:-1]}{extra}, "tiles": [{tiles}]}}'

    def _snapshot(self, client: Client, now: int) -> str:
        codes = [code for code in self._shown if self._sees(client, "", code)]
        alarms = [wire.alarm(a) for a in self.board.alarms(client.scope) if self._sees_alarm(client, a.unit, a.room)]
        return self._tiles(client, codes, now, f', "alarms": {json.dumps(alarms, ensure_ascii=False)}')

    def _say_bye(self) -> None:
        for client in self._clients:
            client.bye = "restart"
            client.wake.set()
