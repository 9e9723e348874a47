"""The watch reads changed rows again without a restart: what was imported or edited while it runs counts from then on."""

import pytest
from sqlalchemy import delete, update

from server.live.board import Board
from server.store.tables import Alarm, CoverageSpan, Gateway, GatewayCommand, Point, Room, Unit
from server.store.tables_incident import Incident
from server.watch.commands import Reload
from server.watch.inputs import GatewayDeath

SISTER, NEW_ROOM, NEW_GATEWAY = "350103000000", "350103000000-01", "GW-350103-01"


def board_of(slice_):
    board = Board()
    board.apply(slice_.facts)
    return board


@pytest.fixture
def grown(slice_):
    """A unit, a room, a gateway and a point written behind the running watch."""
    with slice_.db.write() as session:
        session.add(Unit(code=SISTER, parent="350000000000", level=3, name="台江分局", short_name="台江"))
        session.flush()
        session.add(Room(code=NEW_ROOM, unit=SISTER, name="台江库", short_name="台江库", sms_place="台江01库", demanded=["humidity"]))
        session.add(Gateway(code=NEW_GATEWAY, group_id="350100", unit=SISTER, changed_at=slice_.now, online=False))
        session.flush()
        session.add(Point(id=900, gateway=NEW_GATEWAY, device="th1", quantity="humidity", room=NEW_ROOM, interval_ms=10_000, created_at=slice_.now))
    return slice_


def test_new_rows_are_watched_from_then_on(grown):
    assert board_of(grown).room(NEW_ROOM, grown.now) is None
    outcome = grown.order(Reload(by="x", units=(SISTER,), rooms=(NEW_ROOM,), gateways=(NEW_GATEWAY,)))
    assert outcome.ok
    tile = board_of(grown).room(NEW_ROOM, grown.now)
    assert tile.fact.unit_path[-1] == SISTER
    assert [point.point_id for point in tile.points] == [900]
    assert tile.state == "blind"
    assert [span.state for span in grown.rows(CoverageSpan, room=NEW_ROOM)] == ["blind"]
    grown.run(100)
    raised = {(alarm.rule, alarm.unit) for alarm in grown.facts if getattr(alarm, "subject", "") == f"gateway:{NEW_GATEWAY}"}
    assert raised == {("gateway_offline", SISTER)}, "a gateway that was registered and never spoke is missed"


def test_a_move_changes_paths_below_it(grown):
    grown.order(Reload(by="x", units=(SISTER,), rooms=(NEW_ROOM,), gateways=(NEW_GATEWAY,)))
    with grown.db.write() as session:
        session.execute(update(Unit).where(Unit.code == SISTER).values(parent="350102000000", name="台江新局"))
    grown.order(Reload(by="x", units=(SISTER,)))
    board = board_of(grown)
    assert board.room_path(NEW_ROOM) == ("350000000000", "350100000000", "350102000000", SISTER)
    assert board.room(NEW_ROOM, grown.now).fact.unit_name == "台江新局"
    assert board.visible(SISTER, "350102000000")


def test_an_assignment_moves_a_point_to_another_room(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 50), ("th1/temperature", 20), ("smoke1/smoke", 0))
    with slice_.db.write() as session:
        point = session.query(Point).filter_by(quantity="humidity").one()
        point.room, ident = slice_.OTHER, point.id
    slice_.order(Reload(by="x", points=(ident,)))
    board = board_of(slice_)
    assert [p.quantity for p in board.room(slice_.OTHER, slice_.now).points] == ["humidity"]
    assert "humidity" not in {p.quantity for p in board.room(slice_.ROOM, slice_.now).points}
    slice_.run(1)
    slice_.send(("th1/humidity", 80))
    slice_.run(15)
    raised = [alarm for alarm in slice_.facts if getattr(alarm, "rule", "") == "humidity_high"]
    assert {alarm.room for alarm in raised} == {slice_.OTHER}


def test_open_alarms_go_with_their_room_and_gateway_to_another_unit(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    slice_.run(3)
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(400)
    with slice_.db.write() as session:
        session.add(Unit(code=SISTER, parent="350000000000", level=3, name="台江分局", short_name="台江"))
        session.flush()
        mine = session.query(Alarm).filter(Alarm.open_key.is_not(None)).all()
        assert {alarm.rule for alarm in mine} >= {"smoke", "gateway_offline"}
        smoke = next(alarm for alarm in mine if alarm.rule == "smoke")
        session.add(Incident(alarm=smoke.id, unit=smoke.unit, room=smoke.room, event="smoke", card="fire", level="critical", opened_at=slice_.now))
        session.execute(update(Room).where(Room.code == slice_.ROOM).values(unit=SISTER))
        session.execute(update(Gateway).where(Gateway.code == slice_.GATEWAY).values(unit=SISTER))
    slice_.order(Reload(by="x", units=(SISTER,), rooms=(slice_.ROOM,), gateways=(slice_.GATEWAY,)))
    followed = {alarm.rule: alarm.unit for alarm in slice_.rows(Alarm) if alarm.open_key is not None and alarm.rule in ("smoke", "gateway_offline")}
    assert followed == {"smoke": SISTER, "gateway_offline": SISTER}
    assert [incident.unit for incident in slice_.rows(Incident)] == [SISTER]
    assert [alarm.unit for alarm in board_of(slice_).alarms(SISTER) if alarm.rule == "smoke"] == [SISTER], "whoever has it now sees it on the board"


def test_a_claim_asks_the_gateway_for_its_birth(slice_):
    slice_.birth(gateway="GW-NEW")
    with slice_.db.write() as session:
        session.execute(update(Gateway).where(Gateway.code == "GW-NEW").values(unit="350102000000"))
    slice_.order(Reload(by="x", gateways=("GW-NEW",)))
    assert [(row.gateway, row.kind) for row in slice_.rows(GatewayCommand)] == [("GW-NEW", "rebirth")]


def test_rows_that_are_gone_are_forgotten(grown):
    grown.order(Reload(by="x", units=(SISTER,), rooms=(NEW_ROOM,), gateways=(NEW_GATEWAY,)))
    with grown.db.write() as session:
        for row in (
            delete(CoverageSpan).where(CoverageSpan.room == NEW_ROOM),
            delete(Point).where(Point.id == 900),
            delete(Room).where(Room.code == NEW_ROOM),
        ):
            session.execute(row)
    grown.order(Reload(by="x", rooms=(NEW_ROOM,), gateways=(NEW_GATEWAY,), points=(900,)))
    assert board_of(grown).room(NEW_ROOM, grown.now) is None
    grown.run(120)
