"""Home Assistant discovery as a source of device descriptions: retained `config` messages become proposals of profiles and of lines for devices.yaml.

Read once, when a device is installed; nothing depends on it afterwards. Templates are code, so only those that name one place in the JSON are
understood; the rest is listed with the reason. Formats and abbreviations: Home Assistant's MQTT discovery documentation.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contract.quantities import QUANTITIES

TOPICS: Final = ("homeassistant/+/+/config", "homeassistant/+/+/+/config")
_LONG: Final = {
    "stat_t": "state_topic", "dev_cla": "device_class", "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template", "dev": "device",
    "ids": "identifiers", "mf": "manufacturer", "mdl": "model", "avty": "availability", "avty_t": "availability_topic", "t": "topic",
    "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "exp_aft": "expire_after", "pl_on": "payload_on",
    "pl_off": "payload_off", "cmps": "components", "p": "platform", "uniq_id": "unique_id",
}  # fmt: skip
_MEASURES: Final = {
    "temperature": "temperature", "humidity": "humidity", "pressure": "pressure", "atmospheric_pressure": "pressure", "illuminance": "illuminance",
    "battery": "battery", "carbon_dioxide": "co2", "carbon_monoxide": "co", "pm25": "pm25", "pm10": "pm10", "voltage": "voltage",
    "volatile_organic_compounds_parts": "tvoc",
}  # fmt: skip
_STATES: Final = {
    "smoke": "smoke", "door": "door", "opening": "door", "window": "door", "garage_door": "door", "moisture": "leak", "motion": "motion",
    "occupancy": "motion", "presence": "motion", "power": "power", "plug": "power", "tamper": "tamper", "problem": "fault",
}  # fmt: skip
_SCALES: Final = {
    ("temperature", "°F"): ("5/9", "-160/9"), ("pressure", "kPa"): ("10", "0"), ("pressure", "Pa"): ("1/100", "0"),
    ("voltage", "mV"): ("1/1000", "0"), ("humidity", "%"): ("1", "0"), ("co2", ""): ("1", "0"),
}  # fmt: skip
_PLACE: Final = re.compile(r"\{\{\s*value_json((?:\.\w+|\[(?:'[^']+'|\"[^\"]+\"|\d+)\])+)\s*(?:\|\s*(?:float|int|is_defined)(?:\(\d*\))?\s*)*\}\}")
_PLAIN: Final = re.compile(r"\{\{\s*value\s*(?:\|\s*(?:float|int)\s*)?\}\}")
_STEP: Final = re.compile(r"\.(\w+)|\['([^']+)'\]|\[\"([^\"]+)\"\]|\[(\d+)\]")


@dataclass(slots=True)
class Found:
    """A device as it described itself: points ready for a profile, and what was not understood."""

    name: str
    vendor: str
    model: str
    points: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    availability: tuple[str, str, str] | None = None


def devices(messages: Iterable[tuple[str, bytes]]) -> list[Found]:
    """What retained discovery messages (topic, payload) describe, by device. Broken ones are left out."""
    found: dict[str, Found] = {}
    for topic, payload in messages:
        for component, config in _components(topic, payload):
            given = config.get("device")
            about: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
            ident = _ident(about) or topic
            device = found.setdefault(ident, Found(_text(about, "name") or ident, _text(about, "manufacturer") or "unknown", _text(about, "model")))
            _take(device, component, config)
    return list(found.values())


def _ident(about: Mapping[str, Any]) -> str:
    idents = about.get("identifiers")
    return str(idents[0]) if isinstance(idents, list) and idents else str(idents or about.get("name") or "")


def _text(about: Mapping[str, Any], key: str) -> str:
    return str(about.get(key) or "")


def _components(topic: str, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        config = _long(json.loads(payload))
    except (ValueError, RecursionError):
        return
    if not isinstance(config, dict):
        return
    components = config.get("components")
    if isinstance(components, Mapping):  # homeassistant/device/<id>/config
        shared = {key: value for key, value in config.items() if key != "components"}
        for one in components.values():
            if isinstance(one, Mapping):
                yield str(one.get("platform", "")), shared | dict(one)
    else:
        yield topic.split("/")[1], config


def _long(value: Any) -> Any:
    """Abbreviations written out, and `~` replaced by its text."""
    if isinstance(value, list):
        return [_long(item) for item in value]
    if not isinstance(value, dict):
        return value
    base = value.get("~", "")
    whole: dict[str, Any] = {_LONG.get(str(key), str(key)): _long(inner) for key, inner in value.items() if key != "~"}
    if not isinstance(base, str) or not base:
        return whole
    return {key: _based(inner, base) if key.endswith("topic") and isinstance(inner, str) else inner for key, inner in whole.items()}


def _based(topic: str, base: str) -> str:
    return base + topic[1:] if topic.startswith("~") else topic[:-1] + base if topic.endswith("~") else topic


def _take(device: Found, component: str, config: Mapping[str, Any]) -> None:
    name, topic = str(config.get("name") or config.get("unique_id") or component), config.get("state_topic")
    table = {"sensor": _MEASURES, "binary_sensor": _STATES}.get(component, {})
    quantity = table.get(str(config.get("device_class", "")))
    if quantity is None or not isinstance(topic, str):
        device.left_out.append(f"{name}：{component}/{config.get('device_class') or '无类别'}，不是本系统的测量量")
        return
    path = _path(config.get("value_template"))
    if path is None:
        device.left_out.append(f"{name}：模板看不懂（{config.get('value_template')}）")
        return
    point = _point(device, quantity, topic, path, config)
    if point is None:
        device.left_out.append(f"{name}：单位 {config.get('unit_of_measurement')} 不会换算")
        return
    device.points.append(point)
    device.availability = device.availability or _availability(config)


def _path(template: Any) -> str | None:
    """The place in the JSON; "" when the payload is the value itself; None for a template that is more than a place."""
    if template in (None, "") or _PLAIN.fullmatch(str(template).strip()):
        return ""
    found = _PLACE.fullmatch(str(template).strip())
    if found is None:
        return None
    parts: list[str] = []
    for step in _STEP.finditer(found[1]):
        key = step[1] or step[2] or step[3]
        parts.append(f"[{step[4]}]" if key is None else f".{key}" if re.fullmatch(r"\w+", key) else f'."{key}"')
    return "".join(parts).removeprefix(".")


def _point(device: Found, quantity: str, topic: str, path: str, config: Mapping[str, Any]) -> dict[str, Any] | None:
    known = QUANTITIES[quantity]
    taken = sum(point["quantity"] == quantity for point in device.points)
    ident = quantity if not taken else f"{quantity}_{taken + 1}"
    point: dict[str, Any] = {"id": ident, "quantity": quantity, "topic": topic} | ({"channel": str(taken + 1)} if taken else {})
    if path:
        point["path"] = path
    if quantity in _STATES.values():
        on, off = (config.get(f"payload_{word}", word.upper()) for word in ("on", "off"))
        kind = "bool" if isinstance(on, bool) else "string"
        return point | {"class": "alarm" if known.urgent else "state", "type": kind, "map": {on: "active", off: "calm"}, "active": "active"}
    unit = str(config.get("unit_of_measurement") or known.unit)
    scale, offset = ("1", "0") if unit == known.unit else _SCALES.get((quantity, unit), ("", ""))
    if not scale:
        return None
    expires = config.get("expire_after")
    stale = {"stale_s": float(expires)} if isinstance(expires, int | float) and not isinstance(expires, bool) and expires > 0 else {}
    return point | {"class": "measure", "unit": known.unit, "type": "f64", "scale": scale, "offset": offset} | stale


def _availability(config: Mapping[str, Any]) -> tuple[str, str, str] | None:
    listed = config.get("availability")
    one = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else {}
    topic = config.get("availability_topic") or one.get("topic")
    there, gone = (one.get(key) or config.get(key) or word for key, word in (("payload_available", "online"), ("payload_not_available", "offline")))
    return (topic, str(there), str(gone)) if isinstance(topic, str) else None


def profiles(device: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """Profiles as (id, content) that read the device: one for its JSON, one for its plain values. Assumed until a frame is seen."""
    stem = re.sub(r"[^a-z0-9]+", "-", f"own {device.name}".lower()).strip("-") or "own-device"
    for kind, ending in (("json", ""), ("text", "-plain")):
        points = [point for point in device.points if ("path" in point) == (kind == "json")]
        if not points:
            continue
        mqtt: dict[str, Any] = {"topic": points[0]["topic"], "payload": kind, "retained": "uncertain", "expected_interval_s": 3600}
        if device.availability is not None:
            topic, there, gone = device.availability
            mqtt["availability"] = {"topic": topic, "path": "state", "online": [there], "offline": [gone]}
        yield f"{stem}{ending}", {
            "schema": 1, "id": f"{stem}{ending}", "vendor": device.vendor, "model": device.model or device.name,
            "title": {"zh": device.name, "en": device.name}, "category": "multi", "evidence": "assumed",
            "sources": ["the device's own Home Assistant discovery message"], "connection": {"kind": "mqtt"}, "mqtt": mqtt, "points": points,
        }  # fmt: skip
