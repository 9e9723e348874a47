"""Documents that name the tests behind what they say: every one of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ITEMS = 46


@pytest.mark.parametrize(("document", "least"), [("explanation/complaints.md", 80), ("reference/climate.md", 25), ("explanation/threats.md", 25)])
def test_every_test_that_a_table_names_exists(document: str, least: int) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / document).read_text("utf-8"))
    assert len(named) > least
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path}::{name}"


def test_every_complaint_has_a_line_that_names_a_test() -> None:
    text = (ROOT / "docs/explanation/complaints.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.*$", text, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, ITEMS + 1))
    assert all("`tests/" in line for line in text.splitlines() if re.match(r"\| \d+ \|", line))
