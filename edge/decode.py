"""`archivewatch-edge decode`: one captured exchange or message through a profile, as surface.md says."""

from typing import Any

from contract.decoding import decode_exchange, decode_message
from contract.frames import FrameError
from contract.profile_models import Profile
from contract.readings import Reading


def unhex(text: str) -> bytes:
    """Bytes from hexadecimal text with or without spaces. Raises FrameError("payload")."""
    try:
        return bytes.fromhex(text.replace(":", " ").replace("0x", "").replace(",", " "))
    except ValueError:
        raise FrameError("payload", "not hexadecimal") from None


def exchange(profile: Profile, request: str | None, reply: str) -> dict[str, Any]:
    """The output for one Modbus RTU exchange given as hexadecimal text."""
    try:
        readings = decode_exchange(profile, unhex(request) if request else None, unhex(reply))
    except FrameError as error:
        return _output(profile, [], error)
    return _output(profile, readings)


def message(profile: Profile, topic: str, payload: bytes) -> dict[str, Any]:
    """The output for one MQTT message; an availability message has no points, but `available`."""
    try:
        found = decode_message(profile, topic, payload)
    except FrameError as error:
        return _output(profile, [], error)
    known = {} if found.available is None else {"available": found.available}
    return _output(profile, list(found.readings)) | known


def _output(profile: Profile, readings: list[Reading], error: FrameError | None = None) -> dict[str, Any]:
    told = None if error is None else {"kind": error.kind, "detail": error.detail} | ({} if error.code is None else {"code": error.code})
    return {"profile": profile.id, "points": [_point(reading) for reading in readings], "error": told}


def _point(reading: Reading) -> dict[str, Any]:
    return {
        "quantity": reading.quantity,
        "channel": reading.channel or None,
        "value": reading.value,
        "unit": reading.unit,
        "quality": str(reading.quality),
        "reason": reading.reason or None,
    }


def as_text(output: dict[str, Any]) -> str:
    """The output for people."""
    if output["error"] is not None:
        return f"{output['profile']}：报文不可用（{output['error']['kind']}：{output['error']['detail']}）"
    lines = [f"{output['profile']}："]
    for point in output["points"]:
        name = "/".join(part for part in (point["quantity"], point["channel"]) if part)
        value = "—" if point["value"] is None else f"{point['value']} {point['unit']}".rstrip()
        lines.append(f"  {name} = {value}（{point['quality']}{'，' + point['reason'] if point['reason'] else ''}）")
    return "\n".join(lines)
