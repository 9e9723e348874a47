"""What a form held when the session ended: it waits on the sign-in page and is offered again afterwards. Secrets are never kept."""

import json
from urllib.parse import urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request

MOST_KEPT = 20_000
_FORMS = frozenset(("application/x-www-form-urlencoded", "multipart/form-data"))
PAGE = "page_of_form"
"""The field in which a form that came back says on which page it stood first."""
FILES = frozenset(("file",))
"""Names of fields that hold a file."""
_SECRET = frozenset(("password", "pin", "code", "old", "new", "again", "token", "actor"))
"""Parts of the names of fields that are never kept. Fields of the books have names of their own: `key.code` is no secret."""


async def packed(request: Request) -> str | None:
    """The fields of a form that came too late, or could not be taken, as JSON; None for what is no such form. A file must be chosen anew."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "POST" or kind not in _FORMS or request.url.path.startswith(("/login", "/api/", "/callbacks/")):
        return None
    return _json(await request.form())


async def secrets(request: Request) -> list[str]:
    """Names of the fields of a form that are never kept and must be typed anew; the page's own token comes with each form."""
    return [name for name in (await request.form()) if not (_SECRET - {"token"}).isdisjoint(name.split("_"))]


async def files(request: Request) -> list[str]:
    """Names of the fields of a form that held a file."""
    return [name for name in dict.fromkeys(await request.form()) if name in FILES]


def came_from(request: Request) -> str:
    """The page of ours from which something was sent, "" when it does not say."""
    came = urlsplit(request.headers.get("referer", ""))
    if request.method == "GET" or came.netloc != request.headers.get("host"):
        return ""
    return _ours(came.path + (f"?{came.query}" if came.query else ""))


async def page(request: Request) -> str:
    """The page of ours on which the form of a request stood first, "" when it does not say."""
    said = (await request.form()).get(PAGE)
    return _ours(said) if isinstance(said, str) else came_from(request)


def _ours(address: str) -> str:
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else ""


def _json(form: FormData) -> str | None:
    pairs = [[name, value] for name, value in form.multi_items() if isinstance(value, str) and _SECRET.isdisjoint(name.split("_"))]
    text = json.dumps(pairs, ensure_ascii=False)
    return text if len(text) <= MOST_KEPT else None


def unpacked(text: str) -> list[tuple[str, str]]:
    """Pairs of name and value; nothing for what is no such text."""
    try:
        return [(str(name), str(value)) for name, value in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []
