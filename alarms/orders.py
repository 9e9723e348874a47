"""What people and the system may ask of an alarm, and what the standard or the rule forbids: the second half of lifecycle.step."""

from alarms.inhibits import Moved, changed, inhibit, lift
from alarms.model import Rule, duration_text
from alarms.state import (
    Acknowledge,
    AlarmState,
    AskAgain,
    Event,
    Expire,
    NotAllowedError,
    OutOfService,
    Reset,
    ReturnToService,
    Shelve,
    Suppress,
    Unacknowledge,
    Unshelve,
    Unsuppress,
)

UNACKNOWLEDGE_MS = 10_000
"""A take-over may be undone by the same person for this long."""

_NOTHING_TO_TAKE = "当前没有需要接手的告警。"
_RESET_REFUSALS = {
    "normal": "当前没有需要复位的告警。",
    "active_unacked": "测值仍在越限，请先接手并到场处置，恢复后才能复位。",
    "active_acked": "测值仍在越限，恢复后才能复位。",
    "cleared_unacked": "该告警没有锁定，请直接接手。",
    "latched_unacked": "请先接手，到场查看后再复位。",
}


def command(rule: Rule, state: AlarmState, event: Event, now: int) -> Moved:
    """What a person or the system asked for. Raises NotAllowedError."""
    match event:
        case Acknowledge():
            moved = _acknowledge(state, event, now)
        case Unacknowledge():
            moved = _unacknowledge(state, event, now)
        case Expire():
            moved = _expire(state, now)
        case AskAgain():
            moved = _ask_again(state, now)
        case Shelve():
            moved = _shelve(rule, state, event, now)
        case Unshelve(by):
            moved = lift(state, state._replace(shelved_until=None, shelve_one_shot=False), "unshelved", now, by)
        case Reset():
            moved = _reset(state, event, now)
        case Suppress():
            moved = _suppress(rule, state, event, now)
        case Unsuppress(cause):
            after = state._replace(suppressed=tuple(other for other in state.suppressed if other != cause))
            moved = lift(state, after, "unsuppressed", now, note=cause, by_person=False)
        case OutOfService():
            moved = _retire(rule, state, event, now)
        case ReturnToService(by):
            moved = lift(state, state._replace(out_of_service=False), "returned", now, by)
        case _:
            raise TypeError(f"{event!r} is not an event")
    return moved


def _suppress(rule: Rule, state: AlarmState, event: Suppress, now: int) -> Moved:
    _need_two(rule, event.by, event.second)
    if event.cause in state.suppressed:
        return state, ()
    after = state._replace(suppressed=tuple(sorted((*state.suppressed, event.cause))))
    return inhibit("suppressed", state, after, now, _names(event.by, event.second), event.cause)


def _retire(rule: Rule, state: AlarmState, event: OutOfService, now: int) -> Moved:
    if not event.reason.strip():
        raise NotAllowedError("停用需要填写原因。")
    _need_two(rule, event.by, event.second)
    return inhibit("out_of_service", state, state._replace(out_of_service=True), now, _names(event.by, event.second), event.reason)


def _need_two(rule: Rule, by: str, second: str) -> None:
    if rule.two_persons and (not by.strip() or not second.strip() or by.strip() == second.strip()):
        raise NotAllowedError("该告警须由两人共同确认，请填写另一人的姓名。")


def _names(by: str, second: str) -> str:
    return "、".join(name.strip() for name in (by, second) if name.strip())


def _acknowledge(state: AlarmState, event: Acknowledge, now: int) -> Moved:
    if not state.open:
        raise NotAllowedError(_NOTHING_TO_TAKE)
    if state.acknowledged:
        return state, ()
    after = state._replace(acknowledged=True, acked_at=now, acked_by=event.by)
    return after, (changed("acknowledged", state, after, now, event.by, event.note),)


def _unacknowledge(state: AlarmState, event: Unacknowledge, now: int) -> Moved:
    if not state.acknowledged:
        return state, ()
    if state.acked_at is None or not state.acked_by:
        raise NotAllowedError("当前没有可以撤回的接手。")
    if event.by != state.acked_by:
        raise NotAllowedError("只有接手人本人可以撤回接手。")
    if now - state.acked_at > UNACKNOWLEDGE_MS:
        raise NotAllowedError(f"接手已超过 {UNACKNOWLEDGE_MS // 1000} 秒，不能撤回，请转交他人。")
    after = state._replace(acknowledged=False, acked_at=None, acked_by="")
    return after, (changed("unacknowledged", state, after, now, event.by),)


def _expire(state: AlarmState, now: int) -> Moved:
    """Only of a take-over that stands and that people would be told about; under an inhibit the end of that asks anew anyway."""
    if not state.open or state.acked_at is None or state.inhibited or state.machine not in ("active_acked", "latched_acked"):
        return state, ()
    after = state._replace(acknowledged=False, acked_at=None, acked_by="", announced=True)
    return after, (changed("take_over_expired", state, after, now, state.acked_by, annunciate=True),)


def _ask_again(state: AlarmState, now: int) -> Moved:
    """What is over or inhibited asks for nothing."""
    if not state.tripped or state.inhibited:
        return state, ()
    after = state._replace(acknowledged=False, announced=True)
    return after, (changed("re_alarmed", state, after, now, annunciate=True),)


def _shelve(rule: Rule, state: AlarmState, event: Shelve, now: int) -> Moved:
    if rule.two_persons:  # a shelf is one person's
        raise NotAllowedError("该告警不允许由一人暂停提醒，须两人共同停用。")
    if rule.shelve_max_ms == 0:
        raise NotAllowedError("该告警不允许暂停提醒。")
    if not event.reason.strip():
        raise NotAllowedError("暂停提醒需要填写原因。")
    if event.until <= now:
        raise NotAllowedError("暂停提醒的结束时间须晚于现在。")
    if event.until > now + rule.shelve_max_ms:
        raise NotAllowedError(f"暂停提醒最长 {_duration_zh(rule.shelve_max_ms)}。")
    after = state._replace(shelved_until=event.until, shelve_one_shot=event.one_shot)
    return inhibit("shelved", state, after, now, event.by, event.reason)


def _duration_zh(ms: int) -> str:
    text = duration_text(ms)
    for unit, word in (("ms", " 毫秒"), ("d", " 天"), ("h", " 小时"), ("m", " 分钟"), ("s", " 秒")):
        if text.endswith(unit):
            return text.removesuffix(unit) + word
    return text


def _reset(state: AlarmState, event: Reset, now: int) -> Moved:
    if state.machine != "latched_acked":
        raise NotAllowedError(_RESET_REFUSALS[state.machine])
    if state.onsets:
        raise NotAllowedError("测值又在越限，恢复后才能复位。")
    after = state._replace(latched=False)  # who had it stays on the record, as after any other end
    return after, (changed("reset", state, after, now, event.by, event.note),)
