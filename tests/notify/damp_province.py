"""A damp province end to end in simulated time: the weather and the rooms of the simulators, readings into the real watch with the product's own
rules, its alarms through the real dispatcher with the product's own escalation table. Only the instant is given; the file channel is the outside.

Nobody dries these rooms and nobody answers for the climate. In rooms of their own, at night, other things happen: smoke, a leak, a door, a power cut
and a gateway that falls silent. Those are taken over a quarter of an hour later.
"""

from collections import Counter
from typing import NamedTuple

from sqlalchemy import delete, func, insert, not_, or_, select

from alarms.rules import default_rules
from contract.batch import PointDeclaration
from contract.sample import PointKey, Quality, Sample
from server.duty.escalation import default_escalation
from server.metrics import Metrics
from server.notify.channels.outbox_file import OutboxFile
from server.notify.dispatch import Dispatcher
from server.settings import WatchSettings
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Gateway, Journal, Notification, Person, Room, Transition, Unit
from server.watch.commands import Acknowledge
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath
from server.watch.loop import Watch
from simulators.climate import CITIES
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from simulators.weather import DAY, HOUR
from tests.fresh import fresh

MINUTE = 60_000
PROVINCE = "350000000000"
STATION_ROOMS, GATEWAY_ROOMS = 4, 40
INTERVAL_S = 3600
CLIMATE = or_(Alarm.kind.in_(("threshold", "swing", "dew_point", "mould", "deviation", "stuck", "step")), Alarm.rule == "group_weather")
EVENTS = {  # what happens -> (metric, calm value, value, the rule that must tell somebody, how long after the reading at most)
    "smoke": ("s1/smoke", 0, 1, "smoke", 0), "leak": ("l1/leak", 0, 1, "leak", MINUTE), "power": ("p1/power", 1, 0, "power_lost", MINUTE),
    "door": ("d1/door", 0, 1, "door_off_hours", 16 * MINUTE), "blind": ("", 0, 0, "gateway_offline", 11 * MINUTE),
}  # fmt: skip


class Happening(NamedTuple):
    at: int
    what: str
    room: str
    gateway: str


