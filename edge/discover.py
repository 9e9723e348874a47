"""`archivewatch-edge discover`: ask a local broker which devices describe themselves, and write profiles for them."""

import io
import threading
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from ruamel.yaml import YAML

from contract.profile import ProfileError, load_text
from edge.discovery import TOPICS, Found, devices, profiles

_MOST: Final = 5_000  # messages
_LARGEST: Final = 64 * 1024  # bytes


class BrokerUnreachableError(Exception):
    """The text says why."""


def listen(host: str, port: int, username: str | None, password: str | None, seconds: float) -> list[tuple[str, bytes]]:
    """Retained discovery messages that come within `seconds`. Raises BrokerUnreachableError."""
    found: list[tuple[str, bytes]] = []
    answered = threading.Event()
    refused: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if username is not None:
        client.username_pw_set(username, password)

    def connected(one: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            refused.append(str(code))
        else:
            one.subscribe([(topic, 0) for topic in TOPICS])
        answered.set()

    def arrived(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.retain and message.payload and len(message.payload) <= _LARGEST and len(found) < _MOST:
            found.append((message.topic, bytes(message.payload)))

    client.on_connect, client.on_message = connected, arrived
    try:
        client.connect(host, port)
    except OSError as error:
        raise BrokerUnreachableError(f"{host}:{port} 连不上：{error.strerror or error}") from None
    client.loop_start()
    try:
        if not answered.wait(10) or refused:
            raise BrokerUnreachableError(f"{host}:{port} 拒绝登录：{refused[0]}" if refused else f"{host}:{port} 没有回应")
        threading.Event().wait(seconds)  # the broker sends what it retains at once; there is no end to wait for
    finally:
        client.disconnect()
        client.loop_stop()
    return found


def proposals(messages: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Each device with its profiles as YAML text; a profile that our own loader refuses is told with the reason."""
    return [_proposal(device) for device in devices(messages)]


def _proposal(device: Found) -> dict[str, Any]:
    made: dict[str, str] = {}
    problems: list[str] = []
    for ident, content in profiles(device):
        text = _yaml(content)
        try:
            load_text(text, f"{ident}.yaml")
        except ProfileError as error:
            problems.append(str(error))
        else:
            made[ident] = text
    return {"device": device.name, "vendor": device.vendor, "model": device.model, "profiles": made, "left_out": device.left_out + problems}


def _yaml(content: dict[str, Any]) -> str:
    writer, out = YAML(typ="safe"), io.StringIO()
    writer.default_flow_style, writer.allow_unicode, writer.width = False, True, 140
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(content, out)
    return out.getvalue()


def write(found: list[dict[str, Any]], folder: Path) -> list[Path]:
    """The profiles as files, none of which is overwritten. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for device in found:
        for ident, text in device["profiles"].items():
            path = folder / f"{ident}.yaml"
            if not path.exists():
                path.write_text(text, encoding="utf-8")
                written.append(path)
    return written
