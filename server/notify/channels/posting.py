"""One HTTP request of a channel, and what its failure says about the message. Not a channel itself."""

from collections.abc import Sequence

import httpx

from server import net_guard
from server.notify.channels import ChannelError, Failure

TEMPORARY = (408, 425, 429)
Networks = Sequence[str]


def _ask(method: str, url: str, headers: dict[str, str], timeout_s: float, networks: Networks, content: bytes = b"") -> httpx.Response:
    """One request to the very address that was judged: a name that answers otherwise at the second look-up leads nowhere. Follows no redirect."""
    target = net_guard.configured(url, networks)
    there = httpx.URL(url)
    pinned = there.copy_with(host=target.address)
    named = {**headers, "Connection": "close", "Host": there.netloc.decode("ascii")}
    extensions = {"sni_hostname": target.host} if target.scheme == "https" else {}
    with httpx.Client(timeout=timeout_s, trust_env=False) as client:
        return client.request(method, pinned, content=content, headers=named, extensions=extensions)


def post(url: str, content: bytes, headers: dict[str, str], timeout_s: float, what: str, networks: Networks = net_guard.ANYWHERE) -> httpx.Response:
    """POST once, on a connection of its own. `what` is the other side's name in sentences. Raises ChannelError for anything but 2xx.

    Not connected and 408, 425, 429 are certainly not processed; 5xx and a broken answer leave us in doubt; other 4xx will never work.
    """
    try:
        answer = _ask("POST", url, headers, timeout_s, networks, content)
    except net_guard.ForbiddenTargetError as error:
        raise ChannelError(f"{what}的地址不可用：{error}", Failure.RETRY) from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ChannelError(f"连不上{what}", Failure.RETRY) from error
    except httpx.HTTPError as error:
        raise ChannelError(f"与{what}的通信中断", Failure.AMBIGUOUS) from error
    if answer.is_success:
        return answer
    if answer.status_code in TEMPORARY:
        raise ChannelError(f"{what}限流", Failure.RETRY, answer.status_code)
    if answer.status_code >= 500:
        raise ChannelError(f"{what}内部错误", Failure.AMBIGUOUS, answer.status_code)
    if answer.status_code in (401, 403, 404, 407):
        raise ChannelError(f"{what}设置有误", Failure.RETRY, answer.status_code)
    raise ChannelError(f"{what}拒收", Failure.PERMANENT, answer.status_code)


def get(url: str, headers: dict[str, str], timeout_s: float, what: str, networks: Networks = net_guard.ANYWHERE) -> httpx.Response:
    """GET once. Raises ChannelError (RETRY) when it cannot be known now."""
    try:
        return _ask("GET", url, headers, timeout_s, networks)
    except net_guard.ForbiddenTargetError as error:
        raise ChannelError(f"{what}的地址不可用：{error}", Failure.RETRY) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChannelError(f"连不上{what}", Failure.RETRY) from error
