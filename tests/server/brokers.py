"""Real brokers on files that the server made, and clients written with paho alone."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from server.org import broker_access, broker_files
from server.org.broker_access import BrokerAccess
from server.org.broker_files import Listener
from simulators.broker import binary
from simulators.signals import die_with_parent

WAIT = 20
SERVER_PASSWORD = "only-the-server-knows"
CONFIG = {"mosquitto": "mosquitto.conf", "nats": "nats-server.conf"}
LIVING = {"mosquitto": ("passwords", "acl"), "nats": ("users.conf",)}


def until(true, seconds, what, every=0.02):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every)


def installed(kind):
    if kind == "mosquitto" and (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()) is False:
        print("Mosquitto is not installed: its isolation was not tried")
        pytest.skip("Mosquitto is not installed")


class Guarded:
    """A broker that knows the gateways of a database and follows it."""

    def __init__(self, kind, db, folder, port, probe=None, **listener):
        installed(kind)
        self.kind, self.port, self.folder, self._probe = kind, port, folder, probe
        host = broker_access.host(kind, "server", SERVER_PASSWORD, "aw", ("+",))
        render, place = getattr(broker_files, kind), Listener(port=port, folder=str(folder), store=str(folder / "data"), **listener)
        (folder / "data").mkdir(parents=True)
        self.access = BrokerAccess(db, folder, kind, lambda clients: render(clients, host, place), (CONFIG[kind], *LIVING[kind]), ())
        self.access.run_once(0)
        if kind == "mosquitto" and os.geteuid() == 0:
            with (folder / CONFIG[kind]).open("a") as file:
                file.write("user root\n")
        self.log = folder / "log"
        self.start()
        self.access = BrokerAccess(
            db, folder, kind, lambda clients: render(clients, host, place), LIVING[kind], ("kill", "-HUP", str(self.process.pid))
        )

    def start(self):
        program = binary() if self.kind == "nats" else shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with self.log.open("ab") as log:
            config = str(self.folder / CONFIG[self.kind])
            self.process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509
        until(lambda: self.process.poll() is not None or self.answers(), WAIT, "the broker answers")
        assert self.process.poll() is None, self.log.read_text()

    def answers(self):
        client = Client(self, "server", SERVER_PASSWORD, "probe", tls=self._probe, wait=False)
        client.answered.wait(1)
        client.close()
        return client.connected

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT)


class Client:
    """A connection with a name and a password; what it got, and what became of it."""

    def __init__(self, broker, user, password, ident=None, *topics, will=None, tls=None, wait=True):
        self.got, self.connected, self.lost, self.granted = [], False, False, {}
        self.answered, self._topics = threading.Event(), topics
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=ident or user or "", reconnect_on_failure=False)
        if password is not None:
            self.paho.username_pw_set(user, password)
        if tls is not None:
            self.paho.tls_set_context(tls)
        if will is not None:
            self.paho.will_set(*will, qos=1)
        self.paho.on_connect, self.paho.on_message, self.paho.on_disconnect = self._connected, self._message, self._gone
        self.paho.on_subscribe = self._subscribed
        try:
            self.paho.connect("127.0.0.1", broker.port, keepalive=30)
        except OSError:  # nobody listens, or the broker does not like our certificate
            self.answered.set()
            if wait:
                raise
            return
        self.paho.loop_start()
        if wait:
            assert self.answered.wait(WAIT), "no answer from the broker"

    def _connected(self, client, _data, _flags, reason, _properties):
        self.connected = not reason.is_failure
        if self.connected and self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        else:
            self.answered.set()

    def _subscribed(self, _client, _data, mid, codes, _properties):
        self.granted[mid] = [not code.is_failure for code in codes]
        self.answered.set()

    def _message(self, _client, _data, message):
        self.got.append((message.topic, bytes(message.payload)))

    def _gone(self, *_):
        self.lost = True

    def say(self, topic, payload, qos=0):
        self.paho.publish(topic, payload, qos).wait_for_publish(WAIT)

    def listen(self, topic):
        _, mid = self.paho.subscribe(topic, 0)
        until(lambda: mid in self.granted, WAIT, f"an answer about {topic}")
        return self.granted[mid] == [True]

    def cut(self):
        """The line is cut: no farewell, so that the broker speaks the will."""
        self.paho._sock.shutdown(2)

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()


class Bare:
    """A connection on a plain socket: paho waits by select(), which ends at 1,024 of them."""

    def __init__(self, port, user, password, will):
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT)
        # MQTT 3.1.1: name and password, a will with QoS 1, a clean session; keep-alive 60 s.
        body = _text("MQTT") + b"\x04\xce\x00\x3c" + _text(user) + _text(will[0]) + _text(will[1]) + _text(user) + _text(password)
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        assert self._socket.recv(4) == b"\x20\x02\x00\x00", user

    def say(self, topic, payload):
        body = _text(topic) + payload
        self._socket.sendall(b"\x30" + _length(len(body)) + body)

    def cut(self):
        """The line is cut: no farewell, so that the broker speaks the will."""
        if self._socket.fileno() >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    close = cut


def _text(content):
    raw = content if isinstance(content, bytes) else content.encode()
    return struct.pack("!H", len(raw)) + raw


def _length(number):
    out = bytearray()
    while True:
        number, byte = number >> 7, number & 127
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)
