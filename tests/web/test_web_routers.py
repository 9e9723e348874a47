"""Each route is whole where it is declared: it has its place, its bound, and a description where programs read one."""

from server.web import api, pages, site
from server.web.api import health
from server.web.routers import MOST_BODY, PREFIX, declared, routes_of


def test_every_route_has_the_place_of_its_package() -> None:
    beside = {route.path for route in declared(health.router)}
    programs, screens = list(routes_of(api)), list(routes_of(pages))
    assert len(programs) > 100 < len(screens)
    assert {route.path for route in programs if not route.path.startswith(f"{PREFIX}/")} == beside
    assert [route.path for route in screens if route.include_in_schema or route.path.startswith(PREFIX)] == []


def test_no_route_takes_a_body_without_a_bound() -> None:
    assert [route.path for route in site.routes() if route.max_body_size is None or route.max_body_size > MOST_BODY] == []
