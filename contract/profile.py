"""Device profiles: load a file, find one in the packaged catalogue, refuse a broken one with file, line and reason.

The schema is in contract/profile_models.py and contract/profile_transport.py, the rules across fields in contract/profile_checks.py.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from contract.installation import variant
from contract.located_yaml import Located, LocatedYamlError, load_located
from contract.profile_checks import problems
from contract.profile_models import Point, Profile
from contract.profile_transport import Block

__all__ = ["Block", "Point", "Profile", "ProfileError", "UnknownProfileError", "catalogue", "find", "load_file", "load_folder", "load_text"]

_STEM: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class ProfileError(ValueError):
    """A profile that cannot be used; the text is `file:line: reason`."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class UnknownProfileError(LookupError):
    """No profile of the catalogue has this id or alias."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no device profile {name!r}")
        self.name = name


def load_file(path: Path | Traversable) -> Profile:
    """Load and check one profile. Raises ProfileError; OSError when the file cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as broken:
        raise ProfileError(path.name, 1, f"not UTF-8 text (byte {broken.start})") from None
    return load_text(text, path.name)


def load_text(text: str, file: str) -> Profile:
    """Check a profile given as text; `file` is its name, and its stem must be the id. Raises ProfileError."""
    try:
        located = load_located(text)
    except LocatedYamlError as broken:
        raise ProfileError(file, broken.line, broken.reason) from None
    if not isinstance(located.data, dict):
        raise ProfileError(file, 1, "a profile is a mapping")
    profile = _validated(located, file)
    if profile.id != file.removesuffix(".yaml"):
        raise ProfileError(file, located.line(("id",)), f"id {profile.id!r} is not the file's name")
    for path, reason in problems(profile):
        raise ProfileError(file, located.line(path), _said(path, reason))
    for name in profile.variants:
        _check_variant(profile, name, located, file)
    return profile


def _validated(located: Located, file: str) -> Profile:
    try:
        return Profile.model_validate(located.data)
    except ValidationError as broken:
        raise _first(broken, located, file) from None


def _first(broken: ValidationError, located: Located, file: str, inside: tuple[Any, ...] = ()) -> ProfileError:
    """The first complaint of pydantic, in words and with its line."""
    error = broken.errors(include_url=False, include_context=False, include_input=False)[0]
    path = error["loc"]
    words = {"extra_forbidden": "unknown field", "missing": "is missing"}
    reason = words.get(error["type"], error["msg"].removeprefix("Value error, "))
    return ProfileError(file, located.line((*inside, *path)), _said((*inside, *path), reason))


def _said(path: tuple[Any, ...], reason: str) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"{where}: {reason}" if where else reason


def _check_variant(profile: Profile, name: str, located: Located, file: str) -> None:
    """A variant must be a sound profile too."""
    inside = ("variants", name)
    try:
        changed = variant(profile, name)
    except ValidationError as broken:
        raise _first(broken, located, file, inside) from None
    for path, reason in problems(changed):
        raise ProfileError(file, located.line(inside), _said((*inside, *path), reason))


def load_folder(folder: Path) -> Mapping[str, Profile]:
    """An installer's own profiles by id and alias, in lower case. Raises ProfileError, OSError; packaged names cannot be taken."""
    profiles = {profile.id: profile for profile in map(load_file, sorted(folder.glob("*.yaml")))}
    own = _names(profiles)
    if taken := sorted(set(own) & set(_all_names())):
        raise ProfileError(f"{own[taken[0]].id}.yaml", 1, f"{taken[0]!r} is the name of a packaged profile")
    return MappingProxyType(own)


# ------------------------------------------------------------------------------------------------------------------------------- catalogue


@cache
def catalogue() -> Mapping[str, Profile]:
    """All packaged profiles by id, sorted. Raises ProfileError for a broken one, or for an id or alias that two profiles claim."""
    stems = sorted(entry.name.removesuffix(".yaml") for entry in files("device_profiles").iterdir() if entry.name.endswith(".yaml"))
    profiles = {stem: _packaged(stem) for stem in stems}
    _names(profiles)
    return MappingProxyType(profiles)


@cache
def _packaged(stem: str) -> Profile:
    return load_file(files("device_profiles") / f"{stem}.yaml")


def _names(profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """Ids and aliases in lower case."""
    names = dict(profiles)
    for profile in profiles.values():
        for alias in profile.aliases:
            if names.setdefault(alias.lower(), profile) is not profile or alias.lower() == profile.id:
                raise ProfileError(f"{profile.id}.yaml", 1, f"alias {alias!r} is taken by {names[alias.lower()].id}")
    return names


@cache
def _all_names() -> Mapping[str, Profile]:
    return _names(catalogue())


def find(name: str) -> Profile:
    """The packaged profile of an id or alias, in any case. Raises UnknownProfileError."""
    wanted = name.lower()
    if _STEM.fullmatch(wanted) and (files("device_profiles") / f"{wanted}.yaml").is_file():
        return _packaged(wanted)  # by itself: a gateway that uses three profiles need not check seventy at each start
    try:
        return _all_names()[wanted]
    except KeyError:
        raise UnknownProfileError(name) from None
