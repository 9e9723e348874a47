"""The benchmark of the province asks for every list that the server has."""

import re

from benchmarks import org_pages


def test_every_page_and_route_that_lists_something_is_measured():
    assert org_pages.unmeasured() == [], "put the new list into PAGES, or into NO_LISTS when it lists nothing"


def test_a_list_that_nobody_asks_for_is_named(monkeypatch):
    monkeypatch.setattr(org_pages, "PAGES", {"system": tuple(page for page in org_pages.PAGES["system"] if not page.startswith("/devices"))})
    assert "/devices" in org_pages.unmeasured()


def test_what_is_left_out_is_still_there(monkeypatch):
    patterns = org_pages.NO_LISTS
    monkeypatch.setattr(org_pages, "NO_LISTS", ())
    named = org_pages.unmeasured()
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, path) for path in named)] == []
