"""接手 of several alarms at once: each by its own command, with its own outcome; smoke and 特急 only one by one."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from alarms.builtin import ALWAYS_HEARD
from server.store.tables import Alarm
from server.watch.commands import Acknowledge
from server.web import door
from server.web.auth import Principal, require_alarm
from server.web.problems import ProblemError, invalid
from server.web.services import Services

MOST = 100
ONE_BY_ONE = "烟感和特急告警只能逐条接手：请打开它，先看处置卡。"


class Each(NamedTuple):
    """What became of one alarm: taken over or not, its state afterwards where that is known, and a sentence."""

    alarm: int
    ok: bool
    state: str
    sentence: str


def one_by_one(alarm: Alarm) -> bool:
    """Whether an alarm is never taken over together with others: nobody shall miss a fire among a dozen damp rooms."""
    return alarm.level == "critical" or alarm.quantity in ALWAYS_HEARD


def chosen(services: Services, who: Principal, idents: Sequence[int]) -> list[Alarm]:
    """The alarms, each once, in the given order. Raises ProblemError 422 for none or too many, 404 if one of them is not his to see."""
    asked = list(dict.fromkeys(idents))
    if not 1 <= len(asked) <= MOST:
        raise invalid(f"请选中 1 到 {MOST} 条告警。", "alarms", f"1 to {MOST} alarms")
    with services.db.read() as session:
        return [require_alarm(session, who, ident) for ident in asked]


async def take_over(services: Services, who: Principal, found: Sequence[Alarm], note: str, via: str) -> list[Each]:
    """Take them over, all under way at once, so that the watch commits them together; one that fails keeps none of the others back."""
    return list(await asyncio.gather(*(_one(services, who, alarm, note, via) for alarm in found)))


async def _one(services: Services, who: Principal, alarm: Alarm, note: str, via: str) -> Each:
    if one_by_one(alarm):
        return Each(alarm.id, ok=False, state=alarm.state, sentence=ONE_BY_ONE)
    command = Acknowledge(alarm=alarm.id, by=who.name, account=who.account, via=via, note=note)
    try:
        outcome = await door.submit(services, command)
    except ProblemError as problem:
        return Each(alarm.id, ok=False, state="", sentence=problem.detail)
    return Each(alarm.id, ok=True, state=outcome.state, sentence=door.sentence(command, outcome))
