"""The history as a program outside asks for it: rooms of a month in the store of a real server, over its own HTTP interface.

The peers are asked over HTTP too; here stand the questions of series_peers that the interface has, with everything that a server does for them:
session, rights, times in words. Answers are counted, not decoded, as those of the peers are.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx

from benchmarks import org_pages
from benchmarks.figures import spread, took_ms
from benchmarks.org_pages import PROVINCE
from benchmarks.series_data import KINDS, START, Plan, days
from server.app import Parts
from server.series.partition import DAY_MS
from server.settings import BrokerSettings, Settings
from server.store.tables import Gateway, Point, Room, Unit

GATEWAY = "GW-BENCH"
QUANTITIES = ("temperature", "humidity", "smoke", "door")
TIMES = 7


def figures(folder: Path, rooms: int, month: int) -> dict[str, dict[str, float]]:
    """ms of each question: median, percentiles; every answer is counted against what it must hold."""
    folder.mkdir()
    plan = Plan(rooms, month)
    _fill(folder / "var", plan)
    config = folder / "server.yaml"
    config.write_text(org_pages.config_text(None), "utf-8")
    org_pages.load_accounts(config, {"in_charge": PROVINCE})
    with org_pages.serving(config) as (base, _), httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        org_pages.sign_in(client, "in_charge")
        asked = _asked(client, plan)
        for question, ask, count in asked:  # before the clock runs: the server is warm, and says all of it
            if (got := {ask(number) for number in range(TIMES)}) != {count}:
                raise AssertionError(f"“{question}” is answered with {got} values instead of {count}")
        return {question: spread([took_ms(partial(ask, number)) for number in range(TIMES)]) for question, ask, _ in asked}


def _fill(data: Path, plan: Plan) -> None:
    """Books and samples; rolled up with the limits that the server will judge by."""
    data.mkdir()
    parts = Parts(Settings(data_dir=data, broker=BrokerSettings(port=org_pages.free_port())))  # nobody listens there
    try:
        with parts.db.write() as session:
            session.add(Unit(code=PROVINCE, parent=None, level=1, name="福建省局", short_name="省局"))
            session.flush()
            session.add(Gateway(code=GATEWAY, group_id="350000", unit=PROVINCE, name="网关"))
            codes = [_code(number) for number in range(plan.rooms)]
            session.add_all(Room(code=code, unit=PROVINCE, name=f"{code}号库房", short_name=code[-3:], sms_place=code[-3:]) for code in codes)
            session.flush()
            session.add_all(_point(number, code, place) for number, code in enumerate(codes) for place in range(len(KINDS)))
        parts.start()
        for day in days(plan):
            parts.store.write(day)
        parts.history.compact(plan.end + 40 * DAY_MS)
    finally:
        parts.stop()


def _code(number: int) -> str:
    return f"{PROVINCE}-{number + 1:02d}"


def _point(number: int, code: str, place: int) -> Point:
    quantity, device = QUANTITIES[place % len(QUANTITIES)], f"d{number}-{place // len(QUANTITIES)}"
    ident = number * len(KINDS) + place + 1
    return Point(id=ident, gateway=GATEWAY, device=device, quantity=quantity, room=code, unit="", interval_ms=60_000, created_at=0)


def _asked(client: httpx.Client, plan: Plan) -> list[tuple[str, Callable[[int], int], int]]:
    """Each question, how to ask it of room n, and how many values its answer has."""

    def ask(number: int, quantities: Sequence[str], until: int, step: str) -> int:
        asked = {"room": _code(number % plan.rooms), "quantity": quantities, "from": _iso(START), "to": _iso(until), "step": step}
        answer = client.get("/api/v1/history", params=asked)
        answer.raise_for_status()
        return answer.text.count('"watched_s":')

    return [
        ("one series, raw, 3 days", lambda n: ask(n, ["door"], START + 3 * DAY_MS, "raw"), 3 * DAY_MS // plan.step_ms),
        ("one series, raw, the month", lambda n: ask(n, ["door"], plan.end, "raw"), plan.days * DAY_MS // plan.step_ms),
        (
            "one room, hourly, the month",
            lambda n: ask(n, QUANTITIES, plan.end, "3600"),
            plan.points_of_room * plan.days * 24,
        ),
    ]


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat()
