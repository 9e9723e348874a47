"""The board as plain JSON values: one shape for the stream and for the API. Instants become ISO 8601 in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any

from server.live.facts import AlarmFact, FloodFact
from server.live.tiles import PointView, RoomTile

HEADLINES = ("temperature", "humidity", "smoke", "leak", "door", "power", "camera")
"""Quantities that a tile shows, in this order, where the room has a point for them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(ms: int | None) -> str | None:
    """UTC milliseconds as `2026-10-03T12:00:00.000Z`; None stays None."""
    if ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def value(view: PointView) -> dict[str, Any]:
    """One value with everything that must stand beside it. `at` is the sample's instant on the server's clock: ages count from there."""
    return {"value": view.value, "unit": view.unit, "quality": view.quality, "at": iso(view.at), "until": iso(view.deadline_at)}


def point(view: PointView) -> dict[str, Any]:
    """A point in full. `age_s` is seconds since the sample, None when there never was one."""
    return {
        "point": view.key,
        "point_id": view.point_id,
        "gateway": view.gateway,
        "device": view.device,
        "quantity": view.quantity,
        "channel": view.channel or None,
        "unit": view.unit,
        "value": view.value,
        "quality": view.quality,
        "reason": view.reason or None,
        "taken_at": iso(view.taken_at),
        "age_s": None if view.age_ms is None else view.age_ms / 1000,
        "fresh_until": iso(view.deadline_at),
        "acknowledges": view.acknowledges,
    }


def alarm(fact: AlarmFact) -> dict[str, Any]:
    """An open (or just closed) alarm."""
    return {
        "id": fact.alarm_id,
        "number": fact.number,
        "room": fact.room,
        "unit": fact.unit,
        "subject": fact.subject,
        "rule": fact.rule,
        "kind": fact.kind,
        "quantity": fact.quantity,
        "state": fact.state,
        "level": fact.level,
        "raised_at": iso(fact.raised_at),
        "raised_value": fact.raised_value,
        "limit": fact.limit,
        "occurrence": fact.occurrence,
        "acked_by": fact.acked_by,
        "acked_at": iso(fact.acked_at),
        "cleared_at": iso(fact.cleared_at),
        "shelved_until": iso(fact.shelved_until),
        "rooms": fact.rooms,
        "drill": fact.drill,
        "known_late": fact.known_late,
        "behaviour": fact.behaviour,
        "group": fact.group,
        "annunciate": fact.annunciate,
        "closed": fact.closed,
    }


def flood(fact: FloodFact) -> dict[str, Any]:
    """A desk's flood begins (`since` is set) or ends."""
    text = "告警高峰已过。" if fact.since is None else f"告警高峰：10 分钟内新增 {fact.alarms} 条。烟感、漏水、入侵排在最前，请先处置。"
    return {"text": text, "flood": {"unit": fact.unit, "since": iso(fact.since), "alarms": fact.alarms}}


def tile(room: RoomTile) -> dict[str, Any]:
    """What changes about a room: state, why, headline values, its worst open alarm and how many there are."""
    views = {quantity: view for quantity in HEADLINES if (view := room.headline(quantity)) is not None}
    return {
        "room": room.code,
        "state": room.state,
        "group": room.group,
        "cause": room.cause,
        "since": iso(room.since),
        "missing": list(room.missing),
        "values": {quantity: value(view) for quantity, view in views.items()},
        "worst_alarm": alarm(room.worst) if room.worst else None,
        "open_alarms": len(room.alarms),
        "gateway_online": all(gateway.online for gateway in room.gateways) if room.gateways else None,
    }
