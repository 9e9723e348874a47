"""One server per data folder: the second refuses with a sentence, and offline commands know when the store is taken."""

import fcntl
import os
from pathlib import Path
from types import TracebackType


class StoreTakenError(RuntimeError):
    """Another process holds the data folder."""


class StoreLock:
    """An advisory lock on `<data_dir>/server.lock`; the kernel frees it when the process dies, so a kill leaves nothing behind."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "server.lock"
        self._descriptor: int | None = None

    def __enter__(self) -> "StoreLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreTakenError(f"数据目录 {self._path.parent} 正被另一个服务进程使用（进程号 {holder or '未知'}），请先停止它。") from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
