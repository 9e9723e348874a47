"""Guard against forged requests, and the headers that every answer carries."""

import hashlib
import re
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.web import problems
from server.web.auth import COOKIE

FIELD, HEADER = "form_token", "x-form-token"
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What a form of a foreign page can send without asking first; everything else needs CORS, which nobody gets here."""
_POST_FORM = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')
_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
SECURITY = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_YEAR = "max-age=31536000"


def token(cookie: str) -> str:
    """The token of a session's forms; it says nothing about the session's own token."""
    return hashlib.sha256(b"form of " + cookie.encode()).hexdigest()[:32]


def with_tokens(html: str, cookie: str) -> str:
    """A page whose forms carry the token. Texts of devices and people are escaped, so that none of them can look like a form."""
    field = f'<input type="hidden" name="{FIELD}" value="{token(cookie)}">'
    return _POST_FORM.sub(lambda found: found[0] + field, html)


class SameOrigin:
    """ASGI. A browser tells where an unsafe request comes from: Sec-Fetch-Site, or Origin on plain HTTP. One that comes from elsewhere is refused
    unless it brings a bearer key, which no browser adds by itself. A form that says neither and rides on a session must carry the page's token.
    """

    def __init__(self, app: ASGIApp, most_body: int) -> None:
        self.app, self._most = app, most_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sending = _Dressed(scope, send)
        headers = Headers(scope=scope)
        if scope["method"] in _SAFE or headers.get("authorization"):
            await self.app(scope, receive, sending)
            return
        verdict = _same_origin(headers)
        if verdict is None:
            verdict, receive = await self._by_token(Request(scope), receive)
        if verdict:
            await self.app(scope, receive, sending)
            return
        request = Request(scope)
        body = problems.document(request, 403, "请求来自别的网站，或页面已经过期。请从本系统的页面重新操作。", code="foreign_origin")
        await problems.answer(request, body)(scope, receive, sending)

    async def _by_token(self, request: Request, receive: Receive) -> tuple[bool, Receive]:
        cookie = request.cookies.get(COOKIE)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if cookie is None or kind not in _FORMS:
            return True, receive
        expected = token(cookie)
        if request.headers.get(HEADER) == expected:
            return True, receive
        body = await _read(receive, self._most)
        return expected.encode() in body, _again(body)


class _Dressed:
    """`send` with the security headers on the first message; an answer that says nothing about caches is not kept."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            if self._scope.get("scheme") == "https":
                headers.setdefault("strict-transport-security", _YEAR)
            if not self._scope["path"].startswith("/static/"):
                headers.setdefault("cache-control", "no-store")
        await self._send(message)


def _same_origin(headers: Headers) -> bool | None:
    """None: the request does not say."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return None if origin is None else urlsplit(origin).netloc == headers.get("host")


async def _read(receive: Receive, most: int) -> bytes:
    pieces, size, more = [], 0, True
    while more and size <= most:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
    return b"".join(pieces)


def _again(body: bytes) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive
