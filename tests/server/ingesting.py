"""Ingest in one process: both ends of the pipe of server/ingest/line.py, and between them what goes through it."""

import contextlib
import queue

import msgspec

from server.ingest.accept import Acceptor
from server.ingest.frames import Armful, pack
from server.ingest.reader import Reader
from server.watch.inputs import GatewayData

_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Armful)


class Ingest:
    """`accept` a message, and its meaning is with the watch; poison and logbooks are kept at once."""

    def __init__(self, watch, send, metrics, *, births=(), **options):
        self.acceptor = Acceptor(watch, lambda settled: send(*settled.command()), send, metrics, **options)
        self.reader = Reader(self._hear, send, self.acceptor.count, births)
        self.accept, self.tick, self.beside = self.reader.accept, self.reader.tick, self.reader.beside

    def _hear(self, item):
        packed = pack(item) if isinstance(item, GatewayData) else item
        self.acceptor.hear(_decoder.decode(_encoder.encode(Armful([packed], True, {}))))
        while self.acceptor.keep():
            pass

    def run(self, incoming, stop, clock, also=lambda _now: None):
        """Until `stop` is set."""
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                self.accept(incoming.get(timeout=0.2))
            self.beside(clock())
            also(clock())
