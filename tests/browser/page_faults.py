"""What is wrong with a page that somebody looks at, on a screen as narrow as a phone; used by the tests in a real browser."""

import re
from collections.abc import Collection

from playwright.sync_api import Page

NARROW = {"width": 390, "height": 844}
NO_WORDS = re.compile(r"\b(?:None|NaN|nan|undefined|null)\b|\{\{|%\(\w+\)s")
"""What a program writes where a value is missing."""
CODES = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b|\b(?:point|gateway|room|unit):\S+")
"""Names of rules, states and subjects, for which there are words. Where a person needs the name itself, it stands in an element of the class code."""
_READ = """() => {
  const main = document.querySelector("main").cloneNode(true);
  main.querySelectorAll(".code, code, pre, script, option, input, textarea, [hidden]").forEach((one) => one.remove());
  main.querySelectorAll("*").forEach((one) => one.append(" "));
  return {
    text: main.textContent, wide: document.documentElement.scrollWidth, headings: document.querySelectorAll("h1").length,
    marked: document.querySelectorAll(".bar [aria-current]").length, signed: document.querySelector(".who") !== null,
  };
}"""


def faults(page: Page, people: Collection[str] = ()) -> list[str]:
    """Sentences about the page that is open: too wide, not one heading, no entry of the menu marked, words of a program.

    `people` are names of the test's people that look like codes.
    """
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    seen = page.evaluate(_READ)
    found = [f"says {word!r}" for word in sorted({*NO_WORDS.findall(seen["text"]), *CODES.findall(seen["text"])} - set(people))]
    if seen["wide"] > NARROW["width"]:
        found.append(f"is {seen['wide']} wide on a phone")
    if seen["headings"] != 1:
        found.append(f"has {seen['headings']} first headings")
    if seen["signed"] and seen["marked"] != 1:
        found.append(f"marks {seen['marked']} entries of the menu")
    return found
