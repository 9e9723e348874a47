"""Claiming a new gateway: what gateway and server must agree on.

A gateway that nobody knows makes a key pair (X25519) and shows a short code, which is a fingerprint of its public key. It sends the public key to
the server; a person types the code that stands on the box into a page. So the person vouches for the key: the server seals identity and passwords
to exactly this key, and nobody on the way can read or collect them, whatever the network is.
"""

import hashlib
from typing import Final

CONTEXT: Final = b"archivewatch claim 1"
"""Bound into the code and into the key derivation: a seal made for anything else does not open here."""

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, O, 1 and I, which people mistake for one another on a label."""

_SYMBOLS: Final = 10  # of 5 bits: 2**50 keys to try for one that shows a given code, and the code lives for days only
_KEY_BYTES: Final = 32


def claim_code(public_key: bytes) -> str:
    """The code of a raw X25519 public key, like `7KQ2M-XW9PD`. Raises ValueError for anything but 32 bytes."""
    if len(public_key) != _KEY_BYTES:
        raise ValueError(f"a public key has {_KEY_BYTES} bytes, not {len(public_key)}")
    number = int.from_bytes(hashlib.sha256(CONTEXT + public_key).digest()[:8], "big") >> (64 - 5 * _SYMBOLS)
    symbols = "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(_SYMBOLS)))
    return f"{symbols[:5]}-{symbols[5:]}"


def as_typed(text: str) -> str:
    """A code as somebody typed it, in its one form: capitals, the dash where it belongs. `""` when it cannot be a code."""
    symbols = "".join(text.upper().split()).replace("-", "").replace("－", "").replace("—", "")
    if len(symbols) != _SYMBOLS or not set(symbols) <= set(ALPHABET):
        return ""
    return f"{symbols[:5]}-{symbols[5:]}"
