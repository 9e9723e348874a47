"""The rule core: steps of one alarm a second, without any I/O. Beside it: calls of an empty Python function."""

from pathlib import Path
from typing import Any

from alarms.lifecycle import INITIAL, Acknowledge, Event, Seen, Tick, step
from alarms.model import Level, Rule, Rung
from benchmarks.figures import bare_loop, per_second, row

T0 = 1_790_000_000_000
LADDER = (Rung(Level.WARN, "above", 60, 30_000), Rung(Level.ALARM, "above", 65, 20_000), Rung(Level.URGENT, "above", 75, 10_000))
RULE = Rule("humidity_high", "threshold", "humidity", LADDER, 2.0, 20_000)
AT_ONCE = Rule("smoke", "state", "smoke", (Rung(Level.CRITICAL, "equals", 1, 0, (1,)),))


def rate(rule: Rule, events: list[tuple[Event, int]], seconds: float) -> float:
    def walk() -> int:
        state = INITIAL
        for event, now in events:
            state = step(rule, state, event, now).state
        return len(events)

    return per_second(walk, seconds)


def run(folder: Path, quick: bool) -> dict[str, Any]:  # noqa: ARG001 - one signature for all benchmarks
    seconds, calls = (0.5 if quick else 2), bare_loop()
    calm = [(Seen(T0 + n * 10_000, 50 + n % 80 / 10), T0 + n * 10_000) for n in range(1000)]
    # up through all rungs and down again, a sample each ten seconds with a tick behind it
    wave = [50, 62, 62, 62, 62, 66, 66, 66, 78, 78, 78, 62, 62, 62, 50, 50, 50]
    moving: list[tuple[Event, int]] = []
    for n in range(1000):
        at = T0 + n * 10_000
        moving += [(Seen(at, wave[n % len(wave)]), at), (Tick(True, at + 30_000), at + 250)]
    pulses: list[tuple[Event, int]] = []
    for n in range(300):
        at = T0 + n * 10_000
        pulses += [(Seen(at, 1), at), (Acknowledge("li"), at + 1), (Seen(at + 5_000, 0), at + 5_000)]
    bare = "empty Python calls"
    return {
        "rows": [
            row("steps: sample within limits", rate(RULE, calm, seconds), "/s", bare, calls),
            row("steps: sample and tick while it climbs and falls", rate(RULE, moving, seconds), "/s", bare, calls),
            row("steps: raised, acknowledged, cleared", rate(AT_ONCE, pulses, seconds), "/s", bare, calls),
        ]
    }
