"""One HTML file that stands alone: no script, no address, prints as a form."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, TemplateError

from server.reports.paper import Paper
from server.reports.render.parts import FormError, spelled

_NAME = "paper.html"


def render(paper: Paper, forms: Path | None) -> bytes:
    """The paper as HTML. Raises FormError for an operator's form that does not work."""
    own = forms / _NAME if forms is not None else None
    source = own.read_text("utf-8") if own is not None and own.is_file() else files("server.reports").joinpath("forms", _NAME).read_text("utf-8")
    try:
        return Environment(autoescape=True).from_string(source).render(paper=spelled(paper)).encode()
    except TemplateError as error:
        raise FormError(f"报表模板 {_NAME} 不能使用：{error}") from error
