"""Camera stills to the server: POST /api/v1/snapshots, in the background. Nothing waits for it; what cannot be delivered is replaced by the next."""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

_log = logging.getLogger("edge.stills")

_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = (5.0, 300.0)


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


class Stills:
    """One still per camera waits at most. `url` is the server's address without path, `every_s` the least distance of two stills of one view."""

    def __init__(self, url: str, gateway: str, token: str, every_s: float = 60) -> None:
        self.counters = Counters()
        self.trouble = ""
        self._url = url.rstrip("/") + "/api/v1/snapshots"
        self._gateway, self._token, self._every_ms = gateway, token, every_s * 1000
        self._offered: dict[str, tuple[float, str]] = {}
        self._waiting: dict[str, Still] = {}
        self._news = asyncio.Event()
        self._pause_s = _PAUSE_S[0]

    def offer(self, still: Still, mono: float) -> None:
        """Queue a still in the place of an older one of its camera, unless the last one is recent (`mono`, ms) and looked alike."""
        at, verdict = self._offered.get(still.device, (float("-inf"), ""))
        if verdict == still.verdict and mono - at < self._every_ms:
            return
        self._offered[still.device] = (mono, still.verdict)
        self.counters.replaced += self._waiting.pop(still.device, None) is not None
        self._waiting[still.device] = still
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, headers={"Authorization": f"Bearer {self._token}"}) as client:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    if not await self.run_once(client):
                        await asyncio.sleep(self._pause_s)
                        self._pause_s = min(2 * self._pause_s, _PAUSE_S[1])

    async def run_once(self, client: httpx.AsyncClient) -> bool:
        """Deliver the still that has waited longest; False when the server did not take it."""
        device = next(iter(self._waiting))
        still = self._waiting.pop(device)
        try:
            answer = await client.post(self._url, data=self._form(still), files={"file": (f"{device}.jpg", still.picture, "image/jpeg")})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            self.counters.failed += 1
            self._waiting.setdefault(device, still)
            if not self.trouble:
                _log.warning("画面送不到服务器：%s；采集不受影响", error)
            self.trouble = str(error)
            return False
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
            "reason": still.verdict,
        }
