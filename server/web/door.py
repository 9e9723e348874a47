"""The one door through which the web changes an alarm: a command goes to the watch, its outcome comes back as an answer or a problem."""

import asyncio
import logging

from server.watch.commands import Command, Outcome
from server.web.problems import ProblemError
from server.web.services import Services

log = logging.getLogger("server.web")

_STATUS = {"not_found": 404, "conflict": 409, "not_allowed": 403}
DONE = {
    "Acknowledge": "已接手。",
    "Unacknowledge": "已撤销接手。",
    "Decline": "已转给下一位。",
    "Progress": "已记录到场。",
    "NoDanger": "已记录：现场无险情。锁定的告警还要复位。",
    "Assist": "已求援，上一级会收到通知。",
    "Shelve": "已暂停提醒。",
    "Unshelve": "已恢复提醒。",
    "Reset": "已复位。",
    "OutOfService": "已停用。",
    "ReturnToService": "已恢复使用。",
    "Comment": "已记录。",
    "Maintenance": "已登记维护。",
    "PlanWork": "已安排维护，到时自动开始、自动结束。",
    "CancelWork": "已取消。",
    "SetStage": "已改变阶段。",
    "Report": "已记录现场报告。",
}


async def submit(services: Services, command: Command) -> Outcome:
    """Hand a command to the watch and wait for its commit.

    Raises ProblemError: 404, 409 and 403 with the watch's sentence; 503 when the watch does not answer in time or could not commit. After a
    time-out the command may still take effect: the page shows the alarm as it is, so nobody is misled.
    """
    name = type(command).__name__
    future = asyncio.wrap_future(services.watch.submit(command))
    # asyncio.wait never cancels the future: the watch must always be able to set its result.
    done, _ = await asyncio.wait([future], timeout=services.settings.command_timeout_s)
    if not done:
        future.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise ProblemError(503, "中心暂时没有答复，请稍后看最新状态再试。", headers={"Retry-After": "5"})
    if (error := future.exception()) is not None:
        log.error("the watch could not carry out %s", name, exc_info=error)
        raise ProblemError(503, "没有记录成功，请再试一次。", headers={"Retry-After": "5"})
    outcome = future.result()
    if not outcome.ok:
        raise ProblemError(_STATUS.get(outcome.code, 409), outcome.sentence or "现在不能这样做。", code=outcome.code, state=outcome.state)
    return outcome


def sentence(command: Command, outcome: Outcome) -> str:
    """What to tell the person after success."""
    return outcome.sentence or DONE.get(type(command).__name__, "已完成。")
