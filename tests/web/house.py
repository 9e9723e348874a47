"""A small real server for the tests of the screens: SQLite, watch with its writer thread, series store, hub, board; only the clock is a number.

With `now=None` the clock is the wall's, for tests in a real browser.
"""

import asyncio
import contextlib
import hashlib
import io
import math
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from argon2 import PasswordHasher
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from alarms.rules import default_rules
from contract.batch import Outbox, PointDeclaration
from contract.offers import Offers
from contract.sample import PointKey, Quality, Sample
from server.duty.calendar import Workdays
from server.duty.escalation import default_escalation
from server.history import History
from server.live.board import Board
from server.live.hub import Hub
from server.metrics import Metrics
from server.notify.forecast import Forecast
from server.notify.lines import Lines
from server.org.sessions import SignInLimits
from server.reports import history_export
from server.reports.desk import Desk, Here
from server.reports.sources import Sources
from server.reports.wiring import board_bands
from server.series.choose import open_store
from server.series.embedded import EmbeddedStore
from server.settings import WatchSettings
from server.store.session import Database
from server.store.tables import Account, Alarm, EscalationStep, Gateway, Notification, Person, Room, Unit
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.loop import Watch
from server.watch.rulebook import RuleBook
from server.web import site
from server.web.services import ApiToken, Services, WebSettings
from tests.fresh import fresh

T0 = 1_790_000_000_000
PROVINCE, CITY, COUNTY, SISTER = "350000000000", "350100000000", "350102000000", "350103000000"
ROOM, OTHER, QUIET, FOREIGN = f"{COUNTY}-01", f"{COUNTY}-02", f"{COUNTY}-03", f"{SISTER}-01"
GATEWAY, SISTER_GATEWAY = "GW-350102-01", "GW-350103-01"
PASSWORD = "correct horse 8"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""The same for all, and cheap: a password's cost is not what the tests of the screens are about."""
ROLES = ("duty", "in_charge", "inspector", "keeper", "system", "security", "audit")
SERVICE_KEY, GATEWAY_KEY = "key-of-the-command-line", "key-of-the-gateway"
POINTS = (
    ("th1/temperature", 30),
    ("th1/humidity", 30),
    ("smoke1/smoke", 30),
    ("leak1/leak", 30),
    ("door1/door", 30),
    ("th9/temperature/outdoor", 60),
)


