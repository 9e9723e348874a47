"""The part of requirements.lock that some extras need: `pick_lock.py EXTRA… > picked.lock`. Standard library only.

The lock is made for all extras at once and names, after each package, what wants it ("# via"). Starting from what pyproject.toml lists for the
extras, and from the build tool, everything that is wanted by what is picked is picked too. Hashes and markers are kept as they are.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = "hatchling"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VIA = re.compile(r"^    #(?: via)? +([A-Za-z0-9._-]+)(?: |$)", re.MULTILINE)


def _name(requirement: str) -> str:
    found = _NAME.match(requirement)
    if found is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def pick(lock: str, project: str, extras: Iterable[str]) -> str:
    """The entries of the lock for the project with these extras. Raises KeyError for an extra or a package that is not there."""
    table = tomllib.loads(project)["project"]
    direct = [*table["dependencies"], BUILD, *(line for extra in extras for line in table["optional-dependencies"][extra])]
    entries: dict[str, list[str]] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if entry.strip() and not entry.startswith("#"):
            entries.setdefault(_name(entry), []).append(entry)
    picked = {_name(line) for line in direct}
    if missing := picked - entries.keys():
        raise KeyError(f"not in the lock: {', '.join(sorted(missing))}")
    wanted_by = {name: {_name(via) for entry in found for via in _VIA.findall(entry)} for name, found in entries.items()}
    while more := {name for name, parents in wanted_by.items() if name not in picked and parents & picked}:
        picked |= more
    return "".join(entry for name, found in entries.items() if name in picked for entry in found)


if __name__ == "__main__":
    sys.stdout.write(pick((ROOT / "requirements.lock").read_text("utf-8"), (ROOT / "pyproject.toml").read_text("utf-8"), sys.argv[1:]))
