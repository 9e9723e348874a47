"""trace: the way of one alarm from the sensor to the person, with the delay of each step."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from server.commands import NOT_FOUND, OK, CommandError, add, database, emit, settings_of
from server.commands.remote import ask, server_or_store
from server.duty.words import TRANSITIONS
from server.store import alarms, traces
from server.store.tables import Alarm

BEIJING = ZoneInfo("Asia/Shanghai")
_STAGES = {"measured": "测得", "received": "中心收到", "step": "上报一级到时", "queued": "待发", "sent": "已交运营商", "receipt": "回执"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def trace_alarm(args: argparse.Namespace) -> int:
    """Print every recorded step of an alarm; ALARM is its id, or the six-digit number of its messages."""
    with server_or_store(settings_of(args)) as client:
        if client is not None:
            named = (
                ask(client, "GET", "/alarms", params={"number": args.alarm, "limit": 1}).json()["items"]
                if len(args.alarm) == alarms.NUMBER_LENGTH
                else []
            )
            found = ask(client, "GET", f"/alarms/{named[0]['id'] if named else int(args.alarm)}/trace").json()
        else:
            found = _here(args)
    lines = [f"告警 {found['alarm']}（编号 {found['number']}）{found['room'] or ''} {found['rule']}"]
    lines += [f"{_clock(step['at'])}  +{step['after_s']:.3f} 秒  {_word(step['stage'])}  {step['detail']}" for step in found["steps"]]
    emit(found, args, "\n".join(lines))
    return OK


def _here(args: argparse.Namespace) -> dict[str, Any]:
    with database(settings_of(args)).read() as session:
        named = alarms.page(session, None, number=args.alarm, limit=1) if len(args.alarm) == alarms.NUMBER_LENGTH else []
        row: Alarm | None = named[0] if named else session.get(Alarm, int(args.alarm))
        if row is None:
            raise CommandError(f"没有告警 {args.alarm}。", NOT_FOUND)
        steps = traces.read(session, row)
        first = steps[0].at if steps else 0
        shown = [{"at": _instant(step.at), "after_s": (step.at - first) / 1000, "stage": step.stage, "detail": step.detail} for step in steps]
        return {"alarm": row.id, "number": row.number, "room": row.room, "rule": row.rule, "steps": shown}


def _instant(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _word(stage: str) -> str:
    return _STAGES.get(stage) or str(TRANSITIONS.get(stage, stage))


def _ident(text: str) -> str:
    """Digits, with or without the space that pages print in a number."""
    digits = text.replace(" ", "")
    if not digits.isdigit():
        raise argparse.ArgumentTypeError("应为告警的号码，或短信里的六位编号")
    return digits


def register(commands: Any) -> None:
    """Add the commands of this module."""
    add(commands, "trace", trace_alarm, "一条告警从传感器到人的每一步和用时").add_argument("alarm", type=_ident, metavar="ALARM")
