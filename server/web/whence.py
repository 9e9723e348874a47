"""From where a request comes: the address and the scheme behind trusted proxies, kept for the audit log and the limits of the same request."""

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from server.store import audit


def address(scope: Scope, trusted: Sequence[str]) -> str:
    """The client's address. X-Forwarded-For counts only as far as trusted proxies wrote it: what a client put into it himself does not."""
    peer = scope.get("client")
    here = str(peer[0]) if peer else ""
    hops = [hop.strip() for hop in ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",") if hop.strip()]
    while hops and is_trusted(here, trusted):
        here = hops.pop()
    return here[:45]


def scheme(scope: Scope, trusted: Sequence[str]) -> str:
    """By which scheme the client came: what a trusted proxy says in X-Forwarded-Proto, which ends TLS, else the connection's own."""
    peer = scope.get("client")
    said = ",".join(Headers(scope=scope).getlist("x-forwarded-proto")).rpartition(",")[2].strip().lower()
    return said if said in ("http", "https") and is_trusted(str(peer[0]) if peer else "", trusted) else str(scope["scheme"])


def verified_subject(request: Request, trusted: Sequence[str]) -> str:
    """Subject of the client certificate that one of our proxies has verified (X-Client-Verify, X-Client-Subject); "" without one."""
    peer = request.client.host if request.client else ""
    if request.headers.get("x-client-verify", "") != "SUCCESS" or not is_trusted(peer, trusted):
        return ""
    return request.headers.get("x-client-subject", "")


def readable(subject: str) -> str:
    r"""A subject as people read it: proxies write what is not ASCII as \xx (RFC 4514), byte by byte."""
    raw = re.sub(rb"\\([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), subject.encode("latin-1", "replace"))
    return raw.decode("utf-8", "replace")


def is_trusted(here: str, trusted: Sequence[str]) -> bool:
    """Whether an address belongs to one of these (addresses or CIDR), e.g. to our proxies."""
    try:
        found = ipaddress.ip_address(here)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in trusted)


class Whence:
    """ASGI: opens an origin for each request; who asks is filled in once he is known (auth.principal). The connection's own peer stays what it is:
    whether a certificate is believed depends on who handed it on.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = ()) -> None:
        self.app, self._trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the address, then pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origin = audit.Origin(address=address(scope, self._trusted))
        scope["scheme"] = scheme(scope, self._trusted)
        scope["state"] = {**scope.get("state", {}), "origin": origin}
        with audit.acting(origin):
            await self.app(scope, receive, send)
