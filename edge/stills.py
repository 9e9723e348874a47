"""Camera stills to the server: POST /api/v1/snapshots, in the background, with hash and time. Nothing waits for it.

An ordinary still that cannot be delivered is replaced by the next. Those of an alarm, from before and after it, are kept apart in a bounded ring and
go first; when the line is down for long, the oldest of them give way.
"""

import asyncio
import hashlib
import logging
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import httpx

_log = logging.getLogger("edge.stills")

_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = (5.0, 300.0)
_MOST_EVIDENCE: Final = 200
_MOST_EVIDENCE_BYTES: Final = 48 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Still:
    """A JPEG. `taken_at` is UTC ms, `verdict` the word for what the camera's picture is like."""

    device: str
    room: str
    taken_at: int
    picture: bytes
    verdict: str


@dataclass(slots=True)
class Counters:
    """Since start."""

    delivered: int = 0
    failed: int = 0
    replaced: int = 0
    evidence_lost: int = 0


class Stills:
    """One still per camera waits at most. `url` is the server's address without path, `every_s` the least distance of two stills of one view."""

    def __init__(self, url: str, gateway: str, token: str, every_s: float = 60, keep_before: int = 3) -> None:
        self.counters = Counters()
        self.trouble = ""
        self._url = url.rstrip("/") + "/api/v1/snapshots"
        self._gateway, self._token, self._every_ms = gateway, token, every_s * 1000
        self._offered: dict[str, tuple[float, str]] = {}
        self._waiting: dict[str, Still] = {}
        self._recent: dict[str, deque[Still]] = {}
        self._evidence: deque[Still] = deque()
        self._evidence_bytes = 0
        self._keep_before = keep_before
        self._news = asyncio.Event()
        self._pause_s = _PAUSE_S[0]

    def offer(self, still: Still, mono: float) -> None:
        """Queue a still in the place of an older one of its camera, unless the last one is recent (`mono`, ms) and looked alike."""
        if self._keep_before:
            self._recent.setdefault(still.device, deque(maxlen=self._keep_before)).append(still)
        at, verdict = self._offered.get(still.device, (float("-inf"), ""))
        if verdict == still.verdict and mono - at < self._every_ms:
            return
        self._offered[still.device] = (mono, still.verdict)
        self.counters.replaced += self._waiting.pop(still.device, None) is not None
        self._waiting[still.device] = still
        self._news.set()

    def before(self, device: str, why: str) -> None:
        """An alarm: what this camera saw last is evidence now."""
        for still in self._recent.pop(device, ()):
            self.evidence(replace(still, verdict=f"before:{why}"))

    def evidence(self, still: Still) -> None:
        """Queue a still of an alarm."""
        self._evidence.append(still)
        self._evidence_bytes += len(still.picture)
        while len(self._evidence) > _MOST_EVIDENCE or self._evidence_bytes > _MOST_EVIDENCE_BYTES:
            self._evidence_bytes -= len(self._evidence.popleft().picture)
            self.counters.evidence_lost += 1
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, headers={"Authorization": f"Bearer {self._token}"}) as client:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting or self._evidence:
                    if not await self.run_once(client):
                        await asyncio.sleep(self._pause_s)
                        self._pause_s = min(2 * self._pause_s, _PAUSE_S[1])

    async def run_once(self, client: httpx.AsyncClient) -> bool:
        """Deliver the still that has waited longest; False when the server did not take it."""
        urgent = bool(self._evidence)
        still = self._evidence[0] if urgent else self._waiting.pop(next(iter(self._waiting)))
        device = still.device
        try:
            answer = await client.post(self._url, data=self._form(still), files={"file": (f"{device}.jpg", still.picture, "image/jpeg")})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            self.counters.failed += 1
            if not urgent:
                self._waiting.setdefault(device, still)
            if not self.trouble:
                _log.warning("画面送不到服务器：%s；采集不受影响", error)
            self.trouble = str(error)
            return False
        if urgent and self._evidence and self._evidence[0] is still:
            self._evidence_bytes -= len(self._evidence.popleft().picture)
        if self.trouble:
            _log.info("画面恢复上送")
        self.trouble, self._pause_s = "", _PAUSE_S[0]
        self.counters.delivered += 1
        return True

    def _form(self, still: Still) -> dict[str, str]:
        return {
            "sha256": hashlib.sha256(still.picture).hexdigest(),
            "taken_at": datetime.fromtimestamp(still.taken_at / 1000, UTC).isoformat(timespec="milliseconds"),
            "gateway": self._gateway,
            "device": still.device,
            "room": still.room,
            "reason": still.verdict[:24],
        }
