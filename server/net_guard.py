"""Guard against server-side request forgery: addresses that people configure (webhooks, cameras) are resolved, judged and pinned before use."""

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Iterable[str]]

_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
_NEVER = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8")))


ANYWHERE = ("0.0.0.0/0", "::/0")
LOCAL = ("127.0.0.0/8", "::1/128")
"""Every network but those that are never called; loopback is not among them, it has to be named."""


class ForbiddenTargetError(ValueError):
    """The address must not be called; the sentence is for the person who entered it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A judged address. Connect to `address`, not to `host`: a second look-up could answer something else."""

    scheme: str
    host: str
    port: int
    address: str


def check(url: str, allowed: Sequence[str], *, schemes: Sequence[str] = ("https", "http"), resolve: Resolve | None = None) -> Target:
    """Judge an address. Every address that its name resolves to must lie in `allowed` (CIDR). Raises ForbiddenTargetError.

    Loopback is allowed only by naming it; link-local, multicast and unspecified addresses never are. An IPv4 address inside an IPv6 one counts as
    what it is, and so does one that is written as a number, in octal or in hexadecimal: the system's resolver reads those.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenTargetError("地址的写法不对。") from error
    if parts.scheme not in schemes or not parts.hostname or any(character.isspace() or ord(character) < 32 for character in url):
        raise ForbiddenTargetError(f"只能填写 {'、'.join(schemes)} 开头的地址。")
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise ForbiddenTargetError("地址里不能带用户名、口令或反斜线。")
    port = port or _PORTS[parts.scheme]
    try:
        found = sorted(set((resolve or _resolve)(parts.hostname, port)))
    except OSError as error:
        raise ForbiddenTargetError("这个主机名解析不到地址。") from error
    networks = [ipaddress.ip_network(network) for network in allowed]
    if not found or not all(_inside(ipaddress.ip_address(text.partition("%")[0]), networks) for text in found):
        raise ForbiddenTargetError("这个地址不在允许的网段里。需要时请系统管理员在配置中加上。")
    return Target(parts.scheme, parts.hostname, port, found[0])


def _inside(address: Address, networks: Sequence[Network]) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo):
        address = address.ipv4_mapped or address.sixtofour or address.teredo[1]  # type: ignore[index]
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    inside = [network for network in networks if network.version == address.version and address in network]
    return any(network.is_loopback for network in inside) if address.is_loopback else bool(inside)


def configured(url: str, allowed: Sequence[str], *, resolve: Resolve | None = None) -> Target:
    """Judge an address of the settings: loopback counts as named where the address itself says so. Raises ForbiddenTargetError."""
    host = (urlsplit(url).hostname or "") if "[" not in url or "]" in url else ""
    named = ("127.0.0.0/8", "::1/128") if host in ("localhost", "::1") or host.startswith("127.") else ()
    return check(url, (*allowed, *named), resolve=resolve)


def _resolve(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
