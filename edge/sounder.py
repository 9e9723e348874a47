"""Telling a local alarm: the log, a file beside the spool, and a program of the installer's choice (siren, relay, modem)."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from edge.guard import LocalAlarm

_log = logging.getLogger("edge.guard")
_TIMEOUT_S: Final = 30


class Sounder:
    """`command` gets each alarm as one JSON object on its standard input; empty: there is none."""

    def __init__(self, path: Path, command: Sequence[str]) -> None:
        self._path, self._command = path, tuple(command)
        self._running: set[asyncio.Task[None]] = set()

    def tell(self, alarm: LocalAlarm) -> None:
        """Log, write down, start the program. One that fails or hangs is told in the log and ended; nothing waits for it."""
        text = json.dumps(asdict(alarm), ensure_ascii=False)
        _log.warning("本地告警 %s", text)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            _log.warning("%s: %s", self._path, error.strerror)
        if self._command:
            task = asyncio.get_running_loop().create_task(self._run(text))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait for the programs that run."""
        await asyncio.gather(*self._running)

    async def _run(self, text: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
        except OSError as error:
            _log.error("本地告警程序 %s 不能运行：%s", self._command[0], error.strerror)
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await process.communicate(text.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
        if process.returncode:
            _log.error("本地告警程序 %s 失败（%s）", self._command[0], process.returncode)
