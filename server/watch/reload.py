"""Reading changed rows again: after an import or an edit of units, rooms, gateways or points the watch goes on with the new ones, without a restart.

Whoever wrote the rows submits a `Reload` with their codes. Nothing is judged here: what the change means for alarms and coverage shows at the next
sample or instant, as after a restart.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import or_, select, update

from alarms.lifecycle import next_due
from alarms.rules import Rule, RuleSet
from server.live.facts import RoomFact, UnitFact
from server.store import rule_sets
from server.store.tables import Alarm, Gateway, GatewayCommand, Point, Room, Unit
from server.store.tables_incident import Incident
from server.watch.commands import Outcome, Reload
from server.watch.commit import Transaction
from server.watch.facts import gateway_fact, point_fact, room_fact
from server.watch.infos import RoomInfo
from server.watch.loading import path_of
from server.watch.rooms import Rooms
from server.watch.state import World, gateway_info

Item = TypeVar("Item")
_CHUNK = 400
_REBIRTH_MS = 24 * 3_600_000


def reload(world: World, tx: Transaction, people: Rooms, command: Reload) -> Outcome:
    """Read the named rows again and tell the board; a row that is gone is forgotten."""
    moved = _units(world, tx) if command.units else set()
    rooms = {code for code, room in world.rooms.items() if room.unit in moved} | set(command.rooms)
    gateways = {code for code, gateway in world.gateways.items() if gateway.unit in moved} | set(command.gateways)
    _follow(tx, _rooms(world, tx, rooms), _gateways(world, tx, gateways))
    points = {ident for code in rooms if code in world.rooms for ident in world.rooms[code].points} | set(command.points)
    _points(world, tx, people, gateways, points)
    homes = {world.points[ident].room or "" for ident in points & world.points.keys()}
    world.fit(world.rooms[code] for code in (rooms | homes) & world.rooms.keys())
    for code in rooms & world.rooms.keys():
        world.rooms[code].next_change = tx.now
        heapq.heappush(world.room_changes, (tx.now, code))
    return Outcome(state="reloaded")


def adopt(world: World, tx: Transaction, people: Rooms, rules: RuleSet) -> Outcome:
    """Judge by another rule set from now on. Delays that run go on; a limit that has moved shows at the next sample or instant."""
    rule_sets.keep(tx.session, rules, tx.now)
    world.rule_set, world.by_name = rules, {rule.name: rule for rule in rules.rules}
    for room in world.rooms.values():
        room.rules = world.room_rules(room)
    for gateway in world.gateways.values():
        gateway.rules = rules.for_gateway(gateway.path) if gateway.path else ()
    for point in world.points.values():
        if (place := world.rooms.get(point.room or "")) is not None:
            before, point.rules = point.rules, world.point_rules(point, place)
            if point.silent and _of_silence(point.rules) != _of_silence(before):
                people.listen(point)
        point.loud()  # what was quiet under the old rules may not be under these
    world.fit(world.rooms.values())
    for key, memory in world.memory.items():
        rule = world.rule(key)
        world.timers.set(key, None if rule is None else next_due(rule, memory.state))
    return Outcome(state="adopted")


def _units(world: World, tx: Transaction) -> set[str]:
    """The whole tree: it is small, and a move changes every path below it. Returns the units whose path or name changed."""
    rows = {unit.code: unit for unit in tx.session.scalars(select(Unit))}
    parents = {code: unit.parent for code, unit in rows.items()}
    paths = {code: path_of(code, parents) for code in rows}
    names = {code: unit.name for code, unit in rows.items()}
    changed = {code for code in rows if world.units.get(code) != paths[code] or world.unit_names.get(code) != names[code]}
    world.units, world.unit_names = paths, names
    tx.facts += [UnitFact(code=code, path=paths[code], name=names[code], short_name=rows[code].short_name) for code in sorted(changed)]
    return changed


def _follow(tx: Transaction, rooms: Mapping[str, str], gateways: Mapping[str, str]) -> None:
    """Open alarms and incidents go with their room or gateway to its new unit (code -> unit): at the old one nobody would see or answer them."""
    units = {f"gateway:{code}": unit for code, unit in gateways.items()}
    wanted = or_(Alarm.room.in_(rooms), Alarm.subject.in_(units))
    for alarm in tx.session.scalars(select(Alarm).where(Alarm.open_key.is_not(None), wanted).order_by(Alarm.id)):
        alarm.unit = rooms.get(alarm.room or "") or units[alarm.subject]
        tx.say(alarm)
    for code, unit in rooms.items():
        tx.session.execute(update(Incident).where(Incident.room == code, Incident.closed_at.is_(None)).values(unit=unit))


def _rooms(world: World, tx: Transaction, codes: Iterable[str]) -> dict[str, str]:
    """Returns the units of the rooms that have another one now."""
    moved: dict[str, str] = {}
    found = {row.code: row for part in _parts(sorted(codes)) for row in tx.session.scalars(select(Room).where(Room.code.in_(part)))}
    for code in sorted(codes):
        row, info = found.get(code), world.rooms.get(code)
        if row is None:
            if info is not None:
                del world.rooms[code]
                tx.facts.append(RoomFact(code=code, unit=info.unit, unit_path=info.path, name="", unit_name="", removed=True))
            continue
        if info is None:
            info = world.rooms[code] = RoomInfo(code, row.unit, world.units[row.unit], row.medium, tuple(row.demanded), row.maintenance_until)
        if info.unit != row.unit:
            moved[code] = row.unit
        info.unit, info.path, info.medium, info.demanded = row.unit, world.units[row.unit], row.medium, tuple(row.demanded)
        info.stage, info.maintenance_until = row.stage, row.maintenance_until
        info.rules = world.room_rules(info)
        tx.facts.append(room_fact(world, row))
    return moved


def _gateways(world: World, tx: Transaction, codes: Iterable[str]) -> dict[str, str]:
    """Returns the units of the gateways that have another one now."""
    moved: dict[str, str] = {}
    found = {row.code: row for part in _parts(sorted(codes)) for row in tx.session.scalars(select(Gateway).where(Gateway.code.in_(part)))}
    for code in sorted(codes):
        row, known = found.get(code), world.gateways.get(code)
        if row is None:
            world.gateways.pop(code, None)
            continue
        info = gateway_info(world, row)
        if known is None:
            world.gateways[code] = info
        else:
            if known.unit is None and info.unit is not None:
                # Its birth was not listened to while nobody had claimed it: ask for another.
                tx.session.add(GatewayCommand(gateway=code, kind="rebirth", created_at=tx.now, expires_at=tx.now + _REBIRTH_MS))
            if info.unit is not None and info.unit != known.unit:
                moved[code] = info.unit
            known.unit, known.path, known.rules, known.group = info.unit, info.path, info.rules, info.group
    return moved


def _of_silence(rules: Iterable[Rule]) -> set[str]:
    return {rule.name for rule in rules if rule.kind == "stale"}


def _points(world: World, tx: Transaction, people: Rooms, gateways: Iterable[str], idents: Iterable[int]) -> None:
    known = {ident for code in gateways if code in world.gateways for ident in world.gateways[code].points} | set(idents)
    found: dict[int, Point] = {}
    for part in _parts(sorted(gateways)):
        found |= {row.id: row for row in tx.session.scalars(select(Point).where(Point.gateway.in_(part)))}
    for ids in _parts(sorted(known)):
        found |= {row.id: row for row in tx.session.scalars(select(Point).where(Point.id.in_(ids)))}
    for ident in known - found.keys():
        _forget(world, tx, ident)
    touched = set(gateways)
    for ident, row in sorted(found.items()):
        before = world.points.get(ident)
        silent, room = ((), None) if before is None else (before.rules, before.room)
        left = world.rooms.get(room or "")
        point = world.add_point(row)
        if before is None:
            heapq.heappush(world.deadlines, (tx.now + point.deadline_ms, ident))
        elif point.silent and _of_silence(point.rules) != _of_silence(silent):
            people.listen(point)
        if left is not None and left.code != point.room and not left.connected:
            people.returned(point)
        if left is not None and left.code != point.room:
            people.left(left, point.key.quantity)
        if before is not None and point.room not in (None, room):
            people.moved(point)
        tx.facts.append(point_fact(point, world.gateways.get(row.gateway)))
        touched.add(row.gateway)
    tx.facts += [gateway_fact(world, world.gateways[code]) for code in sorted(touched) if code in world.gateways]


def _forget(world: World, tx: Transaction, ident: int) -> None:
    """A point that an undone import had made."""
    point = world.points.pop(ident, None)
    if point is None:
        return
    world.by_metric[point.key.gateway].pop(point.key.metric, None)
    for holder in (world.rooms.get(point.room or ""), world.gateways.get(point.key.gateway)):
        if holder is not None and ident in holder.points:
            holder.points.remove(ident)
    point.room = None
    tx.facts.append(point_fact(point, None))


def _parts(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
