"""An OpenID Connect provider: discovery, keys, authorization code with PKCE, signed ID tokens. Stands for the province's 统一身份认证.

Whoever comes to /authorize is signed in at once as `person`; a real provider would ask. `twist` changes one thing of the next tokens, so that a
client which does not look is found out: nonce, audience, issuer, expired, key (signed by another key), unsigned.
"""

import argparse
import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

LIFE_S = 300


@dataclass(slots=True)
class Grant:
    """What a code stands for."""

    client: str
    redirect: str
    nonce: str
    challenge: str
    person: dict[str, Any] = field(default_factory=dict)


class OidcProvider:
    """The provider on a port of 127.0.0.1; `clients` maps ids to secrets, `person` holds the claims of whoever signs in. `clock` gives seconds."""

    def __init__(self, clients: dict[str, str], person: dict[str, Any], *, port: int = 0) -> None:
        self.clients, self.person, self.twist = clients, person, ""
        self.clock: Callable[[], int] = lambda: int(time.time())
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})
        self._grants: dict[str, Grant] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        """Status, headers, body of a GET."""
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            return 200, {}, {"issuer": self.issuer, **{name: self.issuer + end for name, end in ends.items()}}
        if path == "/keys":
            return 200, {}, {"keys": [self.key.as_dict(private=False)]}
        if path == "/authorize" and query.get("client_id") in self.clients and query.get("code_challenge_method") == "S256":
            code = secrets.token_urlsafe(16)
            redirect = query["redirect_uri"]
            self._grants[code] = Grant(query["client_id"], redirect, query.get("nonce", ""), query["code_challenge"], dict(self.person))
            return 302, {"Location": f"{redirect}?{urlencode({'code': code, 'state': query.get('state', '')})}"}, {}
        return 404, {}, {"error": "not_found"}

    def token(self, form: dict[str, str], client: str, secret: str) -> tuple[int, dict[str, str], Any]:
        """Trade a code, once, for tokens."""
        if not secret or self.clients.get(client) != secret:
            return 401, {}, {"error": "invalid_client"}
        grant = self._grants.pop(form.get("code", ""), None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        if grant is None or grant.client != client or grant.redirect != form.get("redirect_uri") or grant.challenge != proof:
            return 400, {}, {"error": "invalid_grant"}
        return 200, {}, {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": LIFE_S, "id_token": self._signed(grant)}

    def _signed(self, grant: Grant) -> str:
        now = self.clock()
        claims = {"iss": self.issuer, "sub": "1", "aud": grant.client, "iat": now, "exp": now + LIFE_S, "nonce": grant.nonce, **grant.person}
        twists: dict[str, dict[str, Any]] = {
            "nonce": {"nonce": "another"}, "audience": {"aud": "another"}, "issuer": {"iss": "http://another"}, "expired": {"exp": now - 3_600},
        }  # fmt: skip
        claims |= twists.get(self.twist, {})
        if self.twist == "unsigned":
            parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims)]
            return ".".join([*parts, ""])
        key = RSAKey.generate_key(2048, {"kid": str(self.key.kid)}) if self.twist == "key" else self.key
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)


def _handler(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(*provider.get(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            scheme, _, given = self.headers.get("Authorization", "").partition(" ")
            basic = base64.b64decode(given).decode().partition(":") if scheme == "Basic" else ("", "", "")
            self._answer(*provider.token(form, basic[0] or form.get("client_id", ""), basic[2] or form.get("client_secret", "")))

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

        def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim oidc`."""
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--client", default="archivewatch")
    parser.add_argument("--secret", default="simulated-secret", help="only for simulations")
    parser.add_argument("--person", default="P-0001", help="whoever signs in: preferred_username of the ID token")


def main(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    with OidcProvider({args.client: args.secret}, {"preferred_username": args.person}, port=args.port) as provider:
        print(f"issuer {provider.issuer}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0
