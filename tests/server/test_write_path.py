"""A write all the way: from the table down through a real broker to a real edge agent, onto a simulated line, read back, outcome up again."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import select

from alarms.rules import default_rules, parse_rules
from contract.profile import find
from edge.agent import Agent
from edge.plan import build
from edge.settings import BrokerSettings, DeviceSettings, DevicesSettings, EdgeSettings, TcpBus
from server.ingest.downlink import Downlink
from server.ingest.mqtt import Connection, Transport, wall_clock
from server.org.gateway_rules import AGAIN_MS, GatewayRules
from server.store import gateway_events
from server.store.holidays import NONE_GIVEN
from server.store.limits import effective_rules
from server.store.tables import AuditEntry, Gateway, GatewayCommand
from server.store.tables_alarms import LimitChange
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import carrier
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec
from tests.server.ingesting import Ingest

WAIT = 30


@pytest.fixture
def centre(slice_, broker):
    stop = threading.Event()
    transport = Transport(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), clock=wall_clock, refused=print)

    def keep(gateway, entries, now):
        with slice_.db.write() as session:
            return gateway_events.take(session, gateway, entries, now)

    acceptor = Ingest(slice_.watch, transport.send, slice_.metrics, events=keep)
    downlink = Downlink(slice_.db, transport.send)
    slice_.watch.open(wall_clock())
    bodies = (
        lambda: acceptor.run(transport.incoming, stop, wall_clock, transport.tick),
        lambda: slice_.watch.run(stop, wall_clock),
        lambda: downlink.run(stop, wall_clock),
    )
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    transport.start()
    yield slice_
    transport.stop()
    stop.set()
    for thread in threads:
        thread.join(WAIT)


async def until(check):
    deadline = time.monotonic() + WAIT
    while not check():
        assert time.monotonic() < deadline, "did not come true"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def agent(centre, broker, folder, *, port, writes=()):
    """A gateway of the county with a board of relays behind a port."""
    settings = EdgeSettings(
        gateway=centre.GATEWAY,
        group="350100",
        broker=BrokerSettings(host=broker.host, port=broker.port),
        data_dir=folder / "edge",
        devices_file=folder,
        buses=(TcpBus(name="line", kind="tcp", host="127.0.0.1", port=port),),
    )
    device = DeviceSettings(name="relay", profile="waveshare-relay-8ch", bus="line", room=centre.ROOM, unit=1, writes=writes)
    stop = asyncio.Event()
    running = asyncio.create_task(Agent(build(settings, DevicesSettings(devices=(device,)), {})).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


def test_a_limit_that_is_tightened_at_the_centre_holds_in_the_gateways_own_watch(centre, broker, tmp_path):
    now = wall_clock()
    shipped = default_rules()
    with centre.db.write() as session:
        session.add(
            LimitChange(rule="humidity_high", unit="350102000000", level="alarm", limit=61.5, by="张三", why="珍贵档案", created_at=now, since=now)
        )
    with centre.db.read() as session:
        rules = effective_rules(session, shipped, now, NONE_GIVEN)
    book = GatewayRules(centre.db, lambda: rules)

    def told():
        with centre.db.read() as session:
            row = session.get(Gateway, centre.GATEWAY)
            return row.rules_version if row.online else ""

    async def story():
        async with agent(centre, broker, tmp_path, port=1):
            await until(lambda: told() == shipped.version)
            assert book.run_once(now) == 1
            await until(lambda: told() not in ("", shipped.version))

    asyncio.run(story())
    kept = parse_rules((tmp_path / "edge" / "rules.json").read_text("utf-8"), "rules.json", tried=True)
    unit = ("350000000000", "350100000000", "350102000000")
    (rule,) = [one for one in kept.for_point("humidity", "paper", unit, centre.ROOM) if one.name == "humidity_high"]
    assert 61.5 in {rung.limit for rung in rule.ladder}
    with centre.db.write() as session:
        session.get(Gateway, centre.GATEWAY).online = True
    assert book.run_once(now + AGAIN_MS + 1) == 0  # it has what it was sent


def test_a_relay_is_switched_from_the_centre_and_the_outcome_is_recorded(centre, broker, tmp_path):
    def online():
        with centre.db.read() as session:
            return session.get(Gateway, centre.GATEWAY).online

    def state():
        with centre.db.read() as session:
            return session.get(GatewayCommand, 1).state

    async def story():
        bus = Bus("line", wall_clock, rtu=False)
        relay = Unit(1, find("waveshare-relay-8ch"), Plant([RoomSpec("R1")], seed=1, start_ms=wall_clock()), "R1", noise=False)
        bus.add(relay)
        wire = carrier("tcp", bus)
        await wire.start()
        try:
            async with agent(centre, broker, tmp_path, port=int(wire.address), writes=("relay1",)):
                await until(online)
                now = wall_clock()
                body = {"id": "1", "device": "relay", "write": "relay1", "value": True, "by": "张三", "role": "duty", "expires_at": now + 60_000}
                with centre.db.write() as session:
                    session.add(GatewayCommand(id=1, gateway=centre.GATEWAY, kind="write", body=body, created_at=now, expires_at=now + 60_000))
                await until(lambda: state() == "done")
                assert relay.coils == {0: 1}
        finally:
            await wire.stop()

    asyncio.run(story())
    with centre.db.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "write.outcome")).one()
    assert (entry.detail["by"], entry.detail["outcome"], entry.detail["read_back"]) == ("张三", "done", 1.0)
