"""A gateway whose disk was written anew from an old image: its spool numbers new readings as the server had others. Nothing may get lost by that."""

import pytest

from contract.declarations import Outbox
from contract.sample import PointKey, Quality, Sample
from server.store import journal
from server.store.tables import Alarm, Point
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.spools import FOREIGN
from tests.server.station import Station


@pytest.fixture
def station(slice_, tmp_path):
    made = Station.on_line(slice_, tmp_path / "edge")
    yield made
    made.spool.close()


def kept(station):
    """(metric, instant) of everything that the server has stored."""
    names = {point.id: f"{point.device}/{point.quantity}" for point in station.made.rows(Point)}
    with station.made.db.read() as session:
        entries = journal.read_after(session, 0, 10_000)
        return {(names[row.point_id], row.taken_at) for entry in entries for row in journal.decode(entry.body).rows()}


@pytest.mark.parametrize(("offline", "starts"), [(3, 1), (90, 1), (60, 2)])
def test_what_is_measured_after_the_restore_arrives_however_long_the_line_stays_down(station, tmp_path, offline, starts):
    """Before the line is back its numbers have come below, among or past those that the server has."""
    station.image(tmp_path / "image")
    station.live(60)
    station.cut()
    station.restore(tmp_path / "image")
    before = set(station.written)
    for _ in range(starts):
        station.spool.close()
        station.boot()
        station.live(offline)
    station.smoke = 1
    station.live(5)
    station.back()
    station.live(20)
    assert station.written - before - kept(station) <= {entry for entry in station.written if entry[1] > station.made.now - 2_000}
    assert station.spool.counters.renewed == 1, "the logbook of the gateway tells of it"
    assert [alarm.state for alarm in station.made.rows(Alarm, rule="smoke")] == ["active_unacked"]


def test_a_gateway_that_merely_starts_anew_keeps_its_epoch(station):
    for _ in range(2):
        station.cut()
        station.live(20)
        station.spool.close()
        station.boot()
        station.back()
        station.live(20)
    assert station.spool.counters.renewed == 0
    assert station.written - kept(station) <= {entry for entry in station.written if entry[1] > station.made.now - 2_000}


def offer(made, outbox, value, **more):
    sample = Sample(PointKey.of(made.GATEWAY, "smoke1/smoke"), made.now, value, Quality.GOOD, **more)
    done = made.watch.offer(GatewayData(gateway=made.GATEWAY, received_at=made.now, samples=(sample,), outbox=outbox))
    made.run(1)
    return done.result()


def test_the_server_does_not_take_news_for_a_repeat(slice_):
    """Numbers that were received ahead of the watermark come again with another content: by a birth that ends below them, or by what they carry."""
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.run(1)
    assert offer(slice_, Outbox(9, 1, 1), 0).upto == 1
    assert offer(slice_, Outbox(9, 5, 5), 0).upto == 1
    repeated = Sample(PointKey.of(slice_.GATEWAY, "smoke1/smoke"), slice_.now - 1000, 0.0, Quality.GOOD)
    done = slice_.watch.offer(GatewayData(gateway=slice_.GATEWAY, received_at=slice_.now, samples=(repeated,), outbox=Outbox(9, 5, 5)))
    slice_.run(1)
    assert done.result().upto == 1, "a repeat is a repeat"
    assert offer(slice_, Outbox(9, 5, 5), 1).upto == FOREIGN
    assert [alarm.state for alarm in slice_.rows(Alarm, rule="smoke")] == ["active_unacked"], "and it has been judged"
    birth = GatewayBirth(gateway=slice_.GATEWAY, group="350100", received_at=slice_.now, bd_seq=3, outbox=Outbox(9, 2, 3), points=())
    done = slice_.watch.offer(birth)
    slice_.run(1)
    assert done.result().upto == FOREIGN
