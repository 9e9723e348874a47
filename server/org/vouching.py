"""An outside provider of sign-ins as the rest of the server knows it: its settings, whom it vouches for, and why it does not. oidc.py speaks with it,
with libraries that only an installation with a provider loads.
"""

from dataclasses import dataclass

from server import net_guard


class ProviderError(Exception):
    """The provider did not vouch for anybody; the sentence is for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Where and as whom. `claim` names the person's code; `title` stands on the button."""

    issuer: str
    client_id: str
    client_secret: str
    claim: str = "preferred_username"
    title: str = "统一身份认证"
    networks: tuple[str, ...] = net_guard.ANYWHERE
    """Where the provider and what its document names may lie (CIDR)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Who came back: the claim's value, whether the provider asked for a second factor, and where he wanted to go."""

    code: str
    strong: bool
    target: str
