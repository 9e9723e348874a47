"""Device data <-> readings by profile, both directions, pure. Registers here; messages in contract/mqtt_decoding.py (exported here too).

A reading carries the canonical unit of its quantity. Which room it belongs to is in devices.yaml, not here.
"""

from collections.abc import Iterator, Mapping, Sequence

from contract import frames
from contract.block_decoder import BlockDecoder, decoded, points_of, span
from contract.engineering import raw_of
from contract.frames import BIT_READS, FrameError, Request, parse_reply, parse_request
from contract.mqtt_decoding import Message, decode_message, subscription
from contract.mqtt_encoding import encode_message
from contract.profile_models import Profile
from contract.profile_transport import Block
from contract.readings import Reading
from contract.registers import put

__all__ = [
    "BlockDecoder",
    "Message",
    "Reading",
    "block_request",
    "decode_block",
    "decode_exchange",
    "decode_message",
    "encode_block",
    "encode_message",
    "points_of",
    "span",
    "subscription",
]


def block_request(profile: Profile, block_id: str, unit: int) -> bytes:
    """The RTU request that reads a block. Raises KeyError for an unknown block."""
    block = profile.block(block_id)
    return frames.request(unit, block.fc, block.address, block.count)


def decode_block(profile: Profile, block_id: str, words: Sequence[int]) -> list[Reading]:
    """Readings of a block from its registers (0..65535) or bits, in the order of the profile.

    Raises KeyError for an unknown block, FrameError("mismatch") for another number of items than the block has.
    """
    return BlockDecoder(profile, block_id)(words)


def encode_block(profile: Profile, block_id: str, values: Mapping[str, float | None]) -> list[int]:
    """The registers or bits that show `values` (by point id); points not named read 0, None stands for "nothing read" (special value or NaN).

    Raises KeyError for an unknown block, ValueError for a value that the device cannot show.
    """
    block = profile.block(block_id)
    words = [0] * block.count
    for point in points_of(profile, block_id):
        if point.id not in values:
            continue
        raw = raw_of(point, values[point.id])
        if raw is None:
            raise ValueError(f"{point.id} has no raw value for {values[point.id]}")
        put(point, raw, words, point.at)
    return words


# ------------------------------------------------------------------------------------------------------------------------------- exchanges


def decode_exchange(profile: Profile, request: bytes | None, reply: bytes) -> list[Reading]:
    """Readings of one Modbus RTU exchange. The request may read any part of the profile's registers; points that lie in it whole are decoded.

    Without a request the reply must have the size of exactly one block. Raises FrameError: short, crc, exception, mismatch or range.
    """
    asked = None if request is None else parse_request(request)
    quirks = profile.connection.quirks
    universal = asked is not None and asked.unit == profile.connection.unit.any and "any_address" in quirks
    answer = parse_reply(asked, reply, any_address=universal, fc04_reply="fc04_reply" in quirks)
    readings = list(_covered(profile, asked or _only_read(profile, answer), answer.words))
    if not readings:
        raise FrameError("mismatch", f"profile {profile.id} has no point in what was read")
    return readings


def _only_read(profile: Profile, answer: frames.Reply) -> Request:
    """What must have been asked when only one block of the profile fits the reply."""
    fitting = [block for block in profile.blocks if _fits(profile, block, answer)]
    if len(fitting) != 1:
        found = "no block" if not fitting else "several blocks"
        raise FrameError("mismatch", f"{found} of profile {profile.id} fit function {answer.fc} with {len(answer.words)} items; give the request")
    return Request(answer.unit, answer.fc, fitting[0].address, fitting[0].count)


def _fits(profile: Profile, block: Block, answer: frames.Reply) -> bool:
    """The function and the number of items are those of the block; bits fill whole bytes, and a device with the quirk adds registers."""
    if answer.fc == 4 and "fc04_reply" in profile.connection.quirks:
        return block.count <= len(answer.words)
    padded = (block.count + 7) // 8 * 8 if block.fc in BIT_READS else block.count
    return answer.fc in (block.fc, *block.fc_also) and padded == len(answer.words)


def _covered(profile: Profile, asked: Request, words: Sequence[int]) -> Iterator[Reading]:
    blocks = {block.id: block for block in profile.blocks if asked.fc in (block.fc, *block.fc_also)}
    for point in profile.points:
        block = blocks.get(point.block or "")
        if block is None:
            continue
        at, length = block.address + point.at - asked.address, span(block, point)
        if at >= 0 and at + length <= asked.count:
            yield decoded(point, words, at, length)
