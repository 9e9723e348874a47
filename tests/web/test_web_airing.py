"""Ventilation advice of a room, from fresh values of both airs only."""

from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Quality, Sample
from server.watch.inputs import GatewayBirth, GatewayData
from tests.web.house import GATEWAY, ROOM, House


def outside(house: House, temperature: float, humidity: float) -> None:
    """The county's own probe outside, which belongs to no room."""
    points = tuple(PointDeclaration(f"outdoor/{name}", 900 + n, None, "", 60, "measure") for n, name in enumerate(("temperature", "humidity")))
    birth = GatewayBirth(gateway=GATEWAY, group="350100", received_at=house.now, bd_seq=1, outbox=Outbox(8, 1, 0), points=points, rules_version="")
    house.watch.offer(birth).result(20)
    values = (("temperature", temperature), ("humidity", humidity))
    samples = tuple(Sample(PointKey.of(GATEWAY, f"outdoor/{name}"), house.now, value, Quality.GOOD) for name, value in values)
    house.watch.offer(GatewayData(gateway=GATEWAY, received_at=house.now, samples=samples, outbox=Outbox(8, 1, 2), urgent=True)).result(20)


def test_advice_goes_by_the_water_in_both_airs_and_needs_fresh_values(house: House) -> None:
    client = house.client("duty")
    address = f"/api/v1/rooms/{ROOM}/ventilation"
    assert client.get(address).json()["advice"] is None
    outside(house, 20, 40)
    told = client.get(address).json()
    assert (told["advice"], told["reason"]) == ("open", "drier")
    assert told["outside_g_m3"] < told["inside_g_m3"]
    assert "可以通风" in client.get(f"/rooms/{ROOM}").text
    house.send(outdoor=27)
    outside(house, 20, 60)
    told = client.get(address).json()
    assert (told["advice"], told["reason"]) == ("close", "wetter"), "the room's own probe outside speaks before the shared one"
    house.now += 3_600_000
    assert client.get(address).json()["advice"] is None, "old values advise nothing"
    assert "室外空气更湿" not in client.get(f"/rooms/{ROOM}").text
    assert house.client("sister-duty").get(address).status_code == 403
