"""How often somebody may ask: a bucket per kind of request and asker that refills by the minute. What is too much gets a clear 429."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.store import audit
from server.web import problems
from server.web.auth import COOKIE, TERMINAL
from server.web.services import Rates

MOST_ASKERS = 20_000
_SIGN_IN = ("/login", "/api/v1/session")
_FREE = re.compile(r"/static/|/healthz$|/readyz$|/metrics$|/callbacks/")
_EXPORTS = re.compile(r"GET /api/v1/(reports/|audit/export)|POST (/api/v1/exports|/papers|/rooms/[^/]+/history/export|/api/v1/rules/backtest)$")
_SENTENCES = {
    "sign_in": "这个地址登录失败的次数太多，请稍后再试。",
    "requests": "请求过于频繁，请稍后再试。",
    "exports": "报表和导出要得过于频繁，请稍后再试。",
}


class Buckets:
    """Tokens by kind and asker. Instants UTC ms. Those who have not asked for longest are forgotten: a full bucket is what a new asker gets."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def wait(self, kind: str, who: str, rate: int, now: int, *, take: bool = True) -> int:
        """Take a token; 0, or how many seconds to wait for the next. `take=False` only looks."""
        if not rate:
            return 0
        left, seen = self._held.pop((kind, who), (float(rate), now))
        left = min(float(rate), left + max(0, now - seen) * rate / 60_000)
        enough = left >= 1
        self._held[(kind, who)] = (left - 1 if enough and take else left, max(now, seen))
        if len(self._held) > MOST_ASKERS:
            self._held.popitem(last=False)
        return 0 if enough else max(1, -int(-(1 - left) * 60 // rate))


class Known:
    """Which credential proved to be whose: by its digest, the public part of the session, key or terminal that it opened."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, str] = OrderedDict()

    def asker(self, request: Request, address: str) -> str:
        """The proven session; else the address, so that a made-up cookie buys nothing."""
        return self._held.get(_digest(request), address)

    def learn(self, request: Request, session: str) -> None:
        """The request has been answered to this session."""
        self._held[_digest(request)] = session
        self._held.move_to_end(_digest(request))
        if len(self._held) > MOST_ASKERS:
            self._held.popitem(last=False)


def _digest(request: Request) -> str:
    held = request.headers.get("authorization") or request.cookies.get(COOKIE) or request.cookies.get(TERMINAL) or ""
    return hashlib.sha256(held.encode()).hexdigest()


class RateLimit:
    """ASGI. Stands behind `Whence`, which knows the address, and before the sign-in is looked at: who was known the last time has his own bucket."""

    def __init__(self, app: ASGIApp, rates: Rates, clock: Callable[[], int]) -> None:
        self.app, self._rates, self._clock, self._buckets, self._known = app, rates, clock, Buckets(), Known()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, then pass on or refuse."""
        if scope["type"] != "http" or _FREE.match(scope["path"]):
            await self.app(scope, receive, send)
            return
        request, now, origin = Request(scope), self._clock(), audit.origin()
        trying = scope["method"] == "POST" and scope["path"] in _SIGN_IN
        kind, wait = self._wait(request, origin.address, now, trying=trying)
        if wait:
            extra = {"Retry-After": str(wait)}
            body = problems.document(request, 429, _SENTENCES[kind], code="rate_limited", retry_after_s=wait)
            await problems.answer(request, body, extra)(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                if trying and message["status"] in (401, 429):
                    self._buckets.wait("sign_in", origin.address, self._rates.sign_in, now)
                if origin.session:
                    self._known.learn(request, origin.session)
            await send(message)

        await self.app(scope, receive, counted)

    def _wait(self, request: Request, address: str, now: int, *, trying: bool) -> tuple[str, int]:
        if trying:
            return "sign_in", self._buckets.wait("sign_in", address, self._rates.sign_in, now, take=False)
        who = self._known.asker(request, address)
        wait = self._buckets.wait("requests", who, self._rates.requests, now)
        if not wait and _EXPORTS.match(f"{request.method} {request.url.path}"):
            return "exports", self._buckets.wait("exports", who, self._rates.exports, now)
        return "requests", wait
