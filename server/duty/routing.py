"""Who is told, how and when: pure, from the escalation table, the part of the organisation above a room, and the instant.

The unit tree decides, not a drawn list: duty officers of the room's unit, then of the units above it. A step that reaches nobody falls through
to the next one at once, so that no alarm waits for a person who does not exist.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from server.duty.escalation import DUTIES, ROOM_PERSON, EscalationTable, QuietHours, Step

BEIJING = ZoneInfo("Asia/Shanghai")
LATE_MS = 60_000
"""A step later than this was held up by us: the next one counts from now, so that the people just told have their time to answer."""

_LEVEL_OF_SCOPE = {"province": 1, "city": 2, "county": 3}
_MAINLAND_MOBILE_DIGITS = 11


@dataclass(frozen=True, slots=True)
class Member:
    """A person or a duty room (`person_id` None) of a unit; `duty` as in table person."""

    person_id: int | None
    name: str
    phone: str | None
    duty: str = ""


@dataclass(frozen=True, slots=True)
class OrgUnit:
    """A unit with those who can be told; `level` 1 province … 4 station."""

    code: str
    level: int
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Org:
    """What routing needs of the organisation: the room's unit and those above it, nearest first, and the person of the room."""

    chain: tuple[OrgUnit, ...]
    room_person: Member | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to be told, by which channel. `phone` is E.164."""

    person_id: int | None
    name: str
    phone: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One due step of one annunciation. `told` are the phones that this annunciation has reached so far; instants are UTC ms."""

    reason: str
    step: int
    due: int
    annunciated_at: int
    level: str
    rule: str = ""
    kind: str = ""
    quantity: str = ""
    stage: str = "in_use"
    channel: str
    told: frozenset[str] = frozenset()

    @property
    def facts(self) -> dict[str, str]:
        """What selectors look at."""
        return {"rule": self.rule, "kind": self.kind, "quantity": self.quantity, "level": self.level, "stage": self.stage}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a step comes to. `step` is the one that found somebody; `skipped` found nobody; `nobody` = the alarm has reached no one at all."""

    recipients: tuple[Recipient, ...] = ()
    step: int = 0
    next_due: int | None = None
    deferred_until: int | None = None
    skipped: tuple[int, ...] = ()
    nobody: bool = False


def plan(step: StepContext, org: Org, table: EscalationTable, now: int) -> Plan:
    """Resolve one due step. `reason` is raised (any step number), assist or reopened."""
    if step.reason in ("assist", "reopened"):
        people = _first(table.assist, org, step.channel)
        return Plan(recipients=people, step=step.step, nobody=not people)
    steps = _steps(step, table)
    if not steps:
        return Plan(step=step.step)
    until = _deferred(step, steps[0], table.quiet_hours, now)
    if until is not None:
        return Plan(step=step.step, deferred_until=until)
    return _resolve(step, steps, org, table, now)


def inform(told: Iterable[Recipient], takers: frozenset[int], reason: str, table: EscalationTable, now: int) -> tuple[tuple[Recipient, int], ...]:
    """Who hears that an alarm was taken over or has cleared, and when: everybody who was called, each phone once.

    taken: all but those who took it over, at any hour, so that nobody drives for nothing. cleared: in quiet hours only who took it over is
    told at once, the others in the morning (language.md 3.1).
    """
    quiet = table.quiet_hours
    morning = _deliver_at(quiet, now) if quiet is not None and quiet.covers(_time_of_day(now)) else now
    result = []
    for one in {recipient.phone: recipient for recipient in told}.values():
        took = one.person_id in takers
        if reason != "taken" or not took:
            result.append((one, now if took or reason == "taken" else morning))
    return tuple(result)


def e164(phone: str | None) -> str | None:
    """A number that an SMS can reach, as E.164: +…, or a mainland mobile of 11 digits. None for a landline, a short number or rubbish."""
    digits = "".join(c for c in phone or "" if c not in " -()（）")
    if digits.startswith("+") and digits[1:].isascii() and digits[1:].isdigit() and 8 <= len(digits[1:]) <= 15:
        return digits
    if len(digits) == _MAINLAND_MOBILE_DIGITS and digits.isascii() and digits.isdigit() and digits[0] == "1" and digits[1] in "3456789":
        return "+86" + digits
    return None


def _steps(step: StepContext, table: EscalationTable) -> tuple[Step, ...]:
    before = table.before_acceptance
    if step.stage in before.stages:
        return (Step(after=0, to=before.to),) if before.to and table.steps(step.level) else ()
    return table.steps(step.level)


def _deferred(step: StepContext, first: Step, quiet: QuietHours | None, now: int) -> int | None:
    """The instant to wait for: the table's first delay, or the morning."""
    start = step.annunciated_at + first.after
    if step.step == 0 and now < start:
        return start
    if quiet is not None and quiet.covers(_time_of_day(now)) and quiet.holds(step.facts):
        return _deliver_at(quiet, now)
    return None


