"""The contract: Sparkplug batches and Modbus registers to samples and back. Beside them: protobuf alone with the same bytes."""

from pathlib import Path
from typing import Any

from benchmarks.figures import bare_loop, per_second, row
from contract import profile as catalogue
from contract.batch import Outbox, node_data, read_data
from contract.decoding import block_request, decode_block, encode_block
from contract.sample import PointKey, Sample
from contract.sparkplug import decode, encode
from contract.sparkplug_schema import payload_class

T0 = 1_790_000_000_000
GATEWAY = "GW-350102-01"
PROFILE = "renke-rs-ws-n01"


def batch(size: int) -> list[Sample]:
    """Half climate, a quarter states: what a gateway sends."""
    quantities = ("temperature", "humidity", "smoke", "door")
    points = [PointKey(GATEWAY, f"d{n}", quantities[n % 4]) for n in range(100)]
    return [Sample(points[n % 100], T0 + n * 1000, 0.0 if n % 4 > 1 else 20 + n % 70 / 10) for n in range(size)]


def sparkplug(size: int, seconds: float) -> tuple[float, float, int]:
    """Samples a second out and in, and the bytes of one message."""
    samples = batch(size)
    aliases = {name: alias for alias, name in enumerate(dict.fromkeys(sample.point.metric for sample in samples))}
    names = {alias: name for name, alias in aliases.items()}
    box = Outbox(77, 1, size)

    def out() -> bytes:
        return encode(node_data(samples, aliases, now=T0, seq=1, outbox=box))

    message = out()
    if read_data(decode(message), GATEWAY, names).samples != tuple(samples):
        raise AssertionError("what was read is not what was written")
    return (
        per_second(lambda: len(out()) and size, seconds),
        per_second(lambda: len(read_data(decode(message), GATEWAY, names).samples), seconds),
        len(message),
    )


def protobuf(size: int, seconds: float) -> tuple[float, float]:
    """The library alone, with a message that is already built."""
    samples = batch(size)
    aliases = {name: alias for alias, name in enumerate(dict.fromkeys(sample.point.metric for sample in samples))}
    kind = payload_class()
    body = encode(node_data(samples, aliases, now=T0, seq=1, outbox=Outbox(77, 1, size)))
    message = kind.FromString(body)
    return per_second(lambda: len(message.SerializeToString()) and size, seconds), per_second(
        lambda: len(kind.FromString(body).metrics) and size, seconds
    )


def registers(seconds: float) -> float:
    """Readings a second from the registers of a climate sensor."""
    profile = catalogue.find(PROFILE)
    block = profile.blocks[0].id
    block_request(profile, block, 1)
    values = {point.id: 21.5 for point in profile.points if point.block == block}
    words = encode_block(profile, block, values)
    return per_second(lambda: len(decode_block(profile, block, words)), seconds)


def run(folder: Path, quick: bool) -> dict[str, Any]:  # noqa: ARG001 - one signature for all benchmarks
    seconds = 0.5 if quick else 2
    written, read, size = sparkplug(500, seconds)
    bare_out, bare_in = protobuf(500, seconds)
    return {
        "rows": [
            row("Sparkplug batch of 500: samples encoded", written, "/s", "protobuf alone", bare_out),
            row("Sparkplug batch of 500: samples decoded", read, "/s", "protobuf alone", bare_in),
            row("Modbus registers: readings decoded", registers(seconds), "/s", "empty Python calls", bare_loop()),
        ],
        "bytes_per_sample": round(size / 500, 1),
    }
