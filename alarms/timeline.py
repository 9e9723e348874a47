"""Rule-test files: a written timeline of readings and commands, and what the alarms must be at given instants.

    tests:
      - name: damp evening
        interval: 1m                # of every series that has none of its own; the first value stands at 0m
        rooms: {R1: {medium: paper, unit: "350102000000"}}          # optional
        series: [{room: R1, quantity: humidity, values: '58x30 61x40 _x5 60-0.5x4'}]
        commands: [{at: 65m, do: acknowledge, alarm: humidity_high, by: zhang}]
        expect: [{at: 66m, alarm: humidity_high, state: active_acked, level: warn}]

axN: N values of a; a+bxN: a, a+b, … (N+1 values), also a-bxN; _xN: nothing is sent; badxN: N unusable readings. A point may be silent for
3 × its interval, at least 3 min, unless `deadline` says otherwise. At one instant samples come first, then timers, commands, expectations.
Without `room` (or `quantity`, `channel`) a command reaches every alarm of that name, and an expectation looks at the worst of them.
A command with `refused: true` must be refused. A file without `rules` tests the rules the product ships with.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from alarms import state as life
from alarms.document import Block, duration_ms, read, text, truth
from alarms.lifecycle import advance, step
from alarms.model import Rule, RuleSet, duration_text
from alarms.rules import default_rules, rules_of
from alarms.timeline_file import STATES, Point, Reading, check_target, event_of, expand, level_of, point_of, state_of
from contract.sample import Quality

__all__ = ["Failure", "Outcome", "Reading", "check", "expand", "run"]
_HISTORY = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that came out otherwise than written; `str` is the readable diff."""

    file: str
    line: int
    test: str
    at: int
    what: str
    expected: str
    got: str
    history: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}: {self.test}, at {duration_text(self.at)}: {self.what}"
        return "\n".join([head, f"  - expected: {self.expected}", f"  + got:      {self.got}", *(f"    {line}" for line in self.history)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a file came to."""

    tests: int
    expectations: int
    failures: tuple[Failure, ...]


@dataclass(slots=True, eq=False)
class Alarm:
    """One alarm under test: a rule on a point, or on a room with several points."""

    rule: Rule
    room: str
    points: tuple[Point, ...]
    state: life.AlarmState = life.INITIAL
    history: list[life.Change] = field(default_factory=list)

    @property
    def deadline(self) -> int:
        """The first of its points to fall silent."""
        return min(point.deadline for point in self.points)

    def matches(self, block: Block) -> bool:
        """Whether a command or expectation means this alarm."""
        if self.rule.name != block.body.get("alarm") or block.get("room", text, self.room) != self.room:
            return False
        return all(any(getattr(point, key) == block.get(key, text, "") for point in self.points) for key in ("quantity", "channel") if key in block)

    def feed(self, event: life.Event, now: int) -> None:
        """Apply one event. Raises life.NotAllowedError."""
        result = step(self.rule, self.state, event, now)
        self.state = result.state
        self.history.extend(result.transitions)

    def catch_up(self, until: int) -> None:
        """Fire the timers before an instant."""
        result = advance(self.rule, self.state, until, self.deadline)
        self.state = result.state
        self.history.extend(result.transitions)

    @property
    def described(self) -> str:
        """State and level in words."""
        level = f" {self.state.level.word}" if self.state.level is not None and self.state.open else ""
        return self.state.isa + level


def run(content: str, source: str) -> list[Failure]:
    """Run every test of a file. Raises RuleError when the file itself is wrong."""
    return list(check(content, source).failures)


def check(content: str, source: str) -> Outcome:
    """Run every test of a file and count. Raises RuleError when the file itself is wrong."""
    top = read(content, source)
    rules = rules_of(top) if "rules" in top else default_rules()
    tests = top.blocks("tests")
    if not tests:
        raise top.error("the file has no tests")
    failures = [failure for test in tests for failure in _Run(test, rules).failures()]
    return Outcome(len(tests), sum(len(test.blocks("expect")) for test in tests), tuple(failures))


class _Run:
    """One test: its points and alarms, walked through instant by instant."""

    def __init__(self, test: Block, rules: RuleSet) -> None:
        test.only(("name", "interval", "deadline", "rooms", "series", "commands", "expect"))
        self._name = test.need("name", text)
        self._commands = [(block.need("at", duration_ms), block) for block in test.blocks("commands")]
        self._expect = [(block.need("at", duration_ms), block) for block in test.blocks("expect")]
        self._points = [point_of(block, test) for block in test.blocks("series")]
        for number, point in enumerate(self._points, 1):
            point.number = number
        self._alarms = list(_alarms(test.block("rooms"), self._points, rules))
        names = {rule.name for rule in rules.rules}
        for _, block in (*self._commands, *self._expect):
            check_target(block, names, self._points)

    def failures(self) -> list[Failure]:
        """Walk the timeline."""
        found: list[Failure] = []
        samples: dict[int, list[tuple[Point, Reading]]] = {}
        for point in self._points:
            for reading in point.readings:
                samples.setdefault(reading.at, []).append((point, reading))
        for now in sorted({*samples, *(at for at, _ in self._commands), *(at for at, _ in self._expect)}):
            self._pass_time(now, samples.get(now, ()))
            for at, block in self._commands:
                if at == now:
                    found += self._command(block, now)
            for at, block in self._expect:
                if at == now:
                    found += self._compare(block, now)
        return found

    def _pass_time(self, now: int, samples: Iterable[tuple[Point, Reading]]) -> None:
        for alarm in self._alarms:
            alarm.catch_up(now)
        for point, reading in samples:
            quality = Quality.BAD if reading.value is None else Quality.GOOD
            for alarm in self._alarms:
                if point in alarm.points:
                    alarm.feed(life.Seen(now, reading.value, quality, point.quantity, point.number), now)
            if reading.value is not None:
                point.last = now
        for alarm in self._alarms:
            alarm.feed(life.Tick(alarm.deadline >= now, alarm.deadline), now)

    def _command(self, block: Block, now: int) -> list[Failure]:
        refused_wanted = block.get("refused", truth, False)
        found = []
        for alarm in self._targets(block):
            try:
                alarm.feed(event_of(block, alarm.rule, now), now)
            except life.NotAllowedError as refusal:
                if not refused_wanted:
                    found.append(self._failure(block, now, alarm, f"{block.body['do']} to be allowed", f"refused: {refusal}"))
            else:
                if refused_wanted:
                    found.append(self._failure(block, now, alarm, f"{block.body['do']} to be refused", f"allowed: {alarm.described}"))
        return found

    def _compare(self, block: Block, now: int) -> list[Failure]:
        wanted_level = block.get("level", level_of, None)
        wanted = block.need("state", state_of) + (f" {wanted_level.word}" if wanted_level else "")
        alarm = max(self._targets(block), key=lambda alarm: (STATES.index(alarm.state.isa), alarm.state.level or 0), default=None)
        got = alarm.described if alarm is not None else "normal"
        if got == wanted or (wanted_level is None and got.split()[0] == wanted):
            return []
        return [self._failure(block, now, alarm, wanted, got)]

    def _targets(self, block: Block) -> list[Alarm]:
        return [alarm for alarm in self._alarms if alarm.matches(block)]

    def _failure(self, block: Block, now: int, alarm: Alarm | None, expected: str, got: str) -> Failure:
        room = alarm.room if alarm is not None else block.get("room", text, "")
        history = tuple(_told(change) for change in alarm.history[-_HISTORY:]) if alarm is not None else ()
        what = f"{block.body['alarm']} {room}".rstrip()
        return Failure(block.file, block.line, self._name, now, what, expected, got, history or ("nothing happened so far",))


def _told(change: life.Change) -> str:
    parts = [f"at {duration_text(change.at)}: {change.name} -> {change.after}"]
    parts += [change.level.word] if change.level is not None else []
    parts += [f"value {change.value:g}"] if change.value is not None else []
    return ", ".join([*parts, *(word for word in (change.by, change.note) if word)])


def _alarms(rooms: Block, points: Sequence[Point], rules: RuleSet) -> Iterable[Alarm]:
    for room in dict.fromkeys(point.room for point in points):
        about = rooms.block(room)
        about.only(("medium", "unit"))
        medium, unit = about.get("medium", text, "paper"), about.get("unit", text, "")
        inside = [point for point in points if point.room == room]
        for point in inside:
            yield from (Alarm(rule, room, (point,)) for rule in rules.for_point(point.quantity, medium, unit, room))
        for rule in rules.for_room(medium, unit, room):
            fed = tuple(point for point in inside if rule.wants(point.quantity))
            if {point.quantity for point in fed} >= set(rule.inputs):
                yield Alarm(rule, room, fed)