def _resolve(step: StepContext, steps: Sequence[Step], org: Org, table: EscalationTable, now: int) -> Plan:
    skipped: list[int] = []
    for index in range(step.step, len(steps)):
        people = _people(steps[index].to, org, step.channel)
        if people:
            return Plan(recipients=people, step=index, skipped=tuple(skipped), next_due=_next_due(step, steps, index, now))
        skipped.append(index)
    last = len(steps)
    people = _first(table.last_resort, org, step.channel) if not step.told and step.step <= last else ()
    return Plan(recipients=people, step=last, skipped=tuple(skipped), nobody=not people and not step.told)


def _next_due(step: StepContext, steps: Sequence[Step], index: int, now: int) -> int | None:
    if index + 1 >= len(steps):
        return None
    base = step.due if now - step.due <= LATE_MS else now
    return base + steps[index + 1].after - steps[index].after


def _people(roles: Iterable[str], org: Org, channel: str) -> tuple[Recipient, ...]:
    """Everybody reachable in these roles, each phone once, in the order of the roles."""
    found: dict[str, Recipient] = {}
    for role in roles:
        for member in _members(role, org):
            phone = e164(member.phone)
            if phone is not None:
                found.setdefault(phone, Recipient(member.person_id, member.name, phone, channel))
    return tuple(found.values())


def _first(roles: Iterable[str], org: Org, channel: str) -> tuple[Recipient, ...]:
    """Those of the first role that reaches anybody."""
    return next((people for role in roles if (people := _people((role,), org, channel))), ())


def _members(role: str, org: Org) -> tuple[Member, ...]:
    if role == ROOM_PERSON:
        return (org.room_person,) if org.room_person is not None else ()
    scope, _, duty = role.rpartition("_")
    candidates = (_of_duty(unit, DUTIES[duty]) for unit in _units(scope, org))
    return next((members for members in candidates if any(e164(member.phone) for member in members)), ())


def _of_duty(unit: OrgUnit, duty: str) -> tuple[Member, ...]:
    return tuple(member for member in unit.members if member.duty == duty)


def _units(scope: str, org: Org) -> Iterator[OrgUnit]:
    if scope == "unit":
        return iter(org.chain[:1])
    if scope == "nearest":
        return iter(org.chain)
    above = org.chain[1:]
    return iter(above) if scope == "above" else (unit for unit in above if unit.level == _LEVEL_OF_SCOPE[scope])


def _time_of_day(now: int) -> int:
    local = datetime.fromtimestamp(now / 1000, BEIJING)
    return (local.hour * 3600 + local.minute * 60 + local.second) * 1000


def _deliver_at(quiet: QuietHours, now: int) -> int:
    """The next instant at which held messages go out."""
    local = datetime.fromtimestamp(now / 1000, BEIJING)
    morning = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(milliseconds=quiet.deliver_at)
    if morning <= local:
        morning += timedelta(days=1)
    return int(morning.timestamp() * 1000)
