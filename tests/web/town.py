"""A small province for the rights test: two sister stations under one county, and a county of another city, each with everything a unit can have."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from contract.claiming import claim_code
from contract.offers import offers_of
from contract.profile import find
from server import stills
from server.duty import drills, watch_checks
from server.duty.cards import default_cards
from server.duty.incidents import Incidents
from server.org import credentials, sessions
from server.reports.filing import FOLDER, path_of
from server.store import incidents
from server.store.tables import Account, AuditEntry, EscalationStep, Gateway, Notification, Person, Point, Room, Snapshot, Unit, WebSession
from server.store.tables_alarms import LimitChange, ShadowRun
from server.store.tables_gateway import GatewayEnrolment
from server.store.tables_incident import Dossier, IncidentPhoto
from server.store.tables_org import ChangeRequest, EmergencyAccess, ImportRun, Notice, PersonRole, RoomPlan, RoomSheet
from server.store.tables_papers import ExportJob
from server.store.tables_series import Annotation
from server.store.tables_watch import Work
from tests.web.house import COUNTY, GATEWAY, GATEWAY_KEY, OTHER, PROVINCE, ROLES, ROOM, SERVICE_KEY, House
from tests.web.walk import Character
from tests.web.walk_examples import BOXES, Place

UNITS = {"own": "350102010000", "sister": "350102020000", "city": "350203000000"}
NAMES = {"own": "甲石派出所", "sister": "乙林派出所", "city": "丙海分局"}
PARENTS = {"own": COUNTY, "sister": COUNTY, "city": "350200000000"}
UNCLAIMED = "GW-999999-01"


class Town(House):
    """The house with more units; `places` by key, `up` is the county above the two stations."""

    def __init__(self, folder: Path, *, ping_ms: int = 5_000, url: str | None = None) -> None:
        self.places: dict[str, Place] = {}
        super().__init__(folder, ping_ms=ping_ms, url=url)
        self.birth()
        for room in (ROOM, OTHER):
            self.calm(room)
        for key in UNITS:
            self._live(key)
        place = self._found("up", COUNTY, ROOM, GATEWAY, (f"{COUNTY}-01", f"{COUNTY}-02"))
        self.places["up"] = replace(place, alarm=self.smoke(ROOM), person=1, person_code="P-0001")
        Incidents(self.db, self.store, default_cards(), lambda *_: None).run_once(self.now)
        with self.db.write() as session:
            for key, place in self.places.items():
                found = incidents.of_alarm(session, place.alarm).id
                check = watch_checks.ask(session, place.unit, "test", lambda *_: 21.0, self.now)
                order = drills.order(session, place.unit, "test", self.now, room=place.room)
                self.places[key] = replace(place, incident=found, check=check.id, campaign=order.id, **self._papers(session, place, found))

    def _papers(self, session: Session, place: Place, incident: int) -> dict[str, Any]:
        """A picture taken on site and a filed dossier of an incident, with their files; the room's sheet allows pictures."""
        content, digest = self.picture(f"PHOTO {place.key}")
        stills.save(self.folder / "photos", content, digest)
        photo = IncidentPhoto(incident=incident, at=self.now, by="x", sha256=digest, bytes=len(content))
        paper = json.dumps({"of": place.key}).encode()
        filed = hashlib.sha256(paper).hexdigest()
        file = path_of(self.folder / FOLDER, filed, "json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(paper)
        sheet = RoomSheet(room=place.room, body={"photos": "允许"}, updated_at=self.now)
        dossier = Dossier(incident=incident, filed_at=self.now, pdf_sha256=filed, data_sha256=filed, keep_until=self.now + 1)
        session.add_all((photo, sheet, dossier))
        session.flush()
        return {"photo": photo.id, "dossier": filed}

    def _populate(self) -> None:
        super()._populate()
        with self.db.write() as session:
            session.add_all(
                GatewayEnrolment(
                    public_key=base64.b64encode(key).decode(), code=claim_code(key), first_seen_at=self.now, last_seen_at=self.now, claimed_by=""
                )
                for key in BOXES
            )
            session.add(Unit(code="350200000000", parent=PROVINCE, level=2, name="丙城市局", short_name="丙城"))
            session.flush()
            for key, unit in UNITS.items():
                name = NAMES[key]
                session.add(Unit(code=unit, parent=PARENTS[key], level=4, name=name, short_name=name[:2], duty_phone=f"0591-8{_digits(key)}"))
                session.flush()
                phone = f"+86139{_digits(key)}0"
                person = Person(code=f"P-{key}", name=f"{name[:1]}某人", phone=phone, unit=unit, duty="person_in_charge")
                session.add(person)
                session.flush()
                session.add(PersonRole(person=person.id, unit=unit, role="person_in_charge", since=self.now, by="town"))
                session.add(
                    Room(
                        code=f"{unit}-01", unit=unit, name=f"{name[:2]}秘室", short_name=name[:2], sms_place=f"{name[:2]}库",
                        demanded=["temperature", "humidity", "smoke"], person=person.id,
                    )
                )  # fmt: skip
                session.add(Gateway(code=f"GW-{unit[:8]}", group_id="350100", unit=unit, name=f"{name[:2]}网关", changed_at=self.now, online=False))
            session.add(Gateway(code=UNCLAIMED, group_id="350100", unit=None, name="无主网关", changed_at=self.now, online=False))
            shared = session.query(Account).filter_by(login="duty").one().password_hash
            for unit, prefix in ((UNITS["own"], "own"), (UNITS["sister"], "sister-station"), (UNITS["city"], "city")):
                made = [(f"{prefix}-{role}", role) for role in ROLES] + [(f"{prefix}-victim", "inspector")]
                session.add_all(Account(login=login, password_hash=shared, role=role, unit=unit, display_name=login) for login, role in made)
                session.flush()
                guest = session.query(Account).filter_by(login=f"{prefix}-victim").one()
                credentials.security(session, guest.id).visitor = True
                credentials.security(session, guest.id).valid_until = self.now + 86_400_000

    def _live(self, key: str) -> None:
        """Readings, a smoke alarm, an SMS and a still of one place."""
        unit, room, gateway = UNITS[key], f"{UNITS[key]}-01", f"GW-{UNITS[key][:8]}"
        self.birth(gateway, (room,), offers=offers_of([("relay", find("waveshare-relay-8ch"), ("relay1",))]))
        self.calm(room, gateway)
        alarm = self.smoke(room, gateway)
        content, digest = self.picture(f"STILL {key}")
        stills.save(self.folder, content, digest)
        stills.save(self.folder / "plans", content, digest)
        with self.db.write() as session:
            person = session.query(Person).filter_by(code=f"P-{key}").one()
            step = session.query(EscalationStep).filter_by(alarm=alarm).first()
            message = Notification(
                escalation_step=step.id, alarm=alarm, reason="raised", step=0, person=person.id, person_name=person.name, phone=person.phone,
                channel="twilio_sms", number="000001", text=f"【档案值守】特急：{NAMES[key]}烟感告警", created_at=self.now, due=self.now,
                state="delivered",
            )  # fmt: skip
            still = Snapshot(
                gateway=gateway, device="cam", room=room, taken_at=self.now, received_at=self.now, sha256=digest, bytes=len(content), reason="alarm"
            )
            remark = Annotation(room=room, since=self.now, text=f"{NAMES[key]}的批注", by="x", created_at=self.now)
            edit = {"kind": "rooms", "key": {"code": room}, "cells": {"location": f"{NAMES[key]}三楼"}}
            change = ChangeRequest(
                subject=f"rooms:{room}", unit=unit, after=edit, reason=f"{NAMES[key]}搬家", proposed_by="keeper", proposed_at=self.now
            )
            limit = LimitChange(rule="humidity_high", unit=unit, room=room, level="alarm", limit=64, by="x", why=f"{NAMES[key]}的限值")
            limit.created_at = limit.since = self.now
            run = ImportRun(kind="rooms", file=f"{NAMES[key]}.csv", unit=unit, by="x", started_at=self.now, state="refused")
            notice = Notice(kind="calibration", level="warn", unit=unit, subject="point:1", sentence=f"{NAMES[key]}校准到期", raised_at=self.now)
            plan = RoomPlan(room=room, sha256=digest, media_type="image/jpeg", bytes=len(content), width=640, height=360, updated_at=self.now, by="x")
            trial = ShadowRun(name=f"{NAMES[key]}的试行", unit=unit, body='{"rules":[]}', version="0" * 64, by="x", since=self.now, memory={})
            victim = session.query(Account).filter_by(unit=unit, role="inspector").order_by(Account.id.desc()).first()
            urgent = EmergencyAccess(account=victim.id, role="duty", unit=unit, reason=f"{NAMES[key]}应急", asked_at=self.now)
            work = Work(room=room, since=self.now + 3_600_000, until=self.now + 2 * 3_600_000, reason=f"{NAMES[key]}消杀", person="x", planned_by="x")
            work.planned_at = self.now
            session.add_all((urgent, work))
            session.add_all((message, still, remark, change, run, notice, plan, limit, trial))
            paper = ExportJob(
                kind="changes", title=f"变更 {NAMES[key]}", unit=unit, subject=unit, period="2026-09", ending="csv", asked_by="示例",
                asked_at=self.now, state="done", file_name=f"{NAMES[key]}.csv", finished_at=self.now,
            )  # fmt: skip
            session.add(paper)
            session.flush()
            self.desk.path(paper).parent.mkdir(exist_ok=True)
            self.desk.path(paper).write_text(NAMES[key], "utf-8")
            place = replace(
                self._found(key, unit, room, gateway, (unit, NAMES[key], f"{NAMES[key][:2]}秘室", person.name, person.phone, gateway)),
                notification=message.id, snapshot=still.id, annotation=remark.id, alarm=alarm, person=person.id, person_code=person.code,
                export=paper.id, change=change.id, run=run.id, notice=notice.id, limit=limit.id, trial=trial.id,
                emergency=urgent.id, work=work.id,
            )  # fmt: skip
        self.places[key] = place

    def _found(self, key: str, unit: str, room: str, gateway: str, marks: tuple[str, ...]) -> Place:
        with self.db.read() as session:
            point = session.query(Point).filter_by(gateway=gateway, quantity="temperature").first()
            account = session.query(Account).filter_by(unit=unit, role="inspector").order_by(Account.id.desc()).first()
            return Place(key=key, unit=unit, room=room, gateway=gateway, marks=marks, point=point.id if point else 0, account=account.id)

    def token(self, login: str) -> str:
        """A session of an account without the cost of a password."""
        token = f"session-of-{login}"
        with self.db.write() as session:
            account = session.query(Account).filter_by(login=login).one()
            made = {"account": account.id, "created_at": self.now, "last_seen_at": self.now, "expires_at": self.now + 86_400_000}
            session.merge(WebSession(token_hash=sessions._digest(token), **made))
        return token

    def characters(self) -> list[Character]:
        """Everybody who has signed in or holds a key."""
        own = self.places["own"]
        everything = frozenset(self.places)
        found = [self._person(f"own-{role}", role, own, frozenset({"own"})) for role in ROLES]
        found.append(self._person("in_charge", "in_charge", own, frozenset({"own", "sister", "up"})))
        found.append(self._person("city-in_charge", "in_charge", self.places["city"], frozenset({"city"}), only_reads=True))
        found += [self._person(f"province-{role}", role, own, everything) for role in ("in_charge", "inspector", "system", "security", "audit")]
        found.append(self._program("service", SERVICE_KEY, everything))
        found.append(self._program("gateway", GATEWAY_KEY, frozenset({"own", "up"})))
        return found

    def others(self) -> list[Character]:
        """A visitor, a board on the wall and a program with a person's key, all of the own station."""
        own, reaches = self.places["own"], frozenset({"own"})
        with self.db.write() as session:
            person = session.query(Account).filter_by(login="own-duty").one()
            board = credentials.make_kiosk(session, person, name="大屏", now=self.now)
            key = credentials.make_key(session, person, name="程序", actions=["view"], days=9, now=self.now)
        visitor = self._person("own-victim", "inspector", own, reaches)
        headers = {"cookie": f"aw_terminal={board}", "sec-fetch-site": "same-origin"}
        kiosk = Character(name="board", role="kiosk", headers=headers, own=own, reaches=reaches, forbidden=self._marks(reaches))
        return [visitor, kiosk, self._program("duty", key, reaches)]

    def stranger(self) -> Character:
        """Somebody without sign-in."""
        return Character(name="stranger", role="stranger", headers={}, own=self.places["own"], reaches=frozenset(), forbidden=self._marks(()))

    def _person(self, login: str, role: str, own: Place, reaches: frozenset[str], *, only_reads: bool = False) -> Character:
        headers = {"cookie": f"aw_session={self.token(login)}", "sec-fetch-site": "same-origin"}
        marks = self._marks(reaches)
        return Character(name=login, role=role, headers=headers, own=own, reaches=reaches, forbidden=marks, only_reads=only_reads)

    def _program(self, role: str, key: str, reaches: frozenset[str]) -> Character:
        headers = {"authorization": f"Bearer {key}"}
        return Character(name=f"key of {role}", role=role, headers=headers, own=self.places["own"], reaches=reaches, forbidden=self._marks(reaches))

    def _marks(self, reaches: frozenset[str] | tuple[()]) -> tuple[str, ...]:
        marks = [mark for key, place in self.places.items() if key not in reaches for mark in place.marks]
        return (*marks, *(() if len(reaches) == len(self.places) else (UNCLAIMED,)))

    def entries(self) -> int:
        """How many entries the audit log has."""
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(AuditEntry)) or 0

    def rows_of(self, *keys: str) -> Mapping[str, list[str]]:
        """Every row of every table that mentions one of these places, as text: what nobody from elsewhere may have changed."""
        marks = [mark for key in keys for mark in (self.places[key].unit, self.places[key].gateway)]
        with self.db.read() as session:
            tables = inspect(session.connection()).get_table_names()
            rows = {table: [repr(tuple(row)) for row in session.connection().exec_driver_sql(f'SELECT * FROM "{table}"')] for table in tables}
        # A rule set names every changed limit in force, wherever somebody changed one.
        skipped = ("audit", "web_session", "journal", "refused", "rule_set")
        return {table: found for table in tables if table not in skipped and (found := list(_mentioning(rows[table], marks)))}


def _mentioning(rows: list[str], marks: list[str]) -> Iterator[str]:
    return (row for row in sorted(rows) if any(mark in row for mark in marks))


def _digits(key: str) -> str:
    return {"own": "7100001", "sister": "7200002", "city": "7300003"}[key]
