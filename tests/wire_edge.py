"""A Sparkplug edge node written with nothing but paho and the contract, for tests at the wire of the server."""

import queue
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract.batch import Outbox, PointDeclaration, node_birth, node_data, node_death, read_command
from contract.sample import PointKey, Sample
from contract.sparkplug import decode, encode
from contract.topics import read_state
from server.ingest.mqtt import wall_clock

WAIT = 20
POINTS = (PointDeclaration("smoke1/smoke", 1, "350102000000-01", "", 5), PointDeclaration("th1/humidity", 2, "350102000000-01", "%RH", 10))


class Edge:
    """One connection. `points` is what its births declare; `commands` and `states` what came to it."""

    def __init__(self, broker, gateway, bd_seq=0, points=POINTS):
        self.gateway, self.bd_seq, self.seq, self.points = gateway, bd_seq, 0, points
        self.commands, self.states = queue.Queue(), queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-{gateway}-{bd_seq}")
        self.client.will_set(f"spBv1.0/350100/NDEATH/{gateway}", encode(node_death(bd_seq, 0)), qos=1)
        self.client.on_message = self._message
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe([(f"spBv1.0/350100/NCMD/{gateway}", 1), ("spBv1.0/STATE/aw", 1)])
        assert ready.wait(WAIT)

    def _message(self, _client, _userdata, message):
        if message.topic.endswith("STATE/aw"):
            self.states.put(read_state(message.payload))
        else:
            self.commands.put(read_command(decode(message.payload)))

    def publish(self, kind, payload):
        self.client.publish(f"spBv1.0/350100/{kind}/{self.gateway}", payload if isinstance(payload, bytes) else encode(payload)).wait_for_publish(
            WAIT
        )

    def birth(self, epoch=9, first=1, last=0):
        self.publish("NBIRTH", node_birth(self.points, now=wall_clock(), bd_seq=self.bd_seq, outbox=Outbox(epoch, first, last)))

    def data(self, *readings, first, epoch=9):
        self.seq += 1
        now = wall_clock()
        samples = [Sample(PointKey.of(self.gateway, metric), now + i, value) for i, (metric, value) in enumerate(readings)]
        outbox = Outbox(epoch, first, first + len(samples) - 1)
        self.publish("NDATA", node_data(samples, {point.metric: point.alias for point in self.points}, now=now, seq=self.seq, outbox=outbox))

    def ack(self):
        while (command := self.commands.get(timeout=WAIT)).ack is None:
            pass
        return command.ack

    def close(self):
        """Leave without a death, as a good guest does."""
        self.client.disconnect()
        self.client.loop_stop()
