"""Who is told, how and when: pure, from the escalation table, the part of the organisation above a room, and the instant.

The unit tree decides, not a drawn list: duty officers of the room's unit, then of the units above it. A step that reaches nobody falls through
to the next one at once, so that no alarm waits for a person who does not exist.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from server.duty.calendar import Workdays
from server.duty.clock import BEIJING, next_at, time_of_day
from server.duty.escalation import EscalationTable
from server.duty.ladder import DUTIES, ROOM_PERSON, Step

__all__ = [
    "BEIJING", "WAYS", "Member", "Org", "OrgUnit", "Plan", "Recipient", "StepContext", "addresses", "e164", "inform", "landline", "plan",
    "supervisions",
]  # fmt: skip
WAYS = ("sms", "voice", "email")
"""How a person is reached when he wants no order of his own: the first that the table asks for, the others after a failure."""
SUPERVISE, PART = "supervise", "group"
"""PART: the desk of a unit is told of a group alarm that somebody above it has in hand."""
LATE_MS = 60_000
"""A step later than this was held up by us: the next one counts from now, so that the people just told have their time to answer."""

_LEVEL_OF_SCOPE = {"province": 1, "city": 2, "county": 3}
_SEPARATORS = dict.fromkeys(map(ord, " -()（）"))
_MAINLAND_MOBILE_DIGITS = 11


@dataclass(frozen=True, slots=True)
class Member:
    """A person or a duty room (`person_id` None) of a unit; `duty` as in table person_role, `shift` for who the roster has on duty now, `desk`.

    `ways` is the order in which the person wants to be reached, () = WAYS.
    """

    person_id: int | None
    name: str
    phone: str | None
    duty: str = ""
    email: str = ""
    ways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrgUnit:
    """A unit with those who can be told; `level` 1 province … 4 station. `stand_in` watches for it when it has nobody (结对代管)."""

    code: str
    level: int
    members: tuple[Member, ...] = ()
    stand_in: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Org:
    """What routing needs of the organisation: the room's unit and those above it, nearest first, and the person of the room.

    `roomless`: the alarm is of a unit or a gateway (a group, a lost line), not of one room.
    """

    chain: tuple[OrgUnit, ...]
    room_person: Member | None = None
    roomless: bool = False


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to be told, by which channel. `phone` is E.164."""

    person_id: int | None
    name: str
    phone: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One due step of one annunciation. `told` are the phones that this annunciation has reached so far; instants are UTC ms.

    `channel`, `voice` and `email` name the channels for texts, calls and letters ('' = none). `begun` is when the first step was due: the ladder of
    that hour is walked to its end. `held`: it has waited for the morning already.
    """

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
    voice: str = ""
    email: str = ""
    begun: int | None = None
    held: bool = False
    told: frozenset[str] = frozenset()

    @property
    def facts(self) -> dict[str, str]:
        """What selectors look at."""
        return {"rule": self.rule, "kind": self.kind, "quantity": self.quantity, "level": self.level, "stage": self.stage}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a step comes to. `step` is the one that found somebody; `skipped` found nobody; `nobody` = the alarm has reached no one at all.

    `held`: it waits for the morning and goes into the digest then.
    """

    recipients: tuple[Recipient, ...] = ()
    step: int = 0
    next_due: int | None = None
    deferred_until: int | None = None
    held: bool = False
    skipped: tuple[int, ...] = ()
    nobody: bool = False


@cache
def _library() -> Workdays:
    return Workdays()


def plan(step: StepContext, org: Org, table: EscalationTable, now: int, workdays: Workdays | None = None) -> Plan:
    """Resolve one due step. `reason` is raised (any step number), assist, reopened, or supervise (a step of the supervision line)."""
    days = workdays or _library()
    if step.reason in ("assist", "reopened"):
        people = _first(table.assist, org, step, table)
        return Plan(recipients=people, step=step.step, nobody=not people)
    steps = _steps(step, table, days)
    if not steps or (step.reason == SUPERVISE and step.step >= len(steps)):
        return Plan(step=step.step)
    waiting = _deferred(step, steps[0], table, now, days)
    if waiting is not None:
        return Plan(step=step.step, deferred_until=waiting[0], held=waiting[1])
    if step.reason == SUPERVISE:
        return Plan(recipients=_people(steps[step.step].to, org, step, table), step=step.step)
    if step.reason == PART:
        return Plan(recipients=tuple(one for one in _people(steps[0].to, org, step, table) if one.phone not in step.told))
    return _resolve(step, steps, org, table, now)


