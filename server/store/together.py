"""One commit for what several threads want to write at the same moment: a commit waits for the disk, and only one can be under way."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from server.store.session import Database

T = TypeVar("T")
_Wish = tuple[Callable[[Session], Any], Future[Any]]


class Together:
    """Write transactions that are small and do not depend on each other. Safe from any thread.

    Whoever finds nobody waiting waits for the writers' turn, and takes along whoever has come meanwhile.
    """

    def __init__(self, db: Database) -> None:
        self._db, self._lock = db, threading.Lock()
        self._waiting: list[_Wish] = []

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction, perhaps beside others. Returns when it is committed.

        Raises what `work` or the commit raised. Beside one that fails `work` is run a second time, in a transaction of its own: it must do nothing
        but read and write in the session.
        """
        mine = Future[T]()
        with self._lock:
            leads = not self._waiting
            self._waiting.append((work, mine))
        if leads:
            self._commit()
        return mine.result()

    def _commit(self) -> None:
        batch: Sequence[_Wish] = ()
        try:
            with self._db.write() as session:
                batch = self._take()
                answers = [work(session) for work, _ in batch]
        except Exception as error:
            batch = batch or self._take()
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:
                for wish in batch:
                    self._alone(*wish)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)

    def _take(self) -> Sequence[_Wish]:
        with self._lock:
            batch, self._waiting = self._waiting, []
        return batch

    def _alone(self, work: Callable[[Session], Any], future: Future[Any]) -> None:
        try:
            with self._db.write() as session:
                answer = work(session)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(answer)
