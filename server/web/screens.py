"""Pages as HTML: one Jinja environment per language, the same context for every page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from fastapi import Request
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from server import watermark
from server.live.board import STATES
from server.store import units
from server.web import forms, guard, labels
from server.web.assets import Assets
from server.web.auth import COOKIE, Principal, principal_or_none, services_of
from server.web.formats import Formats
from server.web.i18n import LANGUAGES, Words
from server.web.rights import Action
from server.web.whence import readable, verified_subject

CHOICES: Mapping[str, tuple[str, ...]] = {"lang": tuple(LANGUAGES), "theme": ("auto", "light", "dark"), "size": ("normal", "large")}
"""What each device chooses for itself, the first being what it has until then; kept in a cookie `aw_<name>` once an address has said `?<name>=`."""
_YEAR_S = 31_536_000
BUILD_HINT = "make assets"


class _Compiled(BytecodeCache):
    """Compiled templates in memory, one for all languages: what differs between them is asked for when a page is rendered."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._code[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()


def chosen(request: Request, name: str) -> str:
    """One of CHOICES for this request: the address before the cookie before what is usual."""
    offered = CHOICES[name]
    wanted = (request.query_params.get(name), request.cookies.get(f"aw_{name}"))
    return next((one for one in wanted if one in offered), offered[0])


class Screens:
    """Renders templates from `folder` with files of `assets`. Raises jinja2 errors for a template that is wrong: nothing is left blank silently."""

    def __init__(self, folder: Path, assets: Assets) -> None:
        self.assets = assets
        self._folder = folder
        self._words = {language: Words(language) for language in LANGUAGES}
        self._environments = {language: self._environment(words) for language, words in self._words.items()}

    def page(self, request: Request, name: str, status: int = 200, *, who: Principal | None, **context: Any) -> Response:
        """A page (or a part of one) for somebody, in his language."""
        language = self.language(request)
        template = self._environments[language].get_template(name)
        body = template.render(**self._common(request, who, language), **context)
        if cookie := request.cookies.get(COOKIE):
            body = guard.with_tokens(body, cookie)
        response = HTMLResponse(body, status, headers={"Cache-Control": "no-store", "Content-Language": language, "Vary": "Cookie, HX-Request"})
        for choice, offered in CHOICES.items():
            if request.query_params.get(choice) in offered:
                response.set_cookie(f"aw_{choice}", chosen(request, choice), max_age=_YEAR_S, samesite="lax", path="/")
        return response

    def warm(self) -> None:
        """Compile every template now: the first reader of a page need not wait half a second for it. Raises TemplateError for one that is wrong."""
        for environment in self._environments.values():
            for name in environment.list_templates(extensions=["html"]):
                environment.get_template(name)

    def sign_in(self, request: Request, status: int = 200, **shown: Any) -> Response:
        """The form for signing in."""
        provider = services_of(request).provider
        blank = {"target": "/", "login": "", "error": None, "locked_until": None, "wants_code": False, "said": "", "kept_to": "", "kept": ""}
        subject = verified_subject(request, services_of(request).settings.trusted_proxies)
        ways = {"provider": provider.settings.title if provider else "", "certificate": readable(subject)}
        return self.page(request, "login.html", status, who=None, **ways, **blank | shown)

    def sign_in_again(self, request: Request, form: str) -> Response:
        """For a form that came after the session's end: what was filled in waits until the person has signed in again."""
        to = request.url.path
        if request.headers.get("hx-request") != "true":
            return self.sign_in(request, 401, kept_to=to, kept=form, error="登录已过期。重新登录后，刚才填写的内容会保留。")
        answer = self.page(request, "_relogin.html", 401, who=None, kept_to=to, kept=form)
        answer.headers["HX-Retarget"] = "#dialog-message" if '["from", "dialog"]' in form else "#toast"
        return answer

    def error(self, request: Request, body: dict[str, Any], back: str = "", **form: Any) -> Response:
        """A problem as a page; `back` is where it came from, `form`: see forms.refused. What is wrong in it, and its secrets, can be typed anew."""
        named = [str(error["where"]).rpartition(".")[2] for error in body["errors"]]
        refused = forms.refused(self.words(request), named, **form)
        status, who = int(body["status"]), principal_or_none(request)
        return self.page(request, "error.html", status, who=who, problem=body, back=back, form=refused)

    def words(self, request: Request) -> Words:
        """The words of the asker's language."""
        return self._words[self.language(request)]

    @staticmethod
    def language(request: Request) -> str:
        """`?lang=` before cookie before Chinese."""
        return chosen(request, "lang")

    def _environment(self, words: Words) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(self._folder),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            bytecode_cache=_COMPILED,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            gettext=_gettext(words), words=words, fmt=Formats(words), assets=self.assets, labels=labels, Action=Action, STATES=STATES
        )
        return environment

    def _common(self, request: Request, who: Principal | None, language: str) -> dict[str, Any]:
        provided = services_of(request)
        here = request.url.path
        return {
            "language": language,
            "other_language": "zh" if language == "en" else "en",
            "language_link": str(request.url.include_query_params(lang="zh" if language == "en" else "en").query),
            "theme": chosen(request, "theme"),
            "size": chosen(request, "size"),
            "me": who,
            "place": "" if who is None else self._place(request, who),
            "now": provided.clock(),
            "banner": provided.settings.banner,
            "build_hint": None if self.assets.built else BUILD_HINT,
            "version": provided.settings.version,
            "here": here,
            "print_mark": "" if who is None else watermark.line(who.name, who.unit or "", provided.clock()),
        }

    @staticmethod
    def _place(request: Request, who: Principal) -> str:
        if who.unit is None:
            return ""
        with services_of(request).db.read() as session:
            path = units.path(session, who.unit)
            names = units.names(session, path)
        return " › ".join(names[code] for code in path if code in names)


def _gettext(words: Words) -> Callable[..., Markup]:
    def said(message: str, /, **values: Any) -> Markup:
        return Markup(words.worded(message, values)) % values  # noqa: S704  # nosec B704 - texts of our own; what is filled in is escaped

    return said