def supervisions(step: StepContext, table: EscalationTable) -> tuple[int, ...]:
    """When the supervision line of an annunciation is due: instants, in the order of its steps. What waited for the morning begins then."""
    if step.stage in table.before_acceptance.stages:
        return ()
    return tuple((step.due if step.held else step.annunciated_at) + one.after for one in table.supervision.get(step.level, ()))


def inform(told: Iterable[Recipient], takers: frozenset[int], reason: str, table: EscalationTable, now: int) -> tuple[tuple[Recipient, int], ...]:
    """Who hears that an alarm was taken over or has cleared, and when: everybody who was called, each phone once.

    taken: all but those who took it over, at any hour, so that nobody drives for nothing. cleared: in quiet hours only who took it over is
    told at once, the others in the morning (language.md 3.1).
    """
    quiet = table.quiet_hours
    morning = next_at(quiet.deliver_at, now) if quiet is not None and quiet.covers(time_of_day(now)) else now
    result = []
    for one in {recipient.phone: recipient for recipient in told}.values():
        took = one.person_id in takers
        if reason != "taken" or not took:
            result.append((one, now if took or reason == "taken" else morning))
    return tuple(result)


def e164(phone: str | None) -> str | None:
    """A number that an SMS can reach, as E.164: +…, or a mainland mobile of 11 digits. None for a landline, a short number or rubbish."""
    digits = _national(phone)
    if digits.startswith("+") and digits[1:].isascii() and digits[1:].isdigit() and 8 <= len(digits[1:]) <= 15:
        return digits
    if len(digits) == _MAINLAND_MOBILE_DIGITS and digits.isascii() and digits.isdigit() and digits[0] == "1" and digits[1] in "3456789":
        return "+86" + digits
    return None


def landline(phone: str | None) -> str | None:
    """A fixed number of the mainland with its area code, as E.164, for a voice call; None for anything else."""
    digits = _national(phone)
    if digits.isascii() and digits.isdigit() and digits[:1] == "0" and digits[:2] != "00" and 10 <= len(digits) <= 12:
        return "+86" + digits[1:]
    return None


def _national(phone: str | None) -> str:
    """A number without its separators, a mainland one as it is dialled within the country: +86 591… is a landline, however it is written."""
    digits = (phone or "").translate(_SEPARATORS)
    if not digits.startswith("+86"):
        return digits
    rest = digits.removeprefix("+86")
    return rest if len(rest) == _MAINLAND_MOBILE_DIGITS and rest[:1] == "1" else "0" + rest.removeprefix("0")


def _night(at: int, table: EscalationTable, days: Workdays) -> bool:
    hours = table.working_hours
    return hours is not None and not (hours.covers(time_of_day(at)) and days.works_at(at))


def _steps(step: StepContext, table: EscalationTable, days: Workdays) -> tuple[Step, ...]:
    if step.reason == SUPERVISE:
        return table.supervision.get(step.level, ())
    before = table.before_acceptance
    begun = step.begun if step.begun is not None else max(step.due, step.annunciated_at)
    steps = table.steps_for(step.facts, night=not step.held and _night(begun, table, days))
    if step.stage in before.stages:
        return (Step.model_construct(after=0, to=before.to),) if before.to and steps else ()
    return steps


def _deferred(step: StepContext, first: Step, table: EscalationTable, now: int, days: Workdays) -> tuple[int, bool] | None:
    """The instant to wait for, and whether what waits belongs into the digest of the morning: the table's first delay, or the morning."""
    start = step.annunciated_at + first.after
    if step.step == 0 and step.reason != SUPERVISE and now < start:
        return start, False
    quiet, hours = table.quiet_hours, table.working_hours
    if quiet is None or (step.held and not quiet.covers(time_of_day(now))):
        return None
    resting = hours is not None and step.level in hours.levels and _night(now, table, days) and quiet.holds(step.facts)
    if resting or (quiet.covers(time_of_day(now)) and quiet.holds(step.facts)):
        return next_at(quiet.deliver_at, now), True
    return None


def _resolve(step: StepContext, steps: Sequence[Step], org: Org, table: EscalationTable, now: int) -> Plan:
    skipped: list[int] = []
    for index in range(step.step, len(steps)):
        people = _people(steps[index].to, org, step, table)
        if people:
            return Plan(recipients=people, step=index, skipped=tuple(skipped), next_due=_next_due(step, steps, index, table, now))
        skipped.append(index)
    last = len(steps)
    if step.told and (pace := _pace(step, table, now)) is not None:
        people = next((found for one in reversed(steps) if (found := _people(one.to, org, step, table))), ())
        return Plan(recipients=people, step=max(step.step, last), skipped=tuple(skipped), next_due=now + pace)
    people = _first(table.last_resort, org, step, table) if not step.told and step.step <= last else ()
    return Plan(recipients=people, step=last, skipped=tuple(skipped), nobody=not people and not step.told)


