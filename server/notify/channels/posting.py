"""One HTTP request of a channel, and what its failure says about the message. Not a channel itself."""

import httpx

from server.notify.channels import ChannelError, Failure

TEMPORARY = (408, 425, 429)


def post(url: str, content: bytes, headers: dict[str, str], timeout_s: float, what: str) -> httpx.Response:
    """POST once, on a connection of its own. `what` is the other side's name in sentences. Raises ChannelError for anything but 2xx.

    Not connected and 408, 425, 429 are certainly not processed; 5xx and a broken answer leave us in doubt; other 4xx will never work.
    """
    try:
        answer = httpx.post(url, content=content, headers={**headers, "Connection": "close"}, timeout=timeout_s, trust_env=False)
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


def get(url: str, headers: dict[str, str], timeout_s: float, what: str) -> httpx.Response:
    """GET once. Raises ChannelError (RETRY) when it cannot be known now."""
    try:
        return httpx.get(url, headers={**headers, "Connection": "close"}, timeout=timeout_s, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChannelError(f"连不上{what}", Failure.RETRY) from error
