"""Parts that all routes share: query types, cursors, times."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BeforeValidator

from server.web.api.models import Page
from server.web.auth import Principal, principal, require
from server.web.problems import ProblemDocument, invalid
from server.web.rights import Action

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Item = TypeVar("Item")

Asker = Annotated[Principal, Depends(principal)]
Viewer = Annotated[Principal, Depends(require(Action.VIEW))]
Limit = Annotated[int, Query(ge=1, le=500, description="items per answer")]
Cursor = Annotated[str, Query(max_length=200, description="`next_cursor` of the answer before")]


def _plus(value: Any) -> Any:
    # A "+08:00" that was not percent-encoded arrives as a blank.
    return value.replace(" ", "+") if isinstance(value, str) else value


Instant = Annotated[AwareDatetime, BeforeValidator(_plus)]
From = Annotated[Instant | None, Query(alias="from", description="ISO 8601 with offset, included")]
To = Annotated[Instant | None, Query(description="ISO 8601 with offset, excluded", alias="to")]

_PROBLEM: dict[str, Any] = {"model": ProblemDocument, "content": {"application/problem+json": {}}}
_WHY = {
    400: "cannot be read", 401: "not signed in", 403: "no right", 404: "no such thing", 409: "not as things stand", 422: "content not valid",
}  # fmt: skip
PROBLEMS: dict[int | str, dict[str, Any]] = {status: _PROBLEM | {"description": text} for status, text in _WHY.items()}


def ms(instant: datetime) -> int:
    """UTC milliseconds of an instant."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def at(instant: int) -> datetime:
    """The instant of UTC milliseconds."""
    return _EPOCH + timedelta(milliseconds=instant)


def at_or_none(instant: int | None) -> datetime | None:
    """The instant of UTC milliseconds; None and 0 (never) are None."""
    return at(instant) if instant else None


def span(start: datetime | None, end: datetime | None, *, default: tuple[int, int], longest_ms: int) -> tuple[int, int]:
    """A range of UTC ms from two query values. Raises ProblemError 422 when it is empty or too long."""
    since, until = default[0] if start is None else ms(start), default[1] if end is None else ms(end)
    if until <= since:
        raise invalid("结束时间须晚于开始时间。", "query.to", "to must be later than from")
    if until - since > longest_ms:
        days = longest_ms // 86_400_000
        raise invalid(f"一次最多查 {days} 天。", "query.from", f"at most {days} days")
    return since, until


def decode_cursor(cursor: str) -> str:
    """What `encode_cursor` was given. Raises ProblemError 422 for anything else."""
    try:
        return base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise invalid("翻页标记不对，请从头开始。", "query.cursor", "not a cursor") from error


def decode_id(cursor: str) -> int | None:
    """The id in a cursor, None for an empty one. Raises ProblemError 422."""
    if not cursor:
        return None
    text = decode_cursor(cursor)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise invalid("翻页标记不对，请从头开始。", "query.cursor", "not a cursor")
    return int(text)


def encode_cursor(last: object) -> str:
    """An opaque cursor behind the item with this key."""
    return base64.urlsafe_b64encode(str(last).encode()).decode().rstrip("=")


def page(request: Request, items: Sequence[Item], limit: int, last: object) -> Page[Item]:
    """A page of at most `limit` items, asked for with one more; `last` is the key of the last item shown."""
    shown = list(items[:limit])
    if len(items) <= limit:
        return Page(items=shown, next_cursor=None, next=None)
    cursor = encode_cursor(last)
    address = request.url.include_query_params(cursor=cursor)
    return Page(items=shown, next_cursor=cursor, next=f"{address.path}?{address.query}")
