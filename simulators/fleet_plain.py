"""A gateway of another make: devices with DBIRTH and DDATA, no outbox, no properties of ours; what cannot be sent at once is gone."""

from collections.abc import Sequence

from contract import batch
from contract.quantities import QUANTITIES
from contract.sample import Sample
from contract.sparkplug import DataType, Metric, Payload, encode
from contract.topics import Kind
from simulators.fleet_node import Node, Publish
from simulators.province_rows import Point


class PlainNode(Node):
    """See the module."""

    def __init__(self, points: Sequence[Point], host_id: str, bd_seq: int = 0) -> None:
        super().__init__(points, host_id, bd_seq)
        self._fresh: dict[str, Sample] = {}
        self._devices: dict[str, list[Point]] = {}
        for point in points:
            self._devices.setdefault(point.device, []).append(point)

    def _births(self, now: int) -> list[Publish]:
        node = batch.node_birth((), now=now, bd_seq=self._bd_seq, outbox=None)
        devices = [self._publish(Kind.DBIRTH, device, [self._declared(p, now) for p in points], now) for device, points in self._devices.items()]
        return [Publish(self._topic(Kind.NBIRTH), encode(node)), *devices]

    def _keep(self, samples: Sequence[Sample], _now: int) -> None:
        if self.born:
            self._fresh |= {s.point.metric: s for s in samples}
        else:
            self.counters.dropped += len(samples)

    def _data_due(self, now: int) -> int | None:
        return now if self._fresh else None

    def _data(self, now: int) -> list[Publish]:
        fresh, self._fresh = self._fresh, {}
        out = []
        for device, points in self._devices.items():
            metrics = [self._metric(fresh[p.key.metric]) for p in points if p.key.metric in fresh]
            if metrics:
                out.append(self._publish(Kind.DDATA, device, metrics, now))
        return out

    def _publish(self, kind: Kind, device: str, metrics: Sequence[Metric], now: int) -> Publish:
        return Publish(self._topic(kind, device), encode(Payload(now, tuple(metrics), self._advance())))

    def _declared(self, point: Point, now: int) -> Metric:
        """Named by quantity and channel, engineering unit as other makes give it, every number a double."""
        name = "/".join(part for part in (point.quantity, point.channel) if part)
        last = self._last.get(point.key.metric)
        value, at = (None, now) if last is None else (last.value, last.taken_at)
        unit = {"engUnit": QUANTITIES[point.quantity].unit}
        return Metric(name, self._aliases[point.key.metric], at, DataType.DOUBLE, value, is_null=value is None, properties=unit)

    def _metric(self, sample: Sample) -> Metric:
        alias = self._aliases[sample.point.metric]
        return Metric(None, alias, sample.taken_at, DataType.DOUBLE, sample.value, is_null=sample.value is None, typed=False)
