"""What others learn of a commit of the watch: the board, and whoever waits for an answer."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from server.live.facts import AlarmFact, Fact, ReadingFact
from server.watch.inputs import Receipt

T = TypeVar("T")
Publish = Callable[[Sequence[Fact], int], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What the board and those who asked are told of a commit."""

    facts: Sequence[Fact]
    answers: Sequence[tuple["Future[Any]", Any]]
    at: int

    def tell(self, publish: Publish) -> None:
        """The board first: whoever gets an answer finds its outcome there."""
        try:
            if self.facts:
                publish(self.facts, self.at)
        finally:
            for future, answer in self.answers:
                if future.set_running_or_notify_cancel():
                    future.set_result(answer)

    def halves(self) -> tuple["Told", "Told"]:
        """News, with the answers to people; and readings that no alarm speaks of (a board passes over one that is older than what it has), with the
        receipts of gateways."""
        alarmed = {fact.subject for fact in self.facts if isinstance(fact, AlarmFact)}
        points = {int(ident) for kind, _, ident in (subject.partition(":") for subject in alarmed) if kind == "point"}
        news, readings = _parted(self.facts, lambda fact: not isinstance(fact, ReadingFact) or fact.point_id in points)
        people, gateways = _parted(self.answers, lambda answer: not isinstance(answer[1], Receipt))
        return Told(news, people, self.at), Told(readings, gateways, self.at)


def _parted(these: Iterable[T], which: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    found: tuple[list[T], list[T]] = [], []
    for one in these:
        found[not which(one)].append(one)
    return found
