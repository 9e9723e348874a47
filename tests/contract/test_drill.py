"""Drill orders and the tag of a drilled reading, over the wire."""

import pytest

from contract import sparkplug
from contract.batch import node_data, read_command, read_data
from contract.declarations import Outbox
from contract.drill import DRILL, DrillError, DrillOrder, drill_command, drill_of, drill_sample, read_order
from contract.sample import PointKey, Quality, Sample

KEY = PointKey("gw", "smoke1", "smoke")


def test_an_order_travels_as_one_named_metric() -> None:
    order = DrillOrder(7, "smoke1/smoke", 1.0, 1_790_000_000_000, 3)
    command = read_command(sparkplug.decode(sparkplug.encode(drill_command(order, 1))))
    assert read_order(str(command.others[DRILL])) == order


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"id":0,"metric":"a/smoke","value":1,"until":1}', '{"id":1,"metric":"smoke","value":1,"until":1}',
     '{"id":1,"metric":"a/smoke","value":1,"until":1,"siren_s":600}', '{"id":"x","metric":"a/smoke","value":1,"until":1}'],
)  # fmt: skip
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(DrillError):
        read_order(text)


def test_the_tag_survives_the_way_and_nothing_else_looks_like_it() -> None:
    sample = drill_sample(KEY, 1_790_000_000_000, 1.0, 12)
    payload = node_data([sample], aliases={KEY.metric: 1}, outbox=Outbox(1, 5, 5), now=1_790_000_000_100, seq=3)
    back = read_data(sparkplug.decode(sparkplug.encode(payload)), "gw", {1: KEY.metric}).samples[0]
    assert (drill_of(back), back.value, back.quality) == (12, 1.0, Quality.UNCERTAIN)
    for reason in ("", "drill", "drill:", "drill:x", "drill:-1", "step", "drill:" + "9" * 30):
        assert drill_of(Sample(KEY, 1, 1.0, Quality.UNCERTAIN, reason)) is None
    assert drill_of(Sample(KEY, 1, 1.0, Quality.GOOD, "drill:1")) is None