class DampProvince:
    """`rooms` bare rooms in the ten cities, `happenings` nights on which something else goes wrong, from `start` for `days`."""

    def __init__(self, folder, rooms, start, days, happenings, seed=20):
        self.folder, self.now, self.start, self.end, self.sent = folder, start, start, start + days * DAY, 0
        self.db = Database(fresh(folder / "damp.db"))
        self.cities = list(CITIES.values())
        self.rooms = [self._code(n) for n in range(rooms)]
        nights = [start + (1 + n * max(days - 2, 1) // happenings) * DAY + 2 * HOUR + n * 7 * MINUTE for n in range(happenings)]
        kinds = [list(EVENTS)[n % len(EVENTS)] for n in range(happenings)]
        self.happenings = [Happening(at, what, f"{PROVINCE}-{n + 1:02d}", f"GW-N{n}") for n, (at, what) in enumerate(zip(nights, kinds, strict=True))]
        self.gateways = {f"GW-{n}": self.rooms[n : n + GATEWAY_ROOMS] for n in range(0, rooms, GATEWAY_ROOMS)}
        self._populate()
        specs = [RoomSpec.bare(code, self.cities[n % len(self.cities)].name) for n, code in enumerate(self.rooms)]
        self.plant = Plant(specs, seed=seed, start_ms=start)
        self.watch = Watch(self.db, default_rules(), WatchSettings(), Metrics(), publish=lambda facts, now: None)
        self.watch.open(self.now)
        self.dispatcher = Dispatcher(self.db, [OutboxFile(folder / "outbox.jsonl")], default_escalation())
        for gateway, codes in self.gateways.items():
            self._birth(gateway, [(f"th{n}/{quantity}", code) for n, code in enumerate(codes) for quantity in ("temperature", "humidity")])
        for one in self.happenings:
            self._birth(one.gateway, [(EVENTS[one.what][0] or "s1/smoke", one.room)])
        self._readings()
        self._pass()

    def _code(self, number):
        city = self.cities[number % len(self.cities)]
        station, room = divmod(number // len(self.cities), STATION_ROOMS)
        county = city.code if len(city.code) == 6 else city.code + "02"
        return f"{county}{station + 10:03d}000-{room + 1:02d}"

    def _populate(self):
        units, people, rooms = [(PROVINCE, None, 1)], [], []
        for code in self.rooms:
            station = code[:12]
            for unit, parent, level in ((station[:4] + "00000000", PROVINCE, 2), (station[:6] + "000000", station[:4] + "00000000", 3)):
                units.append((unit, parent, level))
            units.append((station, station[:6] + "000000", 4))
        units = sorted(set(units), key=lambda unit: unit[2])
        for unit, _, _ in units:
            people += [(unit, "duty_officer"), (unit, "person_in_charge"), (unit, "archive_head")]
        keeper = {unit: 3 * n + 2 for n, (unit, _, _) in enumerate(units)}
        rooms = [(code, code[:12]) for code in self.rooms] + [(one.room, PROVINCE) for one in self.happenings]
        with self.db.write() as session:
            for level in (1, 2, 3, 4):
                rows = [{"code": u, "parent": p, "level": own, "name": f"单位{u}", "short_name": u[:6]} for u, p, own in units if own == level]
                session.execute(insert(Unit), rows)
            session.execute(
                insert(Person),
                [
                    {"id": n + 1, "code": f"P{n}", "name": f"人{n}", "phone": f"138{n:08d}", "unit": unit, "duty": duty}
                    for n, (unit, duty) in enumerate(people)
                ],
            )
            session.execute(
                insert(Room),
                [
                    {
                        "code": code, "unit": unit, "name": "库房", "short_name": "库", "sms_place": f"{n}号库", "person": keeper[unit],
                        "demanded": ["temperature", "humidity"] if unit != PROVINCE else [],
                    }
                    for n, (code, unit) in enumerate(rooms)
                ],
            )  # fmt: skip
            gateways = [*self.gateways, *(one.gateway for one in self.happenings)]
            session.execute(insert(Gateway), [{"code": g, "group_id": "G", "unit": PROVINCE, "changed_at": 0, "online": False} for g in gateways])

    # -- time ---------------------------------------------------------------------------------------------------------------------------

    def run(self):
        """Hour by hour, and at every instant between at which somebody is to be told or something happens."""
        instants = sorted({*(one.at for one in self.happenings), *(one.at + 15_000 for one in self.happenings)})
        hour = self.start
        while self.now < self.end:
            hour += HOUR
            while self.now < hour:
                coming = [at for at in (instants[0] if instants else None, self._next()) if at is not None]
                self.now = min([hour, *coming])
                while instants and instants[0] <= self.now:
                    self._happen(instants.pop(0))
                if self.now == hour:
                    self._readings()
                self._pass()
            if (hour - self.start) % (7 * DAY) == 0:
                self._drain()

    def _readings(self):
        self.plant.advance(self.now)
        values = zip(self.rooms, self.plant.values("temperature").round(1).tolist(), self.plant.values("humidity").round(1).tolist(), strict=True)
        of_room = {code: (("temperature", temperature), ("humidity", humidity)) for code, temperature, humidity in values}
        for gateway, codes in self.gateways.items():
            self._send(gateway, [(f"th{n}/{quantity}", value) for n, code in enumerate(codes) for quantity, value in of_room[code]])
        for one in self.happenings:
            metric, calm, value, *_ = EVENTS[one.what]
            if metric:
                self._send(one.gateway, [(metric, value if one.at <= self.now < one.at + HOUR else calm)])
            elif not one.at <= self.now < one.at + HOUR:
                self._send(one.gateway, [("s1/smoke", 0)])

    def _happen(self, at):
        for one in self.happenings:
            if at not in (one.at, one.at + 15_000):
                continue
            metric, _, value, *_ = EVENTS[one.what]
            if metric:
                self._send(one.gateway, [(metric, value)])
            elif at == one.at:
                self.watch.offer(GatewayDeath(gateway=one.gateway, at=at, group="G"))

    def _pass(self):
        while len(self.watch.inbox):
            self.watch.run_once(lambda: self.now)
        self.watch.run_once(lambda: self.now)
        self.dispatcher.run_once(self.now)
        self._humans()

    def _humans(self):
        """What is no climate is taken over a quarter of an hour after somebody was told."""
        told = select(Alarm.id).join(Notification, Notification.alarm == Alarm.id).where(Alarm.state == "active_unacked", not_(CLIMATE))
        with self.db.read() as session:
            due = session.scalars(told.group_by(Alarm.id).having(func.min(Notification.sent_at) <= self.now - 15 * MINUTE)).all()
        for alarm in due:
            self.watch.submit(Acknowledge(alarm=alarm, by="值班"))
        if due:
            self.watch.run_once(lambda: self.now)

    def _next(self):
        step = select(func.min(EscalationStep.due)).where(EscalationStep.state == "pending", EscalationStep.reason != "expire")
        with self.db.read() as session:
            found = [session.scalar(step), session.scalar(select(func.min(Notification.due)).where(Notification.state == "queued"))]
        found += [due for due, _ in self.watch._world.timers._heap[:1]]
        return min((at for at in found if at is not None and at > self.now), default=None)

    def _drain(self):
        """What the history would take out of the journal."""
        with self.db.write() as session:
            session.execute(delete(Journal))

    # -- what gateways send -------------------------------------------------------------------------------------------------------------

    def _birth(self, gateway, metrics):
        points = tuple(PointDeclaration(metric, index, room, "", INTERVAL_S) for index, (metric, room) in enumerate(metrics))
        self.watch.offer(GatewayBirth(gateway=gateway, group="G", received_at=self.now, bd_seq=0, outbox=None, points=points))

    def _send(self, gateway, readings):
        self.sent += len(readings)
        samples = tuple(Sample(PointKey.of(gateway, metric), self.now, float(value), Quality.GOOD) for metric, value in readings)
        self.watch.offer(GatewayData(gateway=gateway, received_at=self.now, samples=samples, group="G"))

    # -- the judge ----------------------------------------------------------------------------------------------------------------------

    def close(self):
        self.dispatcher.close()
        self.db.close()

    def verdict(self):
        """Of the climate: alarms, how many asked for people by night, messages, digests, and what must not be. Of the rest: who was told too late."""
        with self.db.read() as session:
            columns = select(Notification.phone, Notification.sent_at).join(Alarm, Alarm.id == Notification.alarm)
            climate = session.execute(columns.where(Notification.sent_at.is_not(None), CLIMATE)).all()
            asked = select(Transition.at).join(Alarm, Alarm.id == Transition.alarm)
            asked = asked.where(Transition.name.in_(("raised", "escalated", "re_raised")), Transition.level.in_(("alarm", "urgent")), CLIMATE)
            nights = sum(night(at) for at in session.scalars(asked))
            told = select(Notification.alarm).where(Notification.alarm.is_not(None))
            untold = select(Alarm.id).where(CLIMATE, Alarm.level == "urgent", Alarm.state == "active_unacked", Alarm.raised_at < self.end - DAY)
            late = [self._late(session, one) for one in self.happenings]
            found = {
                "alarms": session.scalar(select(func.count()).select_from(Alarm).where(CLIMATE)),
                "untold": len(session.scalars(untold.where(Alarm.id.not_in(told))).all()),
            }
        mornings = Counter((row.phone, row.sent_at // DAY) for row in climate if _minute(row.sent_at) == 450)
        return found | {
            "readings": self.sent, "asked_at_night": nights, "messages": len(climate), "at_night": sum(night(row.sent_at) for row in climate),
            "digests": len(mornings), "second_digests": sum(count > 1 for count in mornings.values()), "happenings": len(late),
            "late": [one for one in late if one is not None],
        }  # fmt: skip

    @staticmethod
    def _late(session, one):
        """None when somebody was told in time."""
        _, _, _, rule, bound = EVENTS[one.what]
        subject = Alarm.room == one.room if one.what != "blind" else Alarm.subject == f"gateway:{one.gateway}"
        first = select(func.min(Notification.sent_at)).join(Alarm, Alarm.id == Notification.alarm)
        at = session.scalar(first.where(subject, Alarm.rule == rule))
        return None if at is not None and one.at <= at <= one.at + bound else (one, at)


def _minute(at):
    return (at // MINUTE + 8 * 60) % 1440


def night(at):
    """Whether an instant lies in the quiet hours of the product's table."""
    return _minute(at) >= 22 * 60 or _minute(at) < 7 * 60
