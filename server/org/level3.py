"""等保三级 self-check: lines of GB/T 22239-2019 level 3 (general and IoT extension), each held against the running system.

Section numbers come from a secondary source. What a program cannot see is said to be for people, and never counts as passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from server.org import chain_check
from server.org.checks import ZONE
from server.org.sessions import SignInLimits
from server.store import anchors, audit
from server.store.tables import Account, Gateway
from server.store.tables_gateway import GatewayCredential
from server.store.tables_security import AccountSecurity

OK, WRONG, PEOPLE = "ok", "wrong", "people"
ADMINISTRATORS = ("system", "security", "audit")
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the running system says of itself. `rates_on`: limits per minute are in force; `https`: the outside address is encrypted; `certificates`:
    the broker asks every gateway for a client certificate.
    """

    limits: SignInLimits
    rates_on: bool
    https: bool
    certificates: bool = False
    now: int


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence as the catalogues know it, and what fills its marks."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)


def _say(text: str, **values: object) -> Said:
    return Said(text, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: section, what is asked, ok | wrong | people, and what was found, sentence by sentence."""

    section: str
    title: str
    state: str
    said: tuple[Said, ...]

    @property
    def found(self) -> str:
        """What was found, as the evidence keeps it."""
        return "；".join(one.text % one.values for one in self.said)


Check = Callable[[Session, Running], tuple[bool, tuple[Said, ...]]]


def _unique(session: Session, _running: Running) -> tuple[bool, tuple[Said, ...]]:
    live = Account.disabled.is_(False)
    count = session.scalar(select(func.count()).select_from(Account).where(live)) or 0
    if count < 2:
        return False, (_say("在用账号 %(n)s 个，无从核对：每人应有自己的账号", n=count),)
    folded = func.lower(Account.login)
    twins = session.scalars(select(func.min(Account.login)).where(live).group_by(folded).having(func.count() > 1)).all()
    if twins:
        return False, (_say("核对了 %(n)s 个在用账号：登录名只差大小写：%(who)s", n=count, who=", ".join(sorted(twins)[:5])),)
    return True, (_say("核对了 %(n)s 个在用账号：登录名不分大小写各不相同", n=count),)


def _lockout(_session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    limits = running.limits
    said = _say("失败 %(n)s 次锁定 %(minutes)s 分钟", n=limits.failures, minutes=limits.lock_ms // 60_000)
    return limits.failures <= 5 and limits.lock_ms >= 600_000, (said,)


def _timeout(_session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    limits = running.limits
    text = "闲置 %(idle)s 分钟退出，最长 %(hours)s 小时（检查习惯是闲置不超过 30 分钟）"
    return limits.idle_ms <= 30 * 60_000, (_say(text, idle=limits.idle_ms // 60_000, hours=limits.absolute_ms // 3_600_000),)


def _second_factor(session: Session, _running: Running) -> tuple[bool, tuple[Said, ...]]:
    query = select(Account.display_name).outerjoin(AccountSecurity, AccountSecurity.account == Account.id)
    query = query.where(Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False), AccountSecurity.totp_since.is_(None))
    missing = session.scalars(query.order_by(Account.display_name, Account.login)).all()
    if not missing:
        return True, (_say("管理员都有第二因素"),)
    return False, (_say("管理员 %(n)s 人没有第二因素：%(who)s", n=len(missing), who=", ".join(missing[:5])),)


def _three(session: Session, _running: Running) -> tuple[bool, tuple[Said, ...]]:
    held = set(session.scalars(select(Account.role).where(Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False)).distinct()))
    both = select(Account.person).where(Account.role.in_(ADMINISTRATORS), Account.person.is_not(None), Account.disabled.is_(False))
    double = session.scalars(both.group_by(Account.person).having(func.count(func.distinct(Account.role)) > 1)).all()
    whole = held == set(ADMINISTRATORS)
    return whole and not double, (_say("三员齐全") if whole else _say("三员不齐全"), _say("一人兼任 %(n)s 人", n=len(double)))


def _when(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, ZONE).strftime("%Y-%m-%d %H:%M")


def _since_anchor(session: Session) -> audit.Walk:
    """The log from the last anchor on. The whole of it is walked each night and when somebody asks (chain_check)."""
    anchor = anchors.newest(session)
    return audit.walk(session) if anchor is None else audit.walk(session, anchor.last, anchor.chain)


def _audit_chain(session: Session, _running: Running) -> tuple[bool, tuple[Said, ...]]:
    whole, anchor, walk = chain_check.newest(session), anchors.newest(session), _since_anchor(session)
    if whole is not None and whole.finished_at is not None and whole.broken is not None:
        return False, (_say("%(time)s 核对全链：从第 %(n)s 条起对不上", time=_when(whole.finished_at), n=whole.broken),)
    if walk.broken is not None:
        return False, (_say("审计在第 %(n)s 条断开", n=walk.broken),)
    said = [_say("审计 %(n)s 条，链完整", n=walk.last)]
    if anchor is not None:
        said.append(_say("%(day)s 的锚以来 %(n)s 条刚刚核对", day=anchor.day, n=walk.rows))
    else:
        said.append(_say("全部 %(n)s 条刚刚核对", n=walk.rows))
    if whole is not None and whole.finished_at is not None:
        said.append(_say("全链 %(n)s 条核对于 %(time)s", n=whole.done, time=_when(whole.finished_at)))
    return True, tuple(said)


def _audit_kept(session: Session, _running: Running) -> tuple[bool, tuple[Said, ...]]:
    lite = session.get_bind().dialect.name == "sqlite"
    query = (
        "sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'" if lite else "pg_trigger WHERE tgrelid = 'audit'::regclass AND NOT tgisinternal"
    )
    guards = session.execute(text(f"SELECT count(*) FROM {query}")).scalar_one()  # noqa: S608 - one of two constants
    return bool(guards), (_say("审计永久保存，数据库拒绝修改和删除") if guards else _say("数据库没有拒绝修改审计的触发器"),)


def _anchored(session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    found = anchors.of_day(session, "", None)
    age = min(((running.now - anchor.made_at) // _DAY_MS for anchor in found), default=None)
    return age is not None and age <= 1, (_say("没有锚") if age is None else _say("最近一次锚在 %(n)s 天前", n=age),)


def _rates(_session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    return running.rates_on, (_say("限次已启用") if running.rates_on else _say("限次没有启用"),)


def _https(_session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    said = _say("对外地址使用 HTTPS") if running.https else _say("没有设置以 https 开头的对外地址，无法确认浏览器到中心的加密")
    return running.https, (said,)


def _claimed(session: Session, running: Running) -> tuple[bool, tuple[Said, ...]]:
    claimed = select(Gateway.code).where(Gateway.unit.is_not(None))
    total = session.scalar(select(func.count()).select_from(Gateway)) or 0
    waiting = session.scalar(select(func.count()).select_from(Gateway).where(Gateway.unit.is_(None))) or 0
    own = select(GatewayCredential.gateway).where(GatewayCredential.revoked_at.is_(None))
    shared = session.scalar(select(func.count()).select_from(claimed.where(Gateway.code.not_in(own)).subquery())) or 0
    said = [_say("网关 %(n)s 台，其中 %(waiting)s 台未认领：其数据不评价、不确认", n=total, waiting=waiting)]
    if shared and running.certificates:
        said.append(_say("%(n)s 台没有本系统发的凭据，凭客户端证书接入", n=shared))
    elif shared:
        said.append(_say("%(n)s 台没有本系统发的凭据；凭客户端证书接入的，要在服务器配置里写明", n=shared))
    return running.certificates or not shared, tuple(said)


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
        good, said = check(session, running)
        found.append(Line(section=section, title=title, state=OK if good else WRONG, said=said))
    found += [Line(section=section, title=title, state=PEOPLE, said=(_say(what),)) for section, title, what in BY_PEOPLE]
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
