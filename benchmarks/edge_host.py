"""A gateway process and a host application for the figures of the edge: what the server is to it, without a server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt

from benchmarks.figures import PATIENCE_S
from contract import sparkplug
from contract.batch import outbox_ack, read_birth, read_data
from contract.declarations import Ack, Data
from contract.topics import Kind, parse, state_payload, state_topic
from simulators.broker import Broker

GATEWAY: Final = "GW-350102-01"
GROUP: Final = "350100"
_TICK: Final = os.sysconf("SC_CLK_TCK")


class Host:
    """Says that it is online, reads births and data, acknowledges the highest contiguous sequence.

    `on_data` sees each message with its time of receipt (UTC ns).
    """

    def __init__(self, broker: Broker, on_data: Callable[[Data, int], None]) -> None:
        self.born, self.upto, self.messages = threading.Event(), 0, 0
        self._on_data, self._names, self._ahead = on_data, dict[int, str](), dict[int, int]()
        self._started = time.time_ns() // 1_000_000
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench-host")
        self._client.on_connect = self._connected
        self._client.on_message = self._message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(f"spBv1.0/{GROUP}/{kind}/{GATEWAY}", 0) for kind in (Kind.NBIRTH, Kind.NDATA)])
        client.publish(state_topic("aw"), state_payload(True, self._started), 1, True)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        received = time.time_ns()
        content = sparkplug.decode(message.payload)
        if parse(message.topic).kind is Kind.NBIRTH:
            self._names = read_birth(content).names
            self.born.set()
            return
        data = read_data(content, GATEWAY, self._names)
        self.messages += 1
        self._on_data(data, received)
        if data.outbox is not None:
            self._acknowledge(data.outbox.epoch, data.outbox.first, data.outbox.last)

    def _acknowledge(self, epoch: int, first: int, last: int) -> None:
        self._ahead[first] = max(last, self._ahead.get(first, 0))
        while self.upto + 1 in self._ahead:
            self.upto = self._ahead.pop(self.upto + 1)
        payload = sparkplug.encode(outbox_ack(Ack(epoch, self.upto), time.time_ns() // 1_000_000))
        self._client.publish(f"spBv1.0/{GROUP}/NCMD/{GATEWAY}", payload, 0)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Agent:
    """`archivewatch-edge run`, as a process that can be weighed."""

    def __init__(self, config: Path) -> None:
        self._log = (config.parent / "log").open("wb")
        self._process = subprocess.Popen([sys.executable, "-m", "edge", "run", "--config", str(config)], stderr=self._log, stdout=self._log)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def stop(self) -> dict[str, Any]:
        """End it; returns its last status."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)
        self._log.close()
        status: dict[str, Any] = json.loads((Path(self._log.name).parent / "data" / "status.json").read_text("utf-8"))
        return status
