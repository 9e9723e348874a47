"""Talk to the running server from a command: commands that need the store call it, and open the store themselves only when no server holds it.

The server leaves a key in its data folder, readable by its own user alone; whoever may read that folder could read the database as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from server.commands import FAILED, INVALID, NOT_FOUND, UNREACHABLE, CommandError
from server.settings import Settings
from server.store.lock import StoreLock, StoreTakenError

TOKEN_FILE = "cli.token"  # noqa: S105 - a file name
_EXIT = {404: NOT_FOUND, 409: INVALID, 422: INVALID, 503: UNREACHABLE}


@contextmanager
def server_or_store(settings: Settings, *, timeout_s: float = 600) -> Iterator[httpx.Client | None]:
    """A client of the running server, or None with the store's lock held, so that the caller may open the store himself.

    Raises CommandError (5) when a server holds the lock but left no key.
    """
    lock = StoreLock(settings.data_dir)
    try:
        held = lock.__enter__()
    except StoreTakenError:
        held = None
    if held is not None:
        try:
            yield None
        finally:
            held.__exit__(None, None, None)
        return
    try:
        key = (settings.data_dir / TOKEN_FILE).read_text("utf-8").strip()
    except OSError as error:
        raise CommandError(f"数据目录被占用，但读不到 {TOKEN_FILE}：{error.strerror}", UNREACHABLE) from error
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://{settings.listen}", headers=headers, timeout=timeout_s, trust_env=False) as client:
        yield client


@contextmanager
def running_server(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the running server, for what only a server can do. Raises CommandError (5) when none runs."""
    with server_or_store(settings) as client:
        if client is None:
            raise CommandError("要经过运行中的服务：请先启动 archivewatch serve。", UNREACHABLE)
        yield client


def ask(client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response:
    """One request to the running server. Raises CommandError with the server's sentence and the matching exit code."""
    try:
        response = client.request(method, f"/api/v1{path}", **options)  # type: ignore[arg-type]
    except httpx.HTTPError as error:
        raise CommandError(f"服务没有应答：{error}", UNREACHABLE) from error
    if response.is_error:
        problem = response.headers.get("content-type", "").startswith("application/problem+json")
        sentence = response.json()["detail"] if problem else f"HTTP {response.status_code}"
        raise CommandError(sentence, _EXIT.get(response.status_code, FAILED))
    return response
