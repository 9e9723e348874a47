"""Keeps the broker's files equal to the table of gateways: whoever was claimed gets in, whoever was revoked is put out, within seconds."""

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from sqlalchemy.orm import Session

from server.files import write_whole
from server.org.broker_files import Client, Host
from server.org.gateway_access import mosquitto_digest, nats_digest
from server.store import gateway_access
from server.store.session import Database

log = logging.getLogger("server.org.broker_access")

RELOAD_S = 20
_DIGESTS: Mapping[str, Callable[[str], str]] = {"mosquitto": mosquitto_digest, "nats": nats_digest}


class BrokerReloadError(RuntimeError):
    """The broker could not be told to read its files again."""


def clients(session: Session, kind: str) -> list[Client]:
    """Those whom a broker of that kind lets in."""
    return [Client(gateway.code, gateway.group_id, getattr(credential, kind)) for gateway, credential in gateway_access.admitted(session)]


@lru_cache(maxsize=4)
def _digest(kind: str, password: str) -> str:
    # Made once a process: a fresh salt each time would make the files differ for ever.
    return _DIGESTS[kind](password)


def host(kind: str, username: str, password: str, host_id: str, groups: tuple[str, ...]) -> Host:
    """The server as a client of its own broker."""
    return Host(username, _digest(kind, password), host_id, groups)


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write what differs, each file whole or not at all, readable by owner and group alone. Returns their names."""
    changed = []
    for name, content in files.items():
        path = folder / name
        if path.is_file() and path.read_text("utf-8") == content:
            continue
        write_whole(path, content.encode(), 0o640)
        changed.append(name)
    return changed


class BrokerAccess:
    """`render` makes the files of the present clients; those in `names` are kept equal to it, the rest is the operator's after the first time."""

    def __init__(
        self, db: Database, folder: Path, kind: str, render: Callable[[Sequence[Client]], Mapping[str, str]], names: tuple[str, ...],
        reload: Sequence[str],
    ) -> None:  # fmt: skip
        self._db, self._folder, self._kind, self._render, self._names, self._reload = db, folder, kind, render, names, reload
        self._owed = False

    def run_once(self, _now: int) -> bool:
        """Write what has changed and have the broker read it. Raises BrokerReloadError; the next call tries that again."""
        with self._db.read() as session:
            files = self._render(clients(session, self._kind))
        changed = write(self._folder, {name: files[name] for name in self._names})
        if changed:
            log.info("files of the broker changed: %s", ", ".join(changed))
        self._owed = self._owed or bool(changed)
        if self._owed and self._reload:
            try:
                subprocess.run(self._reload, check=True, capture_output=True, timeout=RELOAD_S)
            except (OSError, subprocess.SubprocessError) as error:
                raise BrokerReloadError(f"{' '.join(self._reload)}: {error}") from error
        self._owed = False
        return bool(changed)
