"""The siren: how the centre asks a gateway to sound the relay of the room, and to stop. The gateway keeps the time, so nothing sounds for ever."""

from typing import Final

import msgspec

from contract.batch import command
from contract.sparkplug import Payload

SOUND: Final = "Siren/Sound"
"""Name of the command's metric."""
_LONGEST_S: Final = 3_600
_PREFIX: Final = "siren-"


class SoundError(ValueError):
    """An order that cannot be read."""


class SoundOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sound for `seconds`, 0 = be silent. Void from `expires_at` (UTC ms) on: an old one surprises nobody."""

    id: int
    seconds: int
    expires_at: int

    @property
    def write(self) -> str:
        """Id of the write that carries it out. The instant is part of it: numbers begin anew where a database is put back."""
        return f"{_PREFIX}{self.id}-{self.expires_at}"


def sound_command(order: SoundOrder, now: int) -> Payload:
    """The NCMD that carries an order."""
    return command(SOUND, msgspec.json.encode(order).decode(), now)


def read_sound(text: str) -> SoundOrder:
    """Read an order. Raises SoundError."""
    try:
        order = msgspec.json.decode(text, type=SoundOrder)
    except msgspec.MsgspecError as error:
        raise SoundError(f"siren order: {error}") from error
    if order.id <= 0 or not 0 <= order.seconds <= _LONGEST_S:
        raise SoundError(f"siren order {order.id}: out of range")
    return order


def ordered(write: str) -> str:
    """The id of the order behind a write's id; any other id as it is."""
    return write.removeprefix(_PREFIX).partition("-")[0] if write.startswith(_PREFIX) else write
