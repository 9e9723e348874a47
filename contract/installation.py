"""What an installation adds to a profile: the chosen variant, the answers to its questions, and what is wired to a generic input.

devices.yaml says e.g. `profile: waveshare-8di`, `channels: {di1: {quantity: door, normally: closed}, di2: {quantity: smoke}}`. `normally` is the
position of the contact while all is well: door shut, no smoke, dry, nobody there; for mains power, mains present. In that position the value is 0
(1 for power), in the other the opposite. A contact that is normally closed is fail-safe: a cut wire raises the alarm.
"""

from collections.abc import Mapping
from typing import Any, Literal

from contract.profile_checks import problems
from contract.profile_models import Param, Point, Profile
from contract.profile_transport import Model, Mqtt
from contract.quantities import QUANTITIES, Kind

Answers = Mapping[str, int | str]


class InstallationError(ValueError):
    """The answers or channels do not fit the profile; the text says which and why."""


class ChannelUse(Model):
    """What is wired to a contact input. `channel` names the point when a device has several of a quantity; the default is the input's id."""

    quantity: str
    normally: Literal["open", "closed"] = "open"
    channel: str | None = None


def variant(profile: Profile, name: str) -> Profile:
    """The profile with the changes of one of its variants. Raises InstallationError for an unknown one, pydantic.ValidationError for a bad one."""
    if name not in profile.variants:
        raise InstallationError(f"profile {profile.id} has no variant {name!r}; it has {', '.join(profile.variants) or 'none'}")
    whole = profile.model_dump(by_alias=True, exclude_unset=True)
    return Profile.model_validate(_merged(whole, profile.variants[name]))


def _merged(base: Any, change: Any) -> Any:
    """Mappings merge by key, lists of things with an id by id, everything else is replaced."""
    if isinstance(base, Mapping) and isinstance(change, Mapping):
        return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}
    if isinstance(base, tuple) and isinstance(change, tuple) and all(isinstance(item, Mapping) and "id" in item for item in (*base, *change)):
        changes = {item["id"]: item for item in change}
        kept = tuple(_merged(item, changes.pop(item["id"], {})) for item in base)
        return kept + tuple(changes.values())
    return change


def configure(profile: Profile, params: Answers | None = None, channels: Mapping[str, ChannelUse] | None = None) -> Profile:
    """The profile as installed. Inputs that `channels` does not name are left out: they are wired to nothing.

    Raises InstallationError.
    """
    answers = _answered(profile, params or {})
    chosen = answers.get("variant", "standard")
    installed = profile if chosen == "standard" else variant(profile, str(chosen))
    installed = _filled(_assigned(installed, channels or {}), answers)
    for path, reason in problems(installed):
        if path and path[0] == "points":
            raise InstallationError(f"profile {profile.id}: {reason}")
    return installed


def usual(profile: Profile) -> Profile:
    """The profile with the default answers in its topics and paths, for frames that belong to no installation."""
    return _filled(profile, {param.id: param.default for param in profile.params if param.default is not None and param.id != "variant"})


def _answered(profile: Profile, given: Answers) -> dict[str, int | str]:
    questions = {param.id: param for param in profile.params}
    for name in given:
        if name not in questions:
            raise InstallationError(f"profile {profile.id} asks no {name!r}")
    answers = {name: given.get(name, param.default) for name, param in questions.items()}
    return {name: _checked(questions[name], answer) for name, answer in answers.items() if answer is not None}


def _checked(param: Param, answer: int | str) -> int | str:
    if param.type == "int" and (not isinstance(answer, int) or (param.range and not param.range[0] <= answer <= param.range[1])):
        raise InstallationError(f"{param.id} must be a whole number{f' from {param.range[0]} to {param.range[1]}' if param.range else ''}")
    if param.type == "choice" and answer not in param.choices:
        raise InstallationError(f"{param.id} must be one of {', '.join(param.choices)}")
    return answer


def _assigned(profile: Profile, channels: Mapping[str, ChannelUse]) -> Profile:
    inputs = {point.id for point in profile.points if point.assignable}
    for name, use in channels.items():
        if name not in inputs:
            raise InstallationError(f"profile {profile.id} has no input {name!r}")
        if use.quantity not in QUANTITIES or QUANTITIES[use.quantity].kind is not Kind.STATE:
            raise InstallationError(f"{name}: {use.quantity!r} cannot come from a contact")
    if not inputs:
        return profile
    points = (_used(point, channels.get(point.id)) if point.assignable else point for point in profile.points)
    return profile.model_copy(update={"points": tuple(point for point in points if point is not None)})


def _used(point: Point, use: ChannelUse | None) -> Point | None:
    if use is None:
        return None
    well = 1 if use.quantity == "power" else 0
    flipped = (use.normally == "closed") == (well == 0)
    return point.model_copy(
        update={
            "quantity": use.quantity,
            "channel": point.id if use.channel is None else use.channel,
            "klass": "alarm" if QUANTITIES[use.quantity].urgent else "state",
            "invert": point.invert != flipped,
            "fail_safe": use.normally == "closed",
            "assignable": False,
        }
    )


def _filled(profile: Profile, answers: Answers) -> Profile:
    """Put the answers into topics and paths; {device} is the device's name, and {host}, {user} and {password} are the driver's."""
    if profile.mqtt is not None:
        return _filled_mqtt(profile, profile.mqtt, answers)
    if profile.camera is None:
        return profile
    camera = profile.camera
    update: dict[str, Any] = {name: _fill(getattr(camera, name), answers) for name in ("snapshot", "rtsp")}
    update["snapshot_fallback"] = tuple(_fill(path, answers) for path in camera.snapshot_fallback)
    return profile.model_copy(update={"camera": camera.model_copy(update=update)})


def _filled_mqtt(profile: Profile, mqtt: Mqtt, answers: Answers) -> Profile:
    availability = mqtt.availability and mqtt.availability.model_copy(update={"topic": _fill(mqtt.availability.topic, answers)})
    points = (
        point.model_copy(update={name: _fill(text, answers) for name in ("path", "topic") if (text := getattr(point, name)) is not None})
        for point in profile.points
    )
    update = {"topic": _fill(mqtt.topic, answers), "availability": availability}
    return profile.model_copy(update={"mqtt": mqtt.model_copy(update=update), "points": tuple(points)})


def _fill(text: str, answers: Answers) -> str:
    for name, answer in answers.items():
        text = text.replace(f"{{{name}}}", str(answer))
    return text
