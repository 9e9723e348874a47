"""Ledger checks of what people notice: messages that were due against those the SMS gateway accepted, alarms against a naive second opinion.

The alarm model here is written independently of `alarms/` on purpose: state rules only, one point at a time, a loop over its samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from contract.sample import PointKey
from simulators.ledger_verdict import Verdict


class Due(NamedTuple):
    """A message that somebody had to get: to this number, with every one of `words` in it, due at `at` (UTC ms, None: whenever)."""

    to: str
    words: tuple[str, ...]
    at: int | None = None


def check_messages(due: Iterable[Due], sent: Iterable[Mapping[str, object]], *, late_after_ms: int | None = None) -> Verdict:
    """Compare with the messages of GET /control/messages (only outbound-api counts).

    LOST: nobody sent it. DUP: sent more than once. GHOST: sent, but not due to anybody. WRONG: due, but this number should not have got it.
    LATE: accepted by the gateway more than `late_after_ms` after it was due.
    """
    wanted = list(due)
    verdict = Verdict("messages", checked=len(wanted))
    hits = [0] * len(wanted)
    for message in sent:
        if message["direction"] == "outbound-api":
            _match(verdict, wanted, hits, message, late_after_ms)
    for item, count in zip(wanted, hits, strict=True):
        name = f"{item.to} {' '.join(item.words)}"
        if count == 0:
            verdict.add("lost", name)
        elif count > 1:
            verdict.add("dup", name, count - 1)
    return verdict


def _match(verdict: Verdict, wanted: Sequence[Due], hits: list[int], message: Mapping[str, object], late_after_ms: int | None) -> None:
    """Assign one message to the due item it answers; of several equal ones to the first that has none yet."""
    body, to, created = str(message["body"]), str(message["to"]), int(str(message["created_at"]))
    fitting = [i for i, item in enumerate(wanted) if all(word in body for word in item.words)]
    mine = [i for i in fitting if wanted[i].to == to]
    if not mine:
        verdict.add("wrong" if fitting else "ghost", f"{to} {body[:40]}")
        return
    chosen = min(mine, key=lambda i: hits[i])
    hits[chosen] += 1
    at = wanted[chosen].at
    if late_after_ms is not None and at is not None and created - at > late_after_ms:
        verdict.add("late", f"{to} +{created - at} ms")


class Reading(Protocol):
    """What is needed of an accepted sample."""

    @property
    def point(self) -> str:
        """Point key as text."""

    @property
    def taken_at(self) -> int:
        """UTC ms."""

    @property
    def value(self) -> float | None:
        """None for a BAD sample."""


class Episode(NamedTuple):
    """One alarm of a point: when it was raised and when its condition ended (None: it still holds)."""

    point: str
    raised_at: int
    cleared_at: int | None


def expected_episodes(
    accepted: Iterable[Reading], quantity: str, *, equals: float = 1.0, on_delay_ms: int = 0, off_delay_ms: int = 0, until: int | None = None
) -> list[Episode]:
    """The episodes that a state rule `equals` with these delays must have produced, by point and time.

    A sample without value says nothing: it neither raises nor clears. `until` is when the run ended, for delays that ran out after the last sample
    (None: the last sample of the point). Silence is not modelled: the points of such a test keep sending.
    """
    by_point: dict[str, list[tuple[int, float]]] = {}
    for sample in accepted:
        if sample.value is not None and PointKey.parse(sample.point).quantity == quantity:
            by_point.setdefault(sample.point, []).append((sample.taken_at, sample.value))
    episodes: list[Episode] = []
    for point, samples in sorted(by_point.items()):
        samples.sort()
        spans = _spans(samples, equals, samples[-1][0] if until is None else until)
        episodes += _joined(point, spans, on_delay_ms, off_delay_ms)
    return episodes


def _spans(samples: Sequence[tuple[int, float]], equals: float, until: int) -> list[tuple[bool, int, int]]:
    """(in breach, from, to) of each run of equal judgement; `to` is the first instant that is not in it."""
    spans: list[tuple[bool, int, int]] = []
    for taken_at, found in samples:
        breach = found == equals
        if spans and spans[-1][0] == breach:
            continue
        if spans:
            spans[-1] = (*spans[-1][:2], taken_at)
        spans.append((breach, taken_at, until + 1))
    return spans


def _joined(point: str, spans: Iterable[tuple[bool, int, int]], on_delay_ms: int, off_delay_ms: int) -> list[Episode]:
    """Apply the delays: a breach longer than on_delay raises, a calm longer than off_delay ends; a sample at the end of a delay cancels it."""
    episodes: list[Episode] = []
    raised: int | None = None
    for breach, start, end in spans:
        if breach and raised is None and end - start > on_delay_ms:
            raised = start + on_delay_ms
        elif not breach and raised is not None and end - start > off_delay_ms:
            episodes.append(Episode(point, raised, start + off_delay_ms))
            raised = None
    if raised is not None:
        episodes.append(Episode(point, raised, None))
    return episodes


def check_alarms(expected: Iterable[Episode], found: Iterable[Episode], *, tolerance_ms: int = 0) -> Verdict:
    """Compare alarm rows with the expected episodes.

    LOST: never raised. DUP: raised more than once. GHOST: raised without cause. WRONG: the end differs by more than `tolerance_ms`.
    LATE: raised later than allowed, but before the next expected episode of the point.
    """
    by_point: dict[str, list[Episode]] = {}
    for episode in found:
        by_point.setdefault(episode.point, []).append(episode)
    verdict = Verdict("alarms")
    pending: dict[str, list[Episode]] = {}
    for episode in expected:
        pending.setdefault(episode.point, []).append(episode)
        verdict.checked += 1
    for point in sorted(by_point.keys() | pending.keys()):
        _check_point(verdict, sorted(pending.get(point, []), key=_raised), sorted(by_point.get(point, []), key=_raised), tolerance_ms)
    return verdict


def _raised(episode: Episode) -> int:
    return episode.raised_at


def _check_point(verdict: Verdict, expected: Sequence[Episode], found: Sequence[Episode], tolerance_ms: int) -> None:
    """Give each row to the last expected episode that had begun (within the tolerance), then judge each episode by its rows."""
    rows: list[list[Episode]] = [[] for _ in expected]
    for row in found:
        begun = [i for i, episode in enumerate(expected) if episode.raised_at - tolerance_ms <= row.raised_at]
        if not begun:
            verdict.add("ghost", f"{row.point}@{row.raised_at}")
            continue
        rows[begun[-1]].append(row)
    for episode, mine in zip(expected, rows, strict=True):
        _judge(verdict, episode, mine, tolerance_ms)


def _judge(verdict: Verdict, episode: Episode, rows: Sequence[Episode], tolerance_ms: int) -> None:
    name = f"{episode.point}@{episode.raised_at}"
    if not rows:
        verdict.add("lost", name)
        return
    first, *others = rows
    end = episode.cleared_at
    for row in others:
        after = end is not None and row.raised_at > end + tolerance_ms
        verdict.add("ghost" if after else "dup", f"{row.point}@{row.raised_at}")
    if first.raised_at - episode.raised_at > tolerance_ms:
        over = end is not None and first.raised_at > end + tolerance_ms
        verdict.add("late", f"{name} +{first.raised_at - episode.raised_at} ms{' after its end' if over else ''}")
    if (first.cleared_at is None) != (end is None) or (end is not None and abs((first.cleared_at or 0) - end) > tolerance_ms):
        verdict.add("wrong", f"{name} ended {first.cleared_at} instead of {end}")
