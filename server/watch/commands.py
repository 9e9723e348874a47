"""What a person may ask of an alarm or a room. Page, API, SMS reply and voice key all come through these and no other door."""

from dataclasses import dataclass, field

from alarms.rules import RuleSet
from server.store.audit import Origin, origin

UNDO_MS = 10_000
"""A take-over may be undone by the same person for this long."""

STAGES = ("not_connected", "commissioning", "trial", "in_use", "retired")
"""未接入 → 调试 → 试运行 → 在用 → 停用."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Who asks and by which way; `via` is page | api | sms | voice. `person_id`: who acts, where a code, a tested number or an account proves it."""

    by: str
    account: int | None = None
    person_id: int | None = None
    via: str = "api"
    origin: Origin = field(default_factory=origin, compare=False)
    """From where, as it was when the command was made: the watch obeys on another thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCommand(Command):
    """A command on one alarm, by its id."""

    alarm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge(AlarmCommand):
    """接手. `on_behalf_of` names the person who said it by phone, recorded by the desk (代为接手)."""

    note: str = ""
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledge(AlarmCommand):
    """Undo of a take-over within UNDO_MS by the same person; the escalation's due instants return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelve(AlarmCommand):
    """暂停提醒 until an instant (UTC ms), with a reason."""

    until: int
    reason: str
    one_shot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unshelve(AlarmCommand):
    """End a shelf early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(AlarmCommand):
    """复位 of a latched alarm after an on-site check."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline(AlarmCommand):
    """去不了: the next step of the escalation is due at once."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(AlarmCommand):
    """到场 or any progress of the person who took over."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assist(AlarmCommand):
    """求援: one level up at once, the owner stays."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen(AlarmCommand):
    """退回: what was reported does not fit what is measured; one level up at once, also when the alarm itself has closed."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(AlarmCommand):
    """已看到: read without proof of who acts; on the record, stops nothing."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDanger(AlarmCommand):
    """现场无险情: progress that proposes 误报 as the closing code; a locked alarm still needs its reset."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDrill(AlarmCommand):
    """The drill behind an alarm is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(AlarmCommand):
    """A remark on the record."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfService(AlarmCommand):
    """停用 with a permit (the reason); smoke wants a second person's name."""

    reason: str
    second: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToService(AlarmCommand):
    """Back into service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance(Command):
    """维护: work in a room from now until an instant, with a named person; an instant that has passed ends it.

    It suppresses the room's alarms by design; smoke and what else needs two people only where a `second` one vouched.
    """

    room: str
    until: int
    reason: str
    person: str
    second: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWork(Maintenance):
    """安排维护: the same from a later instant on."""

    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWork(Command):
    """取消维护安排, by its id."""

    room: str
    work: int


CONDITIONS = frozenset({"duty_vacancy", "channel_outage", "calibration_due", "drill_failed", "emergency_access", "centre_fault"})
"""Rules whose truth is found outside the watch (a roster, a provider, a certificate, the centre itself) and told to it by Condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Command):
    """Something that is true or not, found by a job: raises, changes the level of, or clears one alarm. Say it as often as you like.

    `rule` is one of CONDITIONS; `subject` e.g. `unit:350102000000`; the alarm belongs to `unit` and, where it is about a room, to `room`.
    """

    subject: str
    rule: str
    active: bool
    unit: str
    room: str | None = None
    level: str = "alarm"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload(Command):
    """Rows of the organisation were written: read them again (server/watch/reload.py). Codes of units, rooms and gateways, ids of points.

    A gateway stands for all its points; any unit for the whole tree.
    """

    units: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    points: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStage(Command):
    """阶段 of a room: not_connected | commissioning | trial | in_use | retired, with a reason.

    `second`: the other person, whom a room with smoke needs when it is retired.
    """

    room: str
    stage: str
    reason: str
    second: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Command):
    """现场报告: `by` is in the room and has looked; a blind room counts as watched by a person for a while."""

    room: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRules(Command):
    """Another rule set is in force from now on."""

    rules: RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a command. `code` is ok | not_found | conflict | not_allowed; `sentence` is for the person, in Chinese."""

    code: str = "ok"
    alarm: int | None = None
    state: str = ""
    sentence: str = ""

    @property
    def ok(self) -> bool:
        """Whether it took effect."""
        return self.code == "ok"
