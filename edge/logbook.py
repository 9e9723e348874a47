"""The gateway's logbook: what happened to it and on it, kept on its disk until the server has it.

Readings go through the spool; what is said here is said once: a write and its outcome, a local alarm, a spool that was replaced, gave up readings or
fills up, a clock that jumped. Entries travel as `Event/Entry` of NDATA and are repeated until the server names their ids; the server keeps each id
once. Any thread may add; the storage thread takes and acknowledges.
"""

import json
import logging
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from edge.statefile import write_atomic

_log = logging.getLogger("edge.logbook")
_MOST: Final = 1_000  # entries; a server that was away for months learns of the newest


class Logbook:
    """`path` is the file that keeps what the server has not; `wake` is called after each entry."""

    def __init__(self, path: Path) -> None:
        self._path, self._guard = path, threading.Lock()
        self._entries: dict[str, str] = {}
        self.dropped = 0
        try:
            self._entries = {entry["id"]: json.dumps(entry, ensure_ascii=False) for entry in json.loads(path.read_text(encoding="utf-8"))}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s 读不出来（%s），从空白开始", path.name, error)

    def add(self, kind: str, now: int, **detail: Any) -> None:
        """Note what happened at `now` (UTC ms). A disk that refuses keeps it in memory only."""
        entry = {"id": secrets.token_hex(8), "at": now, "kind": kind, **detail}
        _log.info("记事 %s %s", kind, detail)
        with self._guard:
            self._entries[entry["id"]] = json.dumps(entry, ensure_ascii=False)
            while len(self._entries) > _MOST:
                self._entries.pop(next(iter(self._entries)))
                self.dropped += 1
            self._save()

    def waiting(self, most: int) -> list[str]:
        """The oldest entries that the server has not, as JSON."""
        with self._guard:
            return [text for text, _ in zip(self._entries.values(), range(most), strict=False)]

    def outcomes(self) -> Mapping[str, dict[str, Any]]:
        """Outcomes of writes that the server does not know yet, by the id of their order: they are not carried out again after a restart."""
        with self._guard:
            entries = [json.loads(text) for text in self._entries.values()]
        return {
            entry["order"]: {key: value for key, value in entry.items() if key not in ("id", "at", "kind")} for entry in entries if "order" in entry
        }

    def acknowledged(self, ids: Iterable[str]) -> None:
        """The server has these."""
        with self._guard:
            known = [self._entries.pop(ident) for ident in ids if ident in self._entries]
            if known:
                self._save()

    def __len__(self) -> int:
        return len(self._entries)

    def _save(self) -> None:
        try:
            write_atomic(self._path, f"[{','.join(self._entries.values())}]", durable=True)
        except OSError as error:
            _log.warning("%s: %s", self._path.name, error.strerror)
