"""What a still tells about the camera that took it: devices.md 11.5 as pure functions on a 64x36 grey thumbnail.

Codes are those of the quantity `camera`: 0 ok, 1 no picture, 2 black, 3 white, 4 covered, 5 blurred, 6 moved, 7 frozen. A verdict counts after
`raise_n` pictures in a row, and `clear_n` good ones end it; "no picture" and recovery from it count at once: they are facts and no judgements.
"""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from PIL import Image, UnidentifiedImageError

from contract.profile_transport import Tamper

OK, NO_PICTURE, BLACK, WHITE, COVERED, BLURRED, MOVED, FROZEN = range(8)
WIDTH, HEIGHT = 64, 36
_SATURATED: Final = 250
_EDGE: Final = 20  # grey steps between neighbours
_USUAL_FROM: Final = 10  # pictures of an hour of the day before its median is worth something
_USUAL_KEPT: Final = 7 * 60  # of one hour of the day: a week at one picture a minute
_MAX_PIXELS: Final = 40_000_000


class NoPictureError(ValueError):
    """The bytes are no usable picture; the text is one phrase."""


@dataclass(frozen=True, slots=True)
class Features:
    """One picture in numbers: brightness, contrast and detail of its thumbnail, and the digest of its bytes."""

    mean: float
    deviation: float
    saturated: float
    edges: int
    sharpness: float
    digest: str
    grey: bytes


def features(picture: bytes, least: int) -> Features:
    """Look at a JPEG of at least `least` bytes. Raises NoPictureError."""
    if len(picture) < least:
        raise NoPictureError(f"只有 {len(picture)} 字节")
    if b"\xff\xd9" not in picture[-64:]:
        raise NoPictureError("图片不完整")
    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise NoPictureError("图片过大")
            image.draft("L", (4 * WIDTH, 4 * HEIGHT))  # lets the decoder skip detail that the thumbnail cannot hold
            grey = image.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR).tobytes()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise NoPictureError("不是图片") from error
    return _measured(grey, hashlib.sha256(picture).hexdigest())


def _measured(grey: bytes, digest: str) -> Features:
    count = len(grey)
    mean = sum(grey) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in grey) / count)
    steps = [abs(grey[at] - grey[at + 1]) for at in range(count - 1) if (at + 1) % WIDTH]
    return Features(
        mean, deviation, sum(value >= _SATURATED for value in grey) / count, sum(step > _EDGE for step in steps), _laplacian(grey), digest, grey
    )


def _laplacian(grey: bytes) -> float:
    """Variance of the Laplacian, the usual measure of focus."""
    found = [
        4 * grey[at] - grey[at - 1] - grey[at + 1] - grey[at - WIDTH] - grey[at + WIDTH]
        for row in range(1, HEIGHT - 1)
        for at in range(row * WIDTH + 1, row * WIDTH + WIDTH - 1)
    ]
    mean = sum(found) / len(found)
    return sum((value - mean) ** 2 for value in found) / len(found)


def correlation(one: bytes, other: bytes) -> float:
    """Normalised correlation of two thumbnails, -1..1; 0 when one of them is flat."""
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    top = sum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    bottom = math.sqrt(sum((a - mean_one) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other))
    return top / bottom if bottom else 0.0


@dataclass(slots=True)
class Watch:
    """The memory of one camera: the verdict that stands, the one that is forming, what is usual at each hour, the reference view."""

    verdict: int = OK
    forming: int = OK
    times: int = 0
    last: Features | None = None
    same: int = 0
    reference: bytes | None = None
    usual: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def failed(self) -> int:
        """No picture this time."""
        self.verdict, self.forming, self.times, self.last, self.same = NO_PICTURE, NO_PICTURE, 0, None, 0
        return self.verdict

    def seen(self, found: Features, hour: int, rule: Tamper) -> int:
        """One more picture; `hour` is the hour of the day. Returns the verdict that stands now."""
        self.same = self.same + 1 if self.last is not None and self.last.digest == found.digest else 1
        self.last = found
        code = self._judge(found, hour, rule)
        if code == OK:
            self._remember(found, hour)
        if self.verdict == NO_PICTURE:
            self.verdict = OK
        self.times = self.times + 1 if code == self.forming else 1
        self.forming = code
        if code == FROZEN or self.times >= (rule.clear_n if code == OK else rule.raise_n):
            self.verdict = code
        return self.verdict

    def _judge(self, found: Features, hour: int, rule: Tamper) -> int:
        edges, sharpness = _usual(self.usual.get(hour, ()))
        checks: Mapping[int, bool] = {
            FROZEN: self.same >= rule.frozen_n,
            BLACK: found.mean < rule.black_mean and found.deviation < rule.black_deviation,
            WHITE: found.mean > rule.white_mean or found.saturated > rule.white_share,
            COVERED: found.deviation < rule.covered_deviation or found.edges < rule.covered_edge_share * edges,
            BLURRED: found.sharpness < rule.blurred_share * sharpness,
            MOVED: self.reference is not None and correlation(self.reference, found.grey) < rule.moved_correlation,
        }
        return next((code for code, true in checks.items() if true), OK)

    def _remember(self, found: Features, hour: int) -> None:
        kept = self.usual.setdefault(hour, [])
        kept.append((found.edges, found.sharpness))
        del kept[:-_USUAL_KEPT]
        if self.reference is None:
            self.reference = found.grey  # only a person gives another one


def _usual(kept: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Median edges and sharpness; 0, against which nothing is too little, while there are too few pictures."""
    if len(kept) < _USUAL_FROM:
        return 0.0, 0.0
    return median(edges for edges, _ in kept), median(sharpness for _, sharpness in kept)
