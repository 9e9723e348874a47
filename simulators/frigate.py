"""Frigate (object detection for cameras) as it talks over MQTT: `frigate/available` with its Will, motion, tracked objects, and their snapshots.

Topics and payloads as in Frigate's documentation: `<prefix>/<camera>/motion` ON, OFF half a minute after the last motion; `<prefix>/events` with
`new`, `update` while a person is there, `end`; `<prefix>/<camera>/person` the count, retained; `<prefix>/<camera>/person/snapshot` a JPEG, retained;
`<prefix>/<camera>/status/detect`. What is to be seen comes from the plant: somebody moves in the room.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulators.plant import Plant

_CALM_MS: Final = 30_000
_UPDATE_MS: Final = 5_000


@dataclass(slots=True)
class _Camera:
    room: str
    number: int = 0
    since: int | None = None
    last: int = 0
    told: int = 0
    moving: bool = False


class Frigate:
    """`cameras` are rooms by the name of their camera, `picture(name)` gives what a camera sees as JPEG. `run_once(now)` tells what is new."""

    def __init__(self, cameras: Mapping[str, str], plant: Plant, picture: Callable[[str], bytes], prefix: str = "frigate") -> None:
        self._cameras = {name: _Camera(room) for name, room in cameras.items()}
        self._plant, self._picture, self._prefix = plant, picture, prefix
        self._there, self._greet = threading.Event(), threading.Event()
        self._crashed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=prefix)
        self._client.will_set(f"{prefix}/available", "offline", qos=1, retain=True)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._connected

    def start(self, host: str, port: int) -> None:
        """Connect in the background and keep trying."""
        self._client.connect_async(host, port, keepalive=15)
        self._client.loop_start()

    def _connected(self, *_: Any) -> None:
        """On paho's thread: only leave word."""
        self._greet.set()
        self._there.set()

    def wait_connected(self, seconds: float) -> bool:
        """Whether the broker accepted us within that time."""
        return self._there.wait(seconds)

    def stop(self) -> None:
        """End as Frigate does when it is shut down."""
        if self._crashed:
            return
        if self._client.is_connected():
            self._tell("available", b"stopped", retain=True).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()

    def crash(self) -> None:
        """Vanish without a word: the broker speaks the Will."""
        self._crashed = True
        self._client.loop_stop()
        if (socket := self._client.socket()) is not None:
            socket.close()

    def run_once(self, now: int) -> None:
        """Look at every room."""
        if self._greet.is_set():
            self._greet.clear()
            self._tell("available", b"online", retain=True)
            for name in self._cameras:
                self._tell(f"{name}/status/detect", b"online", retain=True)
        for name, camera in self._cameras.items():
            self._look(name, camera, now)

    def _look(self, name: str, camera: _Camera, now: int) -> None:
        somebody = self._plant.value(camera.room, "motion") >= 0.5
        if somebody:
            camera.last = now
            if not camera.moving:
                camera.moving = True
                self._tell(f"{name}/motion", b"ON")
            if camera.since is None:
                camera.since, camera.number = now, camera.number + 1
                self._event("new", name, camera, now)
            elif now - camera.told >= _UPDATE_MS:
                self._event("update", name, camera, now)
        elif camera.since is not None:
            self._event("end", name, camera, now)
            camera.since = None
        if camera.moving and now - camera.last >= _CALM_MS:
            camera.moving = False
            self._tell(f"{name}/motion", b"OFF")

    def _event(self, kind: str, name: str, camera: _Camera, now: int) -> None:
        camera.told = now
        ended = now / 1000 if kind == "end" else None
        after: dict[str, Any] = {
            "id": f"{(camera.since or now) / 1000:.6f}-{camera.number}", "camera": name, "label": "person", "sub_label": None, "score": 0.82,
            "top_score": 0.86, "false_positive": False, "start_time": (camera.since or now) / 1000, "end_time": ended, "current_zones": [],
            "entered_zones": [], "has_snapshot": True, "has_clip": False, "stationary": False,
        }  # fmt: skip
        self._tell("events", json.dumps({"type": kind, "before": after, "after": after}).encode())
        self._tell(f"{name}/person", b"0" if kind == "end" else b"1", retain=True)
        if kind != "end":
            self._tell(f"{name}/person/snapshot", self._picture(name), retain=True)

    def _tell(self, topic: str, payload: bytes, *, retain: bool = False) -> paho.MQTTMessageInfo:
        return self._client.publish(f"{self._prefix}/{topic}", payload, qos=0, retain=retain)
