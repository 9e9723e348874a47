"""Everything about one incident, read at once: for the API, the page, the printed card and the dossier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from server.duty import cards as action_cards
from server.duty import closure, sheet
from server.duty import incident_sensor as sensor
from server.duty import incident_work as work
from server.duty.cards import Cards, Filled, Situation
from server.duty.words import RECEIPTS
from server.series import SeriesStore
from server.store import alarms
from server.store import incidents as store
from server.store.tables import Alarm, Room, Snapshot
from server.store.tables_incident import Incident, IncidentEntry, IncidentPhoto

BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the timeline; `kind` is a transition's name, or of the work log, or `told`."""

    at: int
    kind: str
    by: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An incident with everything around it; `photo_rule` is what the room's sheet says about pictures."""

    incident: Incident
    alarms: Sequence[Alarm]
    filled: Filled
    ticked: Mapping[int, IncidentEntry]
    timeline: Sequence[Line]
    stills: Sequence[Snapshot]
    photos: Sequence[IncidentPhoto]
    photo_rule: str
    holdings: Sequence[str]
    verdict: closure.Verdict | None

    @property
    def proposal(self) -> str:
        """The closing code that was proposed by an answer: 现场无险情 opens closing as 误报."""
        return "false_alarm" if any(line.kind == "no_danger" for line in self.timeline) else ""


def read(session: Session, series: SeriesStore, cards: Cards, incident: Incident, now: int, translate: Mapping[str, str] | None = None) -> Whole:
    """Read an incident. `translate` turns the card's sentences into another language."""
    found = store.alarms(session, incident.id)
    card = work.card_of(cards, incident)
    return Whole(
        incident=incident,
        alarms=found,
        filled=action_cards.fill(
            card, sheet.filling(session, incident.room, incident.unit, translate), situation(incident.event, found, now), translate
        ),
        ticked=store.ticked(session, incident.id),
        timeline=_timeline(session, incident, found),
        stills=store.stills(session, incident),
        photos=store.photos(session, incident.id),
        photo_rule=sheet.photo_rule(session, incident.room),
        holdings=sheet.holdings(session, incident.room),
        verdict=None if incident.reported_at is None else sensor.says(session, series, card, incident, now),
    )


def situation(event: str, found: Sequence[Alarm], now: int) -> Situation:
    """What decides about the branches of a card."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now)).astimezone(BEIJING)
    return Situation(event=event, minute=at.hour * 60 + at.minute, quantity=found[0].quantity if found else "")


def room_cards(session: Session, cards: Cards, unit: str, room: Room | None, translate: Mapping[str, str] | None = None) -> list[Filled]:
    """All cards of a room, or of a unit without one, by day and night alike: what is printed and hung inside the door."""
    values = sheet.filling(session, room.code if room is not None else None, unit, translate)
    return [action_cards.fill(card, values, Situation(event="smoke_lost", quantity="smoke"), translate) for card in cards.cards]


def _timeline(session: Session, incident: Incident, found: Sequence[Alarm]) -> list[Line]:
    lines = [Line(at=entry.at, kind=entry.kind, by=entry.by, text=entry.text) for entry in store.entries(session, incident.id)]
    for alarm in found:
        lines += [Line(at=row.at, kind=row.name, by=row.by, text=row.note) for row in alarms.transitions(session, alarm.id)]
        told = alarms.notifications(session, alarm.id)
        lines += [
            Line(at=row.sent_at, kind="told", by=row.person_name, text=RECEIPTS.get(row.receipt, row.receipt))
            for row in told
            if row.sent_at is not None
        ]
    return sorted(lines, key=lambda line: line.at)
