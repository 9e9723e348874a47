"""What a gateway offers to be written: of each device its profile, and the writes of it that devices.yaml allows. Travels in the birth as JSON.

So the centre can show for every device what may be ordered on it, by whom and how dangerous it is, also where the profile is the installer's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

if TYPE_CHECKING:  # the server's ingest reads offers without knowing profiles
    from contract.profile_models import Profile, Raw, Write

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A write that may be ordered: its `words`, or numbers of `range` (lowest, highest). `role` and `danger` are the profile's."""

    id: _Name
    role: str
    danger: str
    words: tuple[bool | int | str, ...] = ()
    range: tuple[float, float] | None = None

    def value_of(self, text: str) -> "Raw | float | None":
        """What somebody typed, as the profile spells it; None for what is not offered."""
        typed = text.strip().lower()
        for word in self.words:
            if typed in (_SPELT[word] if isinstance(word, bool) else (str(word).lower(),)):
                return word
        try:
            number = float(typed)
        except ValueError:
            return None
        return number if self.range is not None and self.range[0] <= number <= self.range[1] else None


_SPELT: Final[Mapping[bool, tuple[str, ...]]] = {True: ("开", "on", "true", "1"), False: ("关", "off", "false", "0")}


class DeviceOffers(msgspec.Struct, frozen=True):
    """Of one device: its profile, what people call the model, and what may be ordered."""

    profile: _Name
    title: Annotated[str, msgspec.Meta(max_length=120)]
    writes: tuple[Offer, ...]


Offers = dict[_Name, DeviceOffers]
"""By the device's name."""


def offers_of(devices: "Iterable[tuple[str, Profile, Iterable[str]]]") -> Offers:
    """From (name, profile, allowed writes); devices on which nothing may be ordered are left out."""
    return {
        name: DeviceOffers(profile.id, profile.title.zh, found)
        for name, profile, allowed in devices
        if (found := tuple(_allowed(profile, set(allowed))))
    }


def _allowed(profile: "Profile", names: set[str]) -> Iterator[Offer]:
    return (_offer(write) for write in profile.writes if write.id in names)


def _offer(write: "Write") -> Offer:
    return Offer(write.id, write.role, write.danger, tuple(write.values), None if write.values else write.range)


def dump(offers: Offers) -> str:
    """As JSON; "" for none."""
    return msgspec.json.encode(offers).decode() if offers else ""


def load(text: str) -> Offers:
    """From JSON. Raises ValueError."""
    return msgspec.json.decode(text, type=Offers) if text else {}
