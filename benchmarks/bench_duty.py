"""From a committed alarm to the request at the SMS provider, while a province sends 1,300 alarms within a minute; the critical ones first.

Real: the database with fsync, the dispatcher with its threads, HTTP to the simulated provider in a process of its own. Alarms arrive at random
instants, one in fifty critical. Latency = the provider took the first message about an alarm − that alarm's commit.
"""

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import bare_commits, row, spread
from server.duty.escalation import default_escalation
from server.duty.numbers import number
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.notify.throttle import Cap
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Person, Room, Transition, Unit

UNITS = 1_300
PROVINCE, CITY, COUNTY = "350000000000", "350100000000", "350102000000"
DRAIN_S = 60


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def province(db: Database, units: int) -> None:
    """Units with a duty officer and a room with its own person each."""
    with db.write() as session:
        for code, parent, level in ((PROVINCE, None, 1), (CITY, PROVINCE, 2), (COUNTY, CITY, 3)):
            session.add(Unit(code=code, parent=parent, level=level, name=code, short_name=code[:6]))
            session.flush()
        for n in range(units):
            code = f"350102{n + 1:06d}"
            session.add(Unit(code=code, parent=COUNTY, level=4, name=code, short_name=f"站{n}"))
            session.flush()
            session.add(Person(id=2 * n + 1, code=f"d{n}", name=f"值{n}", phone=f"138{n:08d}", unit=code, duty="duty_officer"))
            session.add(Person(id=2 * n + 2, code=f"c{n}", name=f"管{n}", phone=f"137{n:08d}", unit=code, duty="person_in_charge"))
            session.flush()
            session.add(Room(code=f"{code}-01", unit=code, name="库", short_name="库", sms_place=f"{n}号库", person=2 * n + 2))


def annunciate(db: Database, n: int, critical: bool) -> tuple[str, int]:
    """One alarm, as the watch commits it. Returns its number and the instant after the commit."""
    rule, level = ("smoke", "critical") if critical else ("power_lost", "urgent")
    at, unit = now_ms(), f"350102{n + 1:06d}"
    with db.write() as session:
        alarm = Alarm(
            open_key=f"{unit}|{rule}", subject=f"room:{unit}-01", rule=rule, kind="state", quantity="smoke" if critical else "power",
            room=f"{unit}-01", unit=unit, state="active_unacked", level=level, raised_at=at, raised_value=1.0, number="",
        )  # fmt: skip
        session.add(alarm)
        session.flush()
        alarm.number = digits = number(alarm.id)
        change = Transition(alarm=alarm.id, at=at, name="raised", before="normal", after="active_unacked", level=level, value=1.0)
        session.add(change)
        session.flush()
        session.add(EscalationStep(alarm=alarm.id, annunciation=change.id, reason="raised", step=0, due=at))
    return digits, now_ms()


def provider(folder: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    command = [sys.executable, "-m", "simulators", "sms", "--port", "0", "--data", str(folder / "sms.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def run(quick: bool, folder: Path) -> dict[str, Any]:
    """The whole: 1,300 alarms in a minute; quick: 260 in twelve seconds, the same pace."""
    units, seconds = (UNITS // 5, 12.0) if quick else (UNITS, 60.0)
    folder.mkdir(parents=True, exist_ok=True)
    db = Database(f"sqlite:///{folder / 'duty.db'}")
    migrate(db)
    province(db, units)
    process, ready = provider(folder)
    try:
        committed = storm(db, ready, units, seconds)
        taken = first_requests(ready, set(committed))
    finally:
        process.terminate()
        process.wait()
        db.close()
    late = {level: [taken[n] - at for n, (at, mine) in committed.items() if n in taken and mine == level] for level in ("critical", "urgent")}
    commits = spread(bare_commits(folder / "bare", [[b"x" * 2_000]] * 100))["p50"]
    rows = []
    for name, values in (("all", late["critical"] + late["urgent"]), ("critical", late["critical"])):
        figures = spread(values or [float(DRAIN_S * 1000)])
        rows += [
            row(f"alarm committed → SMS request, {name}: {share}", figures[share], "ms", "one commit", commits) for share in ("p50", "p99", "max")
        ]
    return {"rows": rows, "alarms": units, "seconds": seconds, "lost": len(committed) - len(taken), "goal_p99_ms": 500}


def storm(db: Database, ready: dict[str, Any], units: int, seconds: float) -> dict[str, tuple[int, str]]:
    """Alarms at random instants of the time while the dispatcher runs; then until everything has left. Number -> (commit, level)."""
    token = "simulated-token"
    channel = TwilioSms(account_sid=ready["account_sid"], token=token, sender="+8613900009999", base_url=ready["url"], timeout_s=10)
    settings, cap = DispatchSettings(poll_receipts=False), Cap(5, 600_000)
    dispatcher = Dispatcher(db, [channel], default_escalation(), settings=settings, throttle=cap)
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop, now_ms))
    thread.start()
    dice, committed = random.Random(1300), {}
    began = time.monotonic()
    for n, at in enumerate(sorted(dice.uniform(0, seconds) for _ in range(units))):
        time.sleep(max(began + at - time.monotonic(), 0))
        critical = n % 50 == 7
        digits, instant = annunciate(db, n, critical)
        committed[digits] = (instant, "critical" if critical else "urgent")
        dispatcher.nudge()
    until = time.monotonic() + DRAIN_S
    while time.monotonic() < until and dispatcher.oldest_waiting_ms(now_ms()):
        time.sleep(0.2)
    time.sleep(0.5)
    stop.set()
    dispatcher.nudge()
    thread.join()
    return committed


def first_requests(ready: dict[str, Any], numbers: set[str]) -> dict[str, int]:
    """When the provider took the first message about each alarm."""
    found: dict[str, int] = {}
    for message in httpx.get(f"{ready['url']}/control/messages", timeout=60).json():
        digits = message["body"][-6:]
        if digits in numbers:
            found.setdefault(digits, message["created_at"])
    return found