class House:
    """Everything that serves the screens. `now` is the server's clock (UTC ms); tests set it. `url`: of an empty database, SQLite without."""

    def __init__(
        self,
        folder: Path,
        *,
        now: int | None = T0,
        limits: SignInLimits | None = None,
        banner: str | None = None,
        ping_ms: int = 5_000,
        url: str | None = None,
    ) -> None:
        self.folder, self._fixed = folder, now
        self._peopled = url is None and now is not None
        if self._peopled:
            (folder / "aw.db").write_bytes(_template(now))
        self.db = Database(url or fresh(folder / "aw.db"))
        self._populate()
        self.store: Any = _WhenAsked(folder / "series")
        self.board = Board()
        self.hub = Hub(self.board, self.now)
        self.metrics = Metrics()
        settings = WatchSettings(stale_intervals=3, stale_min_s=60, restart_holdoff_s=10, gather_ms=5)
        self.rulebook = RuleBook(self.db, default_rules(), self.now, lambda rules: self.watch.adopt(rules))  # noqa: PLW0108 - built below
        self.watch = Watch(self.db, self.rulebook.current, settings, self.metrics, publish=self.hub.publish)
        self.watch.open(self.now)
        self.history = History(self.db, self.store)
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self.watch.run, args=(self._stop, lambda: self.now), kwargs={"frozen_ms": math.inf}, daemon=True)
        self._writer.start()
        self._sequence: dict[str, int] = {}
        self.reasons: dict[str, str] = {}
        tokens = {
            WebSettings.digest(SERVICE_KEY): ApiToken(name="cli", role="service"),
            WebSettings.digest(GATEWAY_KEY): ApiToken(name=GATEWAY, role="gateway"),
        }
        self.settings = WebSettings(
            data_folder=folder, limits=limits or SignInLimits(idle_ms=8 * 3_600_000), tokens=tokens, banner=banner, version="0.1.0",
            ping_ms=ping_ms, command_timeout_s=20,
        )  # fmt: skip
        sources = Sources(db=self.db, store=self.store, bands=board_bands(self.board), generator="ArchiveWatch 0.1.0")
        self.desk = Desk(sources, Here(), folder / "papers", {"history": history_export.product})
        self.services = Services(
            db=self.db, watch=self.watch, hub=self.hub, board=self.board, store=self.store, desk=self.desk, settings=self.settings,
            clock=lambda: self.now, registry=self.metrics.registry, ready=lambda: self.reasons, rulebook=self.rulebook,
            watch_settings=settings, forecast=Forecast(default_escalation(), Lines(channel="sms", voice="voice"), Workdays()),
        )  # fmt: skip
        self.app = site.build(self.services)

    @property
    def now(self) -> int:
        return time.time_ns() // 1_000_000 if self._fixed is None else self._fixed

    @now.setter
    def now(self, value: int) -> None:
        self._fixed = value

    def close(self) -> None:
        self._stop.set()
        self.watch.wake()
        self._writer.join(10)
        self.services.pool.close()
        self.store.end()
        self.db.close()

    # -- people -------------------------------------------------------------------------------------------------------------------------

    def client(self, login: str | None = None) -> TestClient:
        """A browser, signed in as `login` (e.g. duty, sister-duty, province-audit)."""
        client = TestClient(self.app, base_url="http://testserver", follow_redirects=False, raise_server_exceptions=False)
        client.headers["Sec-Fetch-Site"] = "same-origin"
        if login is not None:
            answer = client.post("/api/v1/session", json={"login": login, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
        return client

    # -- data ---------------------------------------------------------------------------------------------------------------------------

    def birth(self, gateway: str = GATEWAY, rooms: tuple[str, ...] = (ROOM, OTHER), offers: Offers | None = None) -> None:
        """The gateway declares the same points for each of its rooms, and what may be written; devices carry the room's number."""
        points = [
            PointDeclaration(_metric(metric, room), 100 * index + alias, room, "", interval, "measure")
            for index, room in enumerate(rooms)
            for alias, (metric, interval) in enumerate(POINTS)
        ]
        item = GatewayBirth(
            gateway=gateway,
            group="350100",
            received_at=self.now,
            bd_seq=0,
            outbox=Outbox(7, 1, 0),
            points=tuple(points),
            rules_version="",
            offers=offers,
        )
        self.watch.offer(item).result(20)

    def send(self, room: str = ROOM, *, gateway: str = GATEWAY, at: int | None = None, **values: float) -> None:
        """Readings of one room, taken now: send(temperature=21.5, humidity=52, smoke=0)."""
        devices = {metric.split("/")[1]: metric for metric, _ in POINTS[:5]} | {"outdoor": POINTS[5][0]}
        samples = tuple(
            Sample(PointKey.of(gateway, _metric(devices[quantity], room)), self.now if at is None else at, value, Quality.GOOD)
            for quantity, value in values.items()
        )
        first = self._sequence.get(gateway, 0) + 1
        self._sequence[gateway] = first + len(samples) - 1
        outbox = Outbox(7, first, self._sequence[gateway])
        self.watch.offer(GatewayData(gateway=gateway, received_at=self.now, samples=samples, outbox=outbox, urgent=True)).result(20)

    def calm(self, room: str = ROOM, gateway: str = GATEWAY) -> None:
        """A full set of readings inside every band, taken a second ago: what a test sends next is newer."""
        self.send(room, gateway=gateway, at=self.now - 1_000, temperature=21.4, humidity=52, smoke=0, leak=0, door=0)

    def smoke(self, room: str = ROOM, gateway: str = GATEWAY) -> int:
        """Raise the smoke alarm of a room; returns the alarm's id."""
        self.send(room, gateway=gateway, smoke=1)
        return self.alarm(room, "smoke").id

    def alarm(self, room: str, rule: str) -> Alarm:
        """The newest alarm of a room by a rule."""
        with self.db.read() as session:
            return session.query(Alarm).filter_by(room=room, rule=rule).order_by(Alarm.id.desc()).first()

    def tell(self, alarm: int) -> None:
        """One SMS about an alarm, delivered."""
        with self.db.write() as session:
            step = session.query(EscalationStep).filter_by(alarm=alarm).order_by(EscalationStep.id).first()
            row = session.get_one(Alarm, alarm)
            text = f"【档案值守】特急：鼓楼分局01库于18:13烟感告警。请马上派人到门外查看，见烟见火打119，勿单人进入。编号{row.number}"
            session.add(
                Notification(
                    escalation_step=step.id, alarm=alarm, reason="raised", step=0, person=1, person_name="林一", phone="+8613900001234",
                    channel="twilio_sms", number=row.number, text=text, created_at=self.now, due=self.now, state="delivered", attempts=1,
                    provider_id="SM1", sent_at=self.now + 800, receipt="delivered", receipt_at=self.now + 2300,
                )
            )  # fmt: skip

    def _populate(self) -> None:
        if not self._peopled:
            _people(self.db, self.now)

    def picture(self, text: str = "01 库房") -> tuple[bytes, str]:
        """A JPEG and its SHA-256."""
        image = Image.new("RGB", (640, 360), (70, 78, 86))
        draw = ImageDraw.Draw(image)
        for column in range(6):
            draw.rectangle((20 + column * 104, 70, 104 + column * 104, 340), fill=(112 + column * 8, 108, 98), outline=(40, 44, 48), width=3)
            for shelf in range(5):
                draw.line((20 + column * 104, 120 + shelf * 50, 104 + column * 104, 120 + shelf * 50), fill=(60, 62, 64), width=3)
        draw.text((12, 12), f"CAM {text.encode('ascii', 'ignore').decode()}", fill=(235, 235, 235))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG")
        content = buffer.getvalue()
        return content, hashlib.sha256(content).hexdigest()


def _people(db: Database, now: int) -> None:
    """Units, rooms, gateways, people and their accounts."""
    names = {PROVINCE: "福建省厅", CITY: "福州市局", COUNTY: "鼓楼分局", SISTER: "台江分局"}
    with db.write() as session:
        for level, (code, parent) in enumerate(((PROVINCE, None), (CITY, PROVINCE), (COUNTY, CITY), (SISTER, CITY)), 1):
            session.add(Unit(code=code, parent=parent, level=min(level, 3), name=names[code], short_name=names[code][:2], duty_phone="0591-87550110"))
            session.flush()
        session.add(Person(code="P-0001", name="林一", phone="+8613900001234", unit=COUNTY, duty="person_in_charge"))
        session.flush()
        for code, name in ((ROOM, "一号库房"), (OTHER, "二号库房"), (QUIET, "三号库房"), (FOREIGN, "档案库房")):
            session.add(_room(code, name))
        for code, unit in ((GATEWAY, COUNTY), (SISTER_GATEWAY, SISTER)):
            session.add(Gateway(code=code, group_id="350100", unit=unit, changed_at=now, online=False))
        for prefix, unit in (("", COUNTY), ("sister-", SISTER), ("province-", PROVINCE)):
            for role in ROLES:
                name = "陈值班" if prefix + role == "duty" else f"{prefix}{role}"
                session.add(Account(login=prefix + role, password_hash=QUICK, role=role, unit=unit, display_name=name))


@cache
def _template(now: int) -> bytes:
    """The file of a house with its people: filling it takes longer than most tests of a screen."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "house.db"
        db = Database(fresh(file))
        _people(db, now)
        db.close()
        return file.read_bytes()


class _WhenAsked:
    """The real series store, opened by the first who asks it something: most screens do not, and opening takes as long as showing three pages."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()

    @property
    def __class__(self) -> Any:
        return EmbeddedStore  # a back-up asks which kind it is

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if "opened" not in vars(self):
                self.opened = open_store("embedded", self._folder)
        return getattr(self.opened, name)

    def end(self) -> None:
        """Close it if it was opened."""
        if "opened" in vars(self):
            self.opened.close()


def _room(code: str, name: str) -> Room:
    demanded = [] if code == QUIET else ["temperature", "humidity", "smoke"]
    stage = "not_connected" if code == QUIET else "in_use"
    return Room(
        code=code, unit=code[:12], name=name, short_name=name[:4], sms_place=f"{code[-2:]}库", demanded=demanded, stage=stage,
        person=1 if code.startswith(COUNTY) else None,
    )  # fmt: skip


def _metric(metric: str, room: str) -> str:
    device, _, rest = metric.partition("/")
    return f"{device}-{room[-2:]}/{rest}"


@contextlib.contextmanager
def serving(house: House, port: int) -> Iterator[str]:
    """The house behind a real HTTP server, with the hub running in its loop; yields the address."""
    config = site.listening(house.app, "127.0.0.1", port)
    config.lifespan, config.timeout_graceful_shutdown = "off", 2
    server = uvicorn.Server(config)
    failure: list[BaseException] = []

    async def main() -> None:
        sending = asyncio.create_task(house.hub.run(lambda: house.now))
        await server.serve()
        sending.cancel()

    def body() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or failure)
        assert not failure, failure
        yield f"http://127.0.0.1:{port}"
    finally:
        house.hub.close()
        server.should_exit = True
        thread.join(15)
        assert not failure, failure


def wait_until(condition, seconds: float = 10) -> None:
    """Poll until it holds; fails the test when it does not in time."""
    event = threading.Event()
    for _ in range(int(seconds * 100)):
        if condition():
            return
        event.wait(0.01)
    raise AssertionError(f"did not come true within {seconds} s")
