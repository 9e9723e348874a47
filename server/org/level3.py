"""等保三级 self-check: lines of GB/T 22239-2019 level 3 (general and IoT extension), each held against the running system.

Section numbers come from a secondary source. What a program cannot see is said to be for people, and never counts as passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from server.org import chain_check
from server.org.checks import ZONE
from server.org.sessions import SignInLimits
from server.store import anchors, audit
from server.store.tables import Account, Gateway
from server.store.tables_security import AccountSecurity

OK, WRONG, PEOPLE = "ok", "wrong", "people"
ADMINISTRATORS = ("system", "security", "audit")
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the running system says of itself. `rates_on`: limits per minute are in force; `https`: the outside address is encrypted."""

    limits: SignInLimits
    rates_on: bool
    https: bool
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: section, what is asked, ok | wrong | people, and what was found."""

    section: str
    title: str
    state: str
    found: str


Check = Callable[[Session, Running], tuple[bool, str]]


def _unique(session: Session, _running: Running) -> tuple[bool, str]:
    count = session.scalar(select(func.count()).select_from(Account).where(Account.disabled.is_(False))) or 0
    return count > 0, f"在用账号 {count} 个，登录名唯一"


def _lockout(_session: Session, running: Running) -> tuple[bool, str]:
    limits = running.limits
    return limits.failures <= 5 and limits.lock_ms >= 600_000, f"失败 {limits.failures} 次锁定 {limits.lock_ms // 60_000} 分钟"


def _timeout(_session: Session, running: Running) -> tuple[bool, str]:
    limits = running.limits
    return (
        limits.idle_ms <= 30 * 60_000,
        f"闲置 {limits.idle_ms // 60_000} 分钟退出，最长 {limits.absolute_ms // 3_600_000} 小时（检查习惯是闲置不超过 30 分钟）",
    )


def _second_factor(session: Session, _running: Running) -> tuple[bool, str]:
    query = select(Account.display_name).outerjoin(AccountSecurity, AccountSecurity.account == Account.id)
    query = query.where(Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False), AccountSecurity.totp_since.is_(None))
    missing = session.scalars(query.order_by(Account.display_name, Account.login)).all()
    return not missing, f"管理员 {len(missing)} 人没有第二因素：{'、'.join(missing[:5])}" if missing else "管理员都有第二因素"


def _three(session: Session, _running: Running) -> tuple[bool, str]:
    held = set(session.scalars(select(Account.role).where(Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False)).distinct()))
    both = select(Account.person).where(Account.role.in_(ADMINISTRATORS), Account.person.is_not(None), Account.disabled.is_(False))
    double = session.scalars(both.group_by(Account.person).having(func.count(func.distinct(Account.role)) > 1)).all()
    return held == set(ADMINISTRATORS) and not double, f"三员齐全：{'是' if held == set(ADMINISTRATORS) else '否'}；一人兼任 {len(double)} 人"


def _when(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, ZONE).strftime("%Y-%m-%d %H:%M")


def _since_anchor(session: Session) -> audit.Walk:
    """The log from the last anchor on. The whole of it is walked each night and when somebody asks (chain_check)."""
    anchor = anchors.newest(session)
    return audit.walk(session) if anchor is None else audit.walk(session, anchor.last, anchor.chain)


def _audit_chain(session: Session, _running: Running) -> tuple[bool, str]:
    whole, anchor, walk = chain_check.newest(session), anchors.newest(session), _since_anchor(session)
    if whole is not None and whole.finished_at is not None and whole.broken is not None:
        return False, f"{_when(whole.finished_at)} 核对全链：从第 {whole.broken} 条起对不上"
    if walk.broken is not None:
        return False, f"审计在第 {walk.broken} 条断开"
    since = f"{anchor.day} 的锚以来 {walk.rows} 条刚刚核对" if anchor is not None else f"全部 {walk.rows} 条刚刚核对"
    before = "" if whole is None or whole.finished_at is None else f"，全链 {whole.done} 条核对于 {_when(whole.finished_at)}"
    return True, f"审计 {walk.last} 条，链完整（{since}{before}）"


def _audit_kept(session: Session, _running: Running) -> tuple[bool, str]:
    lite = session.get_bind().dialect.name == "sqlite"
    query = (
        "sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'" if lite else "pg_trigger WHERE tgrelid = 'audit'::regclass AND NOT tgisinternal"
    )
    guards = session.execute(text(f"SELECT count(*) FROM {query}")).scalar_one()  # noqa: S608 - one of two constants
    return bool(guards), "审计永久保存，数据库拒绝修改和删除" if guards else "数据库没有拒绝修改审计的触发器"


def _anchored(session: Session, running: Running) -> tuple[bool, str]:
    found = anchors.of_day(session, "", None)
    age = min(((running.now - anchor.made_at) // _DAY_MS for anchor in found), default=None)
    return age is not None and age <= 1, "没有锚" if age is None else f"最近一次锚在 {age} 天前"


def _rates(_session: Session, running: Running) -> tuple[bool, str]:
    return running.rates_on, "限次已启用" if running.rates_on else "限次没有启用"


def _https(_session: Session, running: Running) -> tuple[bool, str]:
    return running.https, "对外地址使用 HTTPS" if running.https else "没有设置以 https 开头的对外地址，无法确认浏览器到中心的加密"


def _claimed(session: Session, _running: Running) -> tuple[bool, str]:
    total = session.scalar(select(func.count()).select_from(Gateway)) or 0
    waiting = session.scalar(select(func.count()).select_from(Gateway).where(Gateway.unit.is_(None))) or 0
    return True, f"网关 {total} 台，其中 {waiting} 台未认领：其数据不评价、不确认"


CHECKS: Mapping[str, tuple[str, Check]] = {
    "8.1.4.1 a": ("身份唯一", _unique), "8.1.4.1 b-1": ("登录失败处理", _lockout), "8.1.4.1 b-2": ("超时退出", _timeout),
    "8.1.4.1 c": ("传输中防窃听", _https), "8.1.4.1 d": ("管理员双因素", _second_factor), "8.1.4.3 a": ("审计覆盖与完整", _audit_chain),
    "8.1.4.3 c": ("审计保存", _audit_kept), "8.1.5.4": ("审计集中与外送", _anchored), "8.1.5.1": ("三员分立", _three),
    "8.1.4.4": ("入侵防范：限次", _rates), "8.4.2.1": ("物联网：节点准入", _claimed),
}  # fmt: skip
BY_PEOPLE: Sequence[tuple[str, str, str]] = (
    ("8.1.1", "安全物理环境", "机房位置、门禁、防火、防水由使用单位核对"),
    ("8.1.3", "安全区域边界", "防火墙和边界平台由网络管理单位核对"),
    ("8.1.4.9", "备份恢复", "archivewatch backup 与异地保存，按季度演练一次"),
    ("8.1.6", "安全管理制度", "制度和岗位文件"),
    ("8.4.1", "物联网：感知节点物理防护", "传感器和网关的安装位置"),
    ("8.1.4.7", "国密算法", "TLS 由前置的国密网关终结时核对"),
)


def lines(session: Session, running: Running) -> list[Line]:
    """All lines, by section."""
    found = []
    for section, (title, check) in CHECKS.items():
        good, what = check(session, running)
        found.append(Line(section=section, title=title, state=OK if good else WRONG, found=what))
    found += [Line(section=section, title=title, state=PEOPLE, found=what) for section, title, what in BY_PEOPLE]
    return sorted(found, key=lambda line: line.section)


def document(session: Session, running: Running) -> dict[str, Any]:
    """The evidence: lines, when, and the end of the audit chain at that moment."""
    walk, whole = _since_anchor(session), chain_check.newest(session)
    broken = walk.broken if whole is None or whole.broken is None else whole.broken
    rows = [{"section": line.section, "title": line.title, "state": line.state, "found": line.found} for line in lines(session, running)]
    checked = None if whole is None else {"at": whole.finished_at, "by": whole.asked_by, "rows": whole.done, "first_broken": whole.broken}
    return {
        "made_at": running.now, "audit_rows": walk.last, "audit_chain": walk.chain, "audit_first_broken": broken, "audit_checked": checked,
        "lines": rows,
    }  # fmt: skip
