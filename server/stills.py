"""Pictures on disk: `<data>/snapshots/<first two digits>/<sha256>.<jpg|png>`, written once and never changed."""

import hashlib
from pathlib import Path

from server.files import write_whole

MOST_BYTES = 6 * 1024 * 1024
_KINDS = {b"\xff\xd8\xff": ("jpg", "image/jpeg"), b"\x89PNG\r\n\x1a\n": ("png", "image/png")}


class StillRefusedError(ValueError):
    """The picture cannot be taken; `code` is for programs, the text for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def check(content: bytes, sha256: str) -> None:
    """Refuse what is empty, too large, no JPEG or PNG, or not what the sender hashed. Raises StillRefusedError."""
    if not content or len(content) > MOST_BYTES:
        raise StillRefusedError("size", f"图片为空或超过 {MOST_BYTES // 1024 // 1024} MB。")
    if not any(content.startswith(magic) for magic in _KINDS):
        raise StillRefusedError("format", "只接收 JPEG 或 PNG 图片。")
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise StillRefusedError("hash", "图片与校验值不符，请重传。")


def save(folder: Path, content: bytes, sha256: str) -> None:
    """Write a checked picture durably; one that is already there stays."""
    suffix = next(suffix for magic, (suffix, _) in _KINDS.items() if content.startswith(magic))
    target = _path(folder, sha256, suffix)
    if not target.exists():
        write_whole(target, content)


def find(folder: Path, sha256: str) -> tuple[Path, str] | None:
    """File and media type of a stored picture; None when it is gone."""
    for suffix, media_type in _KINDS.values():
        path = _path(folder, sha256, suffix)
        if path.exists():
            return path, media_type
    return None


def remove(folder: Path, sha256: str) -> None:
    """Delete a stored picture; one that is gone already stays gone."""
    for suffix, _ in _KINDS.values():
        _path(folder, sha256, suffix).unlink(missing_ok=True)


def _path(folder: Path, sha256: str, suffix: str) -> Path:
    return folder / "snapshots" / sha256[:2] / f"{sha256}.{suffix}"
