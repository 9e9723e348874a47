"""事毕档成: the papers of a closed incident. One content twice: as data (JSON, complete) and as 告警处置单 that names the SHA-256 of the data.

Both are built from the records alone, so whoever reads them needs neither this system nor its database. Pure but for the reading of the store.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from server.duty.incident_file import Whole
from server.series import SeriesStore
from server.store import alarms, incidents, rooms, units
from server.store.tables import Notification, Point, Transition

FORMAT = "archivewatch-dossier/1"
BEFORE_MS, AFTER_MS = 2 * 3_600_000, 30 * 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything about a closed incident, read in one transaction."""

    whole: Whole
    unit_name: str
    room_name: str
    changes: Mapping[int, Sequence[Transition]]
    messages: Mapping[int, Sequence[Notification]]
    photos: Sequence[Mapping[str, Any]]
    points: Sequence[Point]
    readings: Mapping[int, Sequence[tuple[int, float | None, int]]]
    since: int
    until: int


def read(session: Session, store: SeriesStore, whole: Whole) -> Record:
    """Read what belongs to a closed incident beside the incident itself: messages, transitions, readings around it."""
    incident = whole.incident
    place = rooms.names(session, [incident.room]).get(incident.room) if incident.room else None
    since, until = incident.opened_at - BEFORE_MS, (incident.closed_at or incident.opened_at) + AFTER_MS
    points = incidents.points(session, incident.room) if incident.room else ()
    rows = store.raw([point.id for point in points], since, until) if points else ()
    readings: dict[int, list[tuple[int, float | None, int]]] = {point.id: [] for point in points}
    for row in rows:
        readings[row.point_id].append((row.taken_at, row.value, row.quality))
    return Record(
        whole=whole,
        unit_name=units.names(session, [incident.unit]).get(incident.unit, incident.unit),
        room_name=place[0] if place else "",
        changes={alarm.id: alarms.transitions(session, alarm.id) for alarm in whole.alarms},
        messages={alarm.id: alarms.notifications(session, alarm.id) for alarm in whole.alarms},
        photos=[_plain(photo, _PHOTO) for photo in whole.photos],
        points=points,
        readings=readings,
        since=since,
        until=until,
    )


_INSTANTS = ("at", "keep_until")
_INCIDENT = (
    "id", "unit", "room", "event", "card", "level", "opened_at", "owner", "code", "note",
    "reported_at", "reported_by", "reopened", "closed_at", "keep_until",
)  # fmt: skip
_ALARM = (
    "id", "number", "subject", "rule", "kind", "quantity", "level", "state", "raised_at", "raised_value",
    "cleared_at", "closed_at", "acked_at", "acked_by",
)  # fmt: skip
_CHANGE = ("at", "name", "before", "after", "level", "value", "by", "via", "note")
_MESSAGE = (
    "reason",
    "step",
    "person_name",
    "phone",
    "channel",
    "text",
    "created_at",
    "sent_at",
    "state",
    "receipt",
    "receipt_at",
    "provider_id",
    "error",
)
_STILL = ("id", "gateway", "device", "taken_at", "sha256", "bytes", "reason")
_PHOTO = ("id", "at", "by", "note", "sha256", "bytes")


def data(record: Record, now: int) -> bytes:
    """The complete record as JSON: UTF-8, keys in order, instants ISO 8601 UTC. The same record gives the same bytes."""
    whole = record.whole
    body = {
        "format": FORMAT,
        "made_at": _iso(now),
        "incident": _plain(whole.incident, _INCIDENT) | {"unit_name": record.unit_name, "room_name": record.room_name},
        "alarms": [
            _plain(alarm, _ALARM)
            | {
                "transitions": [_plain(row, _CHANGE) for row in record.changes[alarm.id]],
                "messages": [_plain(row, _MESSAGE) for row in record.messages[alarm.id]],
            }
            for alarm in whole.alarms
        ],
        "card": {
            "title": whole.filled.title,
            "steps": [{"text": text, "done_by": done_by(whole, n), "done_at": _done(whole, n)} for n, text in enumerate(whole.filled.steps, 1)],
            "recovered": whole.filled.recovered,
        },
        "log": [{"at": _iso(line.at), "kind": line.kind, "by": line.by, "text": line.text} for line in whole.timeline],
        "holdings": list(whole.holdings),
        "stills": [_plain(still, _STILL) for still in whole.stills],
        "photos": list(record.photos),
        "readings": [
            {
                "device": point.device, "quantity": point.quantity, "channel": point.channel,
                "samples": [[_iso(at), value, quality] for at, value, quality in record.readings[point.id]],
            }
            for point in record.points
        ],
    }  # fmt: skip
    return json.dumps(body, ensure_ascii=False, sort_keys=True, indent=1).encode()


def done_by(whole: Whole, step: int) -> str:
    """Who ticked a step of the card; nothing when nobody did."""
    return whole.ticked[step].by if step in whole.ticked else ""


def _done(whole: Whole, step: int) -> str | None:
    return _iso(whole.ticked[step].at) if step in whole.ticked else None


def _plain(row: object, names: Iterable[str]) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in names}
    return {name: _iso(value) if value and (name.endswith("_at") or name in _INSTANTS) else value for name, value in found.items()}


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