def _next_due(step: StepContext, steps: Sequence[Step], index: int, table: EscalationTable, now: int) -> int | None:
    base = step.due if now - step.due <= LATE_MS else now
    if index + 1 >= len(steps):
        pace = _pace(step, table, now)
        return None if pace is None else base + pace
    return base + steps[index + 1].after - steps[index].after


def _pace(step: StepContext, table: EscalationTable, now: int) -> int | None:
    """After what the last step is said again when everybody was told and nobody has answered; None: never. From two hours on rarer: an alarm of days
    would else ring a thousand times and be switched off with the telephone."""
    pace = None if step.stage in table.before_acceptance.stages else table.unanswered.get(step.level)
    return None if pace is None else max(pace, (now - step.annunciated_at) // 4)


def _people(roles: Iterable[str], org: Org, step: StepContext, table: EscalationTable) -> tuple[Recipient, ...]:
    """Everybody reachable in these roles, each phone once by each way, in the order of the roles."""
    ways = table.ways_of(step.level)
    found: dict[tuple[str, str], Recipient] = {}
    for role in roles:
        for member in _members(role, org, step):
            for phone, channel in _reach(member, step, ways):
                found.setdefault((phone, channel), Recipient(member.person_id, member.name, phone, channel))
    return tuple(found.values())


def addresses(phone: str | None, email: str = "") -> dict[str, str | None]:
    """Where a person can be reached by each way; None where not. A call also reaches a landline."""
    mobile = e164(phone)
    return {"sms": mobile, "voice": mobile or landline(phone), "email": email or None}


def _reach(member: Member, step: StepContext, ways: Sequence[str] = ("sms",)) -> Iterator[tuple[str, str]]:
    """(address, channel) of every way that the level asks for, in the person's own order; where none of them is there, of the first that is."""
    there = addresses(member.phone, member.email)
    channels = {"sms": step.channel, "voice": step.voice, "email": step.email}
    possible = [(way, address, channels[way]) for way in member.ways or WAYS if (address := there[way]) is not None and channels[way]]
    for _, address, channel in [one for one in possible if one[0] in ways] or possible[:1]:
        yield address, channel


def _first(roles: Iterable[str], org: Org, step: StepContext, table: EscalationTable) -> tuple[Recipient, ...]:
    """Those of the first role that reaches anybody."""
    return next((people for role in roles if (people := _people((role,), org, step, table))), ())


def _members(role: str, org: Org, step: StepContext) -> tuple[Member, ...]:
    if role == ROOM_PERSON and org.roomless:
        role = "unit_duty"  # else the first message about a group would go to the unit above it
    if role == ROOM_PERSON:
        return (org.room_person,) if org.room_person is not None else ()
    scope, _, duty = role.rpartition("_")
    candidates = (_of_duty(unit, DUTIES[duty], step) for unit in _units(scope, org))
    return next((members for members in candidates if any(True for member in members for _ in _reach(member, step))), ())


def _of_duty(unit: OrgUnit, duty: str, step: StepContext) -> tuple[Member, ...]:
    """Who answers for a duty in a unit: of the duty officers whoever is on shift, with the duty room; the paired unit where there is nobody."""
    if duty != "duty_officer":
        return tuple(member for member in unit.members if member.duty == duty)
    shift = tuple(member for member in unit.members if member.duty == "shift")
    present = shift if any(True for member in shift for _ in _reach(member, step)) else _of_duty_officers(unit)
    found = present + tuple(member for member in unit.members if member.duty == "desk")
    return found if any(True for member in found for _ in _reach(member, step)) else unit.stand_in


def _of_duty_officers(unit: OrgUnit) -> tuple[Member, ...]:
    return tuple(member for member in unit.members if member.duty == "duty_officer")


def _units(scope: str, org: Org) -> Iterator[OrgUnit]:
    if scope == "unit":
        return iter(org.chain[:1])
    if scope == "nearest":
        return iter(org.chain)
    above = org.chain[1:]
    return iter(above) if scope == "above" else (unit for unit in above if unit.level == _LEVEL_OF_SCOPE[scope])
