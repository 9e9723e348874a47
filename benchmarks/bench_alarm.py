"""The rule core without any I/O: samples a second through screen and core, and steps of one alarm a second. Beside it: calls of an empty function.

The screened figures: 50,000 points (`quick`: 10,000) with the shipped rules, each heard every 10 s, in batches of 5,000; in each round 1 % of
the points cross a limit. What a batch is made of lies ready; judging it and collecting the transitions is measured, in CPU time of the one thread
that does it.
"""

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from alarms.lifecycle import INITIAL, Acknowledge, Event, Seen, Tick, step
from alarms.model import Level, Rule, Rung
from alarms.rules import default_rules
from alarms.screen import ScreenedCore
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


BATCH, CHANGING = 5_000, 0.01
SITES = (("humidity", 52.0, 63.0), ("temperature", 20.0, 25.0), ("smoke", 0.0, 1.0), ("door", 0.0, 1.0), ("leak", 0.0, 1.0), ("power", 1.0, 0.0))
PLAIN_KINDS, WINDOW_KINDS = ("threshold", "state", "stale"), ("rate", "heat", "swing", "stuck", "step", "implausible", "off_hours")


def screened(kinds: Sequence[str], rounds: int, count: int) -> dict[str, float]:
    """Samples a second of `rounds` × `count` samples under the shipped point rules of these kinds, and what share of them the core had to see."""
    rules = default_rules().only(kinds)
    places = [SITES[n % len(SITES)] for n in range(count)]
    mine = {quantity: rules.for_point(quantity, "paper", "350100000000", "350100000000-01") for quantity, _, _ in SITES}
    changes: list[object] = []
    core = ScreenedCore([mine[quantity] for quantity, _, _ in places], [30_000] * count, lambda *change: changes.append(change), T0)
    rng, dice = np.random.default_rng(7), random.Random(7)
    calm, breach = np.array([place[1] for place in places]), np.array([place[2] for place in places])
    noisy = np.array([place[0] in ("humidity", "temperature") for place in places])
    outside, usable, points = np.zeros(count, bool), np.ones(BATCH, bool), np.arange(count)
    spent = steps = 0.0
    for number in range(rounds + 2):
        if number >= 2:  # the first rounds teach every point its band
            turned = dice.sample(range(count), int(count * CHANGING))
            outside[turned] = ~outside[turned]
        values = np.where(outside, breach, calm) + np.where(noisy, rng.normal(0, 0.1, count), 0.0)
        at = np.full(count, T0 + 10_000 * (number + 1), np.int64)
        before, began = core.steps, time.process_time()
        for first in range(0, count, BATCH):
            part = slice(first, first + BATCH)
            core.feed(points[part], at[part], values[part], usable)
        if number >= 2:
            spent, steps = spent + time.process_time() - began, steps + core.steps - before
    return {"rate": rounds * count / spent, "steps_per_sample": steps / (rounds * count), "transitions": len(changes)}


def run(quick: bool) -> dict[str, Any]:
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
    count = 10_000 if quick else 50_000
    plain = screened(PLAIN_KINDS, 4 if quick else 20, count)
    window = screened((*PLAIN_KINDS, *WINDOW_KINDS), 2 if quick else 8, count)
    return {
        "rows": [
            row("samples: screen and core, threshold/state/stale", plain["rate"], "/s", bare, calls, **plain),
            row("samples: screen and core, window kinds as well", window["rate"], "/s", bare, calls, **window),
            row("steps: sample within limits", rate(RULE, calm, seconds), "/s", bare, calls),
            row("steps: sample and tick while it climbs and falls", rate(RULE, moving, seconds), "/s", bare, calls),
            row("steps: raised, acknowledged, cleared", rate(AT_ONCE, pulses, seconds), "/s", bare, calls),
        ]
    }
