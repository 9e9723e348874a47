"""Samples that cannot change an alarm are not handed to the core: alarms, transitions and coverage are the same, whatever the timeline."""

import random

import pytest

from alarms.quiet import NEVER
from contract.sample import Quality
from server.store.tables import Alarm, CoverageSpan, Transition
from server.watch import commands, samples
from server.watch.inputs import GatewayDeath
from tests.server.conftest import GATEWAY, OTHER, ROOM, RULES, populated

MORE = """
  - name: dew
    kind: dew_point
    surface: -3
    ladder: {alarm: {below: 3, on_delay: 5s}}
  - name: rise
    kind: rate
    quantity: temperature
    window: 60s
    least: 30
    ladder: {critical: {above: 4, on_delay: 5s}}
  - name: same
    kind: stuck
    quantity: humidity
    ladder: {warn: {above: 60s}}
  - name: apart
    kind: deviation
    quantity: humidity
    every: 10s
    within: 1m
    ladder: {warn: {above: 5, on_delay: 10s}}
  - name: jump
    kind: step
    quantity: humidity
    every: 7s
    window: 1m
    ladder: {warn: {above: 5}}
  - name: close
    kind: expression
    expression: humidity > 50 && temperature > 10
    every: 10s
    ladder: {warn: {equals: 1, on_delay: 5s}}
"""


def history(made, seed):
    """A random day of a room: everything that a point can live through, the same for the same seed."""
    dice = random.Random(seed)
    points = [("a/humidity", ROOM), ("b/humidity", ROOM), ("a/temperature", ROOM), ("s/smoke", ROOM), ("c/humidity", OTHER)]
    made.birth(points)
    level = {"a/humidity": 50.0, "b/humidity": 51.0, "a/temperature": 20.0, "c/humidity": 55.0}
    for _ in range(160):
        made.now += dice.choice([500, 2_000, 5_000, 9_000, 15_000])
        batch = []
        for metric in [*level, "s/smoke"]:
            if dice.random() < 0.7:
                if metric == "s/smoke":
                    batch.append((metric, int(dice.random() < 0.03)))
                else:
                    level[metric] += dice.choice([0, 0, 0, 0.5, -0.5, 9, -9])
                    batch.append((metric, level[metric], Quality.UNCERTAIN if dice.random() < 0.05 else Quality.GOOD))
        if batch:
            made.send(*batch, **({"ago": dice.randint(1, 40), "historical": True} if dice.random() < 0.1 else {}))
        made.run()
        if dice.random() < 0.02:
            made.watch.offer(GatewayDeath(gateway=GATEWAY, at=made.now))
            made.run(2)
            made.birth(points)
        if dice.random() < 0.05 and (waiting := made.rows(Alarm, state="active_unacked")):
            made.order(commands.Acknowledge(alarm=waiting[0].id, by="林一"))
        if dice.random() < 0.02:
            made.start()
    spans = [(s.room, s.since, s.until, s.state, s.cause) for s in made.rows(CoverageSpan)]
    alarms = [(a.subject, a.rule, a.state, a.level, a.raised_at, a.cleared_at, a.occurrence, a.known_late) for a in made.rows(Alarm)]
    asked = made.asked()
    return alarms, [(t.alarm, t.at, t.name, t.after, t.level, t.value, t.id in asked) for t in made.rows(Transition)], spans


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 40))])
def test_what_is_quiet_changes_nothing(slice_, tmp_path, monkeypatch, seed):
    slice_.rules = RULES + MORE
    slice_.start()
    quick = history(slice_, seed)
    plain = populated(tmp_path / "plain", RULES + MORE)
    monkeypatch.setattr(samples, "quiet", lambda *_: NEVER)
    slow = history(plain, seed)
    plain.db.close()
    assert len(quick[1]) > 20
    assert "jump" in {alarm[1] for alarm in quick[0]}
    for mine, theirs in zip(quick, slow, strict=True):
        assert mine == theirs
