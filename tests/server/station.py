"""A gateway's own spool and uplink, the line, and the server's ingest and watch behind it: real bytes, one clock that the test moves."""

import itertools
import random
import shutil

from contract.batch import PointDeclaration
from contract.sample import PointKey, Sample
from contract.topics import state_payload, state_topic
from edge.link import Arrived, Down, Up
from edge.rows import Lane
from edge.settings import SpoolSettings, UplinkSettings
from edge.spool import Spool
from edge.uplink import Identity, Uplink
from server.ingest.mqtt import Incoming
from tests.server.ingesting import Ingest

SMOKE_S, CLIMATE_S = 5, 10


class Line:
    """The edge's link: what it publishes goes to the server at once, while the line is up."""

    def __init__(self):
        self.up, self.will, self.sent, self.arriving = False, None, [], []

    def open(self, will_topic, will):
        self.will = (will_topic, will)

    def publish(self, topic, payload, qos=0):
        if self.up:
            self.sent.append((topic, payload))

    def close(self):
        self.up = False

    def events(self):
        found, self.arriving = self.arriving, []
        return found


class Station:
    """A gateway with a smoke detector, a thermo-hygrometer and its spool, the line, and the server behind it."""

    def __init__(self, made, folder):
        self.made, self.line, self.bd = made, Line(), itertools.count()
        self.smoke, self.humidity, self._said = 0, 50.0, 0
        self.points = [PointDeclaration("th1/humidity", None, made.ROOM, "%RH", CLIMATE_S, "measure"),
                       PointDeclaration("smoke1/smoke", None, made.ROOM, "", SMOKE_S, "alarm")]  # fmt: skip
        self.folder, self.written = folder, set()
        self.boot()
        self.connection = 0
        self.serve()

    @classmethod
    def on_line(cls, made, folder):
        """One that has said everything before anything happens."""
        station = cls(made, folder)
        station.live(1)
        station.connect()
        station.live(20)
        assert station.owed() <= 2
        return station

    def boot(self):
        """The agent starts."""
        self.spool = Spool(self.folder, self.made.GATEWAY, SpoolSettings(synchronous="off"), self.made.now)
        self.spool.remember(self.points)
        identity = Identity("350100", self.made.GATEWAY, "aw")
        self.uplink = Uplink(identity, UplinkSettings(), self.line, self.points, lambda: next(self.bd) % 256, noise=random.Random(1))

    def image(self, to):
        """An image of the gateway's disk as it is now, under power."""
        shutil.copytree(self.folder, to)

    def restore(self, image):
        """The disk is written anew from an image, and the gateway starts; the line is still down."""
        self.spool.close()
        shutil.rmtree(self.folder)
        shutil.copytree(image, self.folder)
        self.boot()

    def serve(self):
        """The server's ingest begins anew, as after a restart."""
        self.acceptor = Ingest(self.made.watch, lambda topic, payload: self.line.arriving.append(Arrived(topic, payload)), self.made.metrics)

    def connect(self):
        self.line.up = True
        self.line.arriving += [Up(), Arrived(state_topic("aw"), state_payload(True, self.made.now))]

    def cut(self):
        """The line breaks: the broker says the Will, and what the server sends goes nowhere."""
        self.line.close()
        self.line.sent.clear()
        self.acceptor.accept(Incoming(*self.line.will, self.made.now, self.connection))
        self.line.arriving = [Down("连接中断")]

    def live(self, seconds, *, restart_at=None):
        """Both sides live on; the room is read as often as its sensors are."""
        for second in range(seconds):
            self.made.now += 1000
            if second == restart_at:
                self.made.start()
                self.serve()
                self.connection += 1
                self.connect()
            self._read()
            self.spool.salvage()
            for _ in range(2 if self.line.up else 1):
                self.uplink.run_once(self.spool, self.made.now, float(self.made.now - self.made.T0))
                messages, self.line.sent = self.line.sent, []
                for topic, payload in messages:
                    self.acceptor.accept(Incoming(topic, payload, self.made.now, self.connection))
                self.made.run()

    def _read(self):
        elapsed = (self.made.now - self.made.T0) // 1000
        if elapsed % CLIMATE_S == 0:
            self._append("th1/humidity", self.humidity, Lane.NORMAL)
        if elapsed % SMOKE_S == 0 or self.smoke != self._said:
            news, self._said = self.smoke != self._said, self.smoke
            self._append("smoke1/smoke", self.smoke, Lane.URGENT if news else Lane.NORMAL)

    def _append(self, metric, value, lane):
        self.spool.append([Sample(PointKey.of(self.made.GATEWAY, metric), self.made.now, value)], lane)
        self.written.add((metric, self.made.now))

    def back(self):
        """The cable is in again; the uplink finds that out by itself (it tries at the latest after a minute)."""
        for _ in range(90):
            if self.uplink.phase == "connecting":
                break
            self.live(1)
        self.connect()

    def owed(self):
        return self.spool.last - self.spool.acknowledged
