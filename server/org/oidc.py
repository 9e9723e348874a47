"""Sign-in through a provider by OpenID Connect: authorization code with state, nonce and PKCE (S256); Authlib speaks the protocol.

Who somebody is comes from one claim of the signed ID token, e.g. his staff number: it must be the code of a person here who has an account. The
provider proves who he is, never what he may do. Instants are UTC ms.
"""

import hashlib
import secrets
import threading
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization
from sqlalchemy import delete
from sqlalchemy.orm import Session

from server import net_guard
from server.org.vouching import ProviderError, ProviderSettings, Vouched
from server.store.session import Database
from server.store.tables_security import OidcRequest

ALGORITHMS = ["RS256", "ES256", "PS256"]
TEN_MINUTES_MS = 600_000
LEEWAY_S = 60
_TIMEOUT_S = 10
STRONG = frozenset({"mfa", "otp", "hwk", "swk", "sc", "pin+hwk"})
"""Values of `amr` (RFC 8176) that speak of more than a password."""


class Provider:
    """The provider of the settings. Its endpoints and keys are read when they are first needed, keys again when one is unknown."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._lock, self._facts, self._keys = threading.Lock(), dict[str, Any](), KeySet([])

    def begin(self, db: Database, redirect: str, target: str, now: int) -> tuple[str, str]:
        """Address of the provider's page, and the state that the browser must bring back. Raises ProviderError.

        The provider is asked before the transaction: one that does not answer must not keep alarms from being written.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        page = self._fact("authorization_endpoint")
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(page, state=state, nonce=nonce, code_verifier=verifier)
        with db.write() as session:
            session.execute(delete(OidcRequest).where(OidcRequest.made_at < now - TEN_MINUTES_MS))
            session.add(OidcRequest(state=_digest(state), nonce=nonce, verifier=verifier, target=target[:300], made_at=now))
        return str(url), state

    def take(self, session: Session, state: str, now: int) -> OidcRequest:
        """The request that a state belongs to; it counts once. Raises ProviderError."""
        row = session.get(OidcRequest, _digest(state))
        if row is None or now - row.made_at > TEN_MINUTES_MS:
            raise ProviderError("登录请求已过期，请重新登录。")
        session.delete(row)
        session.flush()
        return row

    def finish(self, row: OidcRequest, redirect: str, code: str, now: int) -> Vouched:
        """Trade the code for a signed ID token and read it. Raises ProviderError."""
        try:
            with self._client(redirect) as client:
                answer = client.fetch_token(self._fact("token_endpoint"), code=code, code_verifier=row.verifier, grant_type="authorization_code")
        except (AuthlibBaseError, httpx.HTTPError, ValueError) as error:
            raise ProviderError("统一身份认证没有确认这次登录。") from error
        claims = self._claims(str(answer.get("id_token", "")), row.nonce, now)
        value = str(claims.get(self.settings.claim, "")).strip()
        if not value:
            raise ProviderError("统一身份认证没有给出人员编号。")
        return Vouched(code=value, strong=bool(STRONG & set(map(str, claims.get("amr", ())))), target=row.target)

    def _claims(self, token: str, nonce: str, now: int) -> dict[str, Any]:
        required = {
            "iss": {"essential": True, "value": self.settings.issuer}, "aud": {"essential": True, "value": self.settings.client_id},
            "exp": {"essential": True}, "iat": {"essential": True}, "sub": {"essential": True}, "nonce": {"essential": True, "value": nonce},
        }  # fmt: skip
        try:
            try:
                found = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                self._keys = KeySet.import_key_set(cast(KeySetSerialization, self._get(self._fact("jwks_uri"))))
                found = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            jwt.JWTClaimsRegistry(now=now // 1000, leeway=LEEWAY_S, **required).validate(found.claims)  # type: ignore[arg-type]
        except (JoseError, ValueError) as error:
            raise ProviderError("统一身份认证的答复没有通过验证。") from error
        audience = found.claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and found.claims.get("azp") != self.settings.client_id:
            raise ProviderError("统一身份认证的答复没有通过验证。")
        return dict(found.claims)

    def _client(self, redirect: str) -> OAuth2Client:
        return OAuth2Client(
            self.settings.client_id, self.settings.client_secret, scope="openid profile", redirect_uri=redirect, code_challenge_method="S256",
            timeout=_TIMEOUT_S, trust_env=False,
        )  # fmt: skip

    def _fact(self, name: str) -> str:
        with self._lock:
            if not self._facts:
                found = self._get(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != self.settings.issuer:
                    raise ProviderError("统一身份认证的配置与设置里的签发者不一致。")
                self._facts = found
            value = str(self._facts.get(name, ""))
        if name != "authorization_endpoint":  # that one is for the browser
            self._judge(value)
        if not value.startswith("https://" if self.settings.issuer.startswith("https://") else "http"):
            raise ProviderError("统一身份认证的配置不完整。")
        return value

    def _judge(self, url: str) -> None:
        """Loopback only where the issuer of the settings is there himself: his document must not lead us to ourselves."""
        issuer = urlsplit(self.settings.issuer).hostname or ""
        named = ("127.0.0.0/8", "::1/128") if issuer in ("localhost", "::1") or issuer.startswith("127.") else ()
        try:
            net_guard.check(url, (*self.settings.networks, *named))
        except net_guard.ForbiddenTargetError as error:
            raise ProviderError("统一身份认证的地址不在允许的网段里，请联系系统管理员。") from error

    def _get(self, url: str) -> dict[str, Any]:
        self._judge(url)
        try:
            answer = httpx.get(url, timeout=_TIMEOUT_S, trust_env=False)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderError("连不上统一身份认证，请改用密码登录或稍后再试。") from error
        if not isinstance(found, dict):
            raise ProviderError("统一身份认证的配置不完整。")
        return found


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
