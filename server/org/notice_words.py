"""What notices say. They are kept as Chinese sentences, each made of one of these texts, by which a page says it in another language again."""

import re
from collections.abc import Mapping
from typing import Final

FALLS_DUE: Final = "%(place)s %(device)s（%(quantity)s）校准将于 %(day)s 到期"
FELL_DUE: Final = "%(place)s %(device)s（%(quantity)s）校准已于 %(day)s 到期"
ASLEEP_SOON: Final = "账号 %(login)s（%(name)s）已 %(days)s 天没有登录，再过 %(left)s 天自动停用；本人仍在用时登录一次即可"
ASLEEP: Final = "账号 %(login)s（%(name)s）已 %(days)s 天没有登录，已停用；本人仍在用时请安全管理员恢复"
ASLEEP_LAST: Final = "账号 %(login)s（%(name)s）已 %(days)s 天没有登录，是这一角色的最后一个账号，没有停用，请核对"
REVIEW: Final = "%(quarter)s 人员与权限核对待签署"
REVIEW_LATE: Final = "%(quarter)s 人员与权限核对还没有签署，本季即将结束"
EMERGENCY: Final = "应急授权：%(name)s 以“%(role)s”权限操作 %(hours)s 小时，%(by)s 批准。原因：%(reason)s"
CHAIN: Final = "审计日志从第 %(row)s 条起对不上：有人改过数据库，或数据库损坏。请立即用独立校验脚本和上级的锚核对。"
FEED_SILENT: Final = "人员同步超过 24 小时没有送来名单，离职人员可能没有停用"
FEED_FAILED: Final = "%(file)s 没有同步：%(why)s"
UNANSWERED: Final = "%(by)s的派查有 %(rooms)s 间没有答复，已再叫一次，请电话联系或另派人查看"
TEXTS: Final = (
    FALLS_DUE, FELL_DUE, ASLEEP_SOON, ASLEEP, ASLEEP_LAST, REVIEW, REVIEW_LATE, EMERGENCY, CHAIN, FEED_SILENT, FEED_FAILED,
    UNANSWERED,
)  # fmt: skip

_MARK = re.compile(r"%\((\w+)\)s")


def _pattern(text: str) -> re.Pattern[str]:
    parts = _MARK.split(text)
    return re.compile("".join(f"(?P<{part}>.*)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL)


_PATTERNS: Final = tuple((text, _pattern(text)) for text in TEXTS)


def taken_apart(sentence: str) -> tuple[str, Mapping[str, str]] | None:
    """The text that a sentence was made of and what filled it; None for a sentence that none of them makes."""
    found = ((text, pattern.fullmatch(sentence)) for text, pattern in _PATTERNS)
    return next(((text, match.groupdict()) for text, match in found if match is not None), None)
