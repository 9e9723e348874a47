"""The live hub: 1,000 rooms, 100 viewers, no sockets. Beside it: the same tiles as JSON text, made once for everybody."""

import json
from pathlib import Path
from typing import Any

from benchmarks.figures import row, spread, took_ms
from server.live import wire
from server.live.board import AlarmFact, Board, Fact, PointFact, ReadingFact, RoomFact
from server.live.hub import Hub

T0 = 1_790_000_000_000
PROVINCE = "350000000000"
ROOMS, VIEWERS = 1_000, 100
SMOKE = {"state": "active_unacked", "level": "critical"}
QUANTITIES = ("temperature", "humidity", "smoke", "door")


def cities() -> list[str]:
    return [f"35{n:02}00000000" for n in range(1, 10)]


def setting() -> list[Fact]:
    facts: list[Fact] = []
    for number in range(ROOMS):
        city = cities()[number % 9]
        unit = f"{int(city) + 1_000_000 * (number // 9 % 90 + 1)}"
        code = f"{unit}-{number // 810 + 1:02}"
        path = (PROVINCE, city, unit)
        facts.append(RoomFact(code=code, unit=unit, unit_path=path, name="一号库", unit_name="分局", demanded=("temperature", "humidity")))
        facts += [
            PointFact(point_id=number * 4 + n, room=code, gateway="g", device="d", quantity=quantity, deadline_ms=180_000)
            for n, quantity in enumerate(QUANTITIES)
        ]
    return facts


def readings(now: int, tick: int) -> list[Fact]:
    values = (20 + tick % 30 / 10, 50 + tick % 70 / 10, 0.0, 0.0)
    return [
        ReadingFact(point_id=number * 4 + n, value=values[n], quality="good", taken_at=now - 500, received_at=now, reason="", at=now - 500)
        for number in range(ROOMS)
        for n in range(4)
    ]


def rooms(facts: list[Fact]) -> list[RoomFact]:
    return [fact for fact in facts if isinstance(fact, RoomFact)]


def alarm(room: RoomFact, number: int, now: int) -> AlarmFact:
    subject = f"point:{number}"
    return AlarmFact(alarm_id=number, room=room.code, unit=room.unit, subject=subject, rule="smoke", **SMOKE, raised_at=now)


def run(folder: Path, quick: bool) -> dict[str, Any]:  # noqa: ARG001 - one signature for all benchmarks
    facts = setting()
    hub = Hub(Board(), T0)
    hub.publish(facts + readings(T0, 0), T0)
    hub.run_once(T0)
    # a tenth sees the whole province, the others one city each
    viewers = [hub.attach(None if n % 10 == 0 else cities()[n % 9], T0) for n in range(VIEWERS)]
    snapshots = [took_ms(lambda viewer=viewer: hub.take(viewer, T0)) for viewer in viewers[:20]]
    for viewer in viewers:
        hub.take(viewer, T0)
    publish, flush, hand, bare, urgent, left = [], [], [], [], [], 0
    for tick in range(1, 11 if quick else 61):
        now = T0 + tick * 2_000
        news = readings(now, tick)
        publish.append(took_ms(lambda news=news, now=now: hub.publish(news, now)))
        flush.append(took_ms(lambda now=now: hub.run_once(now)))
        hand.append(took_ms(lambda now=now: [hub.take(viewer, now) for viewer in viewers]))
        views = [view for room in rooms(facts) if (view := hub.board.room(room.code, now)) is not None]
        bare.append(took_ms(lambda views=views: json.dumps([wire.tile(view) for view in views], ensure_ascii=False)))
        one = alarm(rooms(facts)[tick], tick, now)

        def raise_(one: AlarmFact = one, now: int = now) -> None:
            hub.publish([one], now + 1)
            hub.run_once(now + 1)
            for viewer in viewers:
                hub.take(viewer, now + 1)

        urgent.append(took_ms(raise_))
        left += sum(viewer.pending for viewer in viewers)
    name = "the 1,000 tiles as JSON once"
    once = spread(bare)["p50"]
    return {
        "rows": [
            row("publish 4,000 readings: p50", spread(publish)["p50"], "ms", name, once, spread=spread(publish)),
            row("flush 1,000 changed tiles to 100 viewers: p50", spread(flush)["p50"], "ms", name, once, spread=spread(flush)),
            row("text of those tiles for all 100 viewers: p50", spread(hand)["p50"], "ms", name, once, spread=spread(hand)),
            row("one alarm to all 100 viewers, text included: p50", spread(urgent)["p50"], "ms", name, once, spread=spread(urgent)),
            row("snapshot for one viewer: p50", spread(snapshots)["p50"], "ms", name, once, spread=spread(snapshots)),
        ],
        "rooms": ROOMS,
        "viewers": VIEWERS,
        "left_waiting": left,
    }
