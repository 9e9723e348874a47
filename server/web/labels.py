"""The words of language.md for codes, in Chinese; i18n.py turns them into other languages. One word for one thing."""

from collections.abc import Iterator, Mapping

from server.duty.answers import ASKS
from server.duty.incident_work import CODES
from server.duty.words import CHANNELS, EVENTS, INCIDENT_ENTRIES, INCIDENT_STATES, LEVELS, NOTIFICATION_STATES, REASONS, SUPPRESSIONS, TRANSITIONS
from server.org.audit_words import ACTIONS, DETAILS, ROLES
from server.org.imports import KINDS
from server.org.vocabulary import MEDIA_TITLES
from server.reports.kinds import KINDS as REPORTS
from server.reports.words import CAUSES as PAPER_CAUSES
from server.reports.words import DENOMINATORS, FIGURES, GRADES, STAGES
from server.web import labels_org
from server.web.faults import SENTENCES

OWN_RULE_FILE = "单位自定规则文件"
"""Stands before the name of an operator's own file as the source of a rule."""
ROOM_STATES = {
    **{level: LEVELS[level] for level in ("critical", "urgent", "alarm")},
    "blind": "值守中断",
    "degraded": "部分值守",
    "warn": LEVELS["warn"],
    "maintenance": "维护",
    "normal": "正常",
    "unconnected": "未接入",
}
SHAPES = {
    "critical": "◆",
    "urgent": "◆",
    "alarm": "▲",
    "blind": "○",
    "degraded": "◐",
    "warn": "●",
    "maintenance": "▽",
    "normal": "•",
    "unconnected": "–",
}
ALARM_STATES = {
    "normal": "正常",
    "active_unacked": "告警·待接手",
    "active_acked": "告警·已接手",
    "cleared_unacked": "已恢复·待确认",
    "latched_unacked": "锁定·待接手",
    "latched_acked": "锁定·待复位",
    "shelved": "暂停提醒",
    "suppressed": "自动抑制",
    "out_of_service": "停用",
}
QUALITIES = {"good": "有效", "uncertain": "存疑", "bad": "无效", "stale": "过期", "missing": "缺测"}
COVERAGE = {"watched": "值守有效", "degraded": "部分值守", "blind": "值守中断", "manual": "人工值守", "unknown": "无记录"}
AIRING = {"open": "可以通风", "keep": "不必通风", "close": "勿开窗通风"}
AIRING_REASONS = {
    "drier": "室外空气更干",
    "hardly_drier": "室外只略干一点",
    "wetter": "室外空气更湿",
    "too_cold_or_hot": "室外太冷或太热",
    "bad_weather": "有雨或雾霾",
}
CAUSES = {**{code: word for code, word in PAPER_CAUSES.items() if code}, "manual": "人工值守"}
STATES_OF = {
    "smoke": {0: "未见烟", 1: "有烟"},
    "leak": {0: "无水", 1: "有水"},
    "door": {0: "关", 1: "开"},
    "motion": {0: "无人", 1: "有人"},
    "power": {0: "停电", 1: "有电"},
    "tamper": {0: "完好", 1: "被拆动"},
    "fault": {0: "完好", 1: "故障"},
    "relay": {0: "断", 1: "通"},
    "camera": {0: "有画面", 1: "无画面", 2: "黑屏", 3: "白屏", 4: "被遮挡", 5: "模糊", 6: "移位", 7: "画面不动"},
}
DRILL_STATES = {"waiting": "等待", "sent": "已下发", "detected": "已测到", "ended": "完成", "failed": "未完成"}
CHECK_STATES = {"open": "待答复", "right": "相符", "wrong": "不符", "missed": "未答复"}
BEHAVIOURS = {"chattering": "频繁跳变", "fleeting": "一闪而过"}
CHANNELS |= {"email": "邮件", "webhook": "推送", "twilio_voice": "语音", "chat": "群消息", "screen": "屏幕", "siren": "警号"}
LOOKS = {"waiting": "等待答复", "normal": "平安", "problem": "有情况", "unreachable": "联系不上", "unanswered": "未答复"}
WORK_STATES = {"planned": "已安排", "running": "进行中"}
PENDING = {"maintenance": "维护", "planned": "维护安排，开始于", "shelved": "暂停提醒", "look": "派查未答复", "gap": "值班空缺"}
PROPOSALS = {
    "delay": "多数几分钟内自行恢复，建议加长持续时间",
    "deadband": "反复出现，建议加大回差",
    "demote": "多数无人接手，建议降一级或并入日报",
    "group": "多间同时出现，建议合并为一条",
    "keep": "暂无建议",
}
DIGITS = {action: digit for digit, action in ASKS.items()}
"""The digits of texts and calls (server/duty/answers.py), shown and taken as keys where answers are buttons."""
VIA = {"page": "值守台", "api": "接口", "sms": "短信", "voice": "语音"}
AUDIT_ACTIONS = {**ACTIONS, **{f"report.{name}": kind.title for name, kind in REPORTS.items()}}
NOTES = (
    "已到场查看",
    "已电话通知在场人员",
    "正在赶往，约 20 分钟",
    "已开除湿机",
    "已关门窗",
    "已断电、关水",
    "已报修",
    "正在施工，已登记",
    "现场无异常，继续观察",
    "请上一级支援",
)
"""接手备注 of language.md 5.1."""

SHELVES = {15: "15 分钟", 30: "30 分钟", 60: "1 小时", 120: "2 小时", 240: "4 小时", 480: "8 小时"}
"""Minutes a reminder may be paused for."""

SOUNDS = {"off": "静音", "critical": "特急", "urgent": "紧急及以上", "alarm": "一般及以上", "warn": "全部级别"}
"""From which level on a page sounds."""

FIRE_SENTENCE = "本系统是辅助值守，火灾报警以消防控制室和119为准。"
"""The fixed sentence (language.md rule 10)."""

SPOKEN = {"ago_s": "%(n)s 秒前", "ago_m": "%(n)s 分钟前", "ago_h": "%(n)s 小时前", "ago_d": "%(n)s 天前"}
SPOKEN |= {"for_s": "%(n)s 秒", "for_m": "%(n)s 分", "for_h": "%(n)s 小时", "for_hm": "%(h)s 小时 %(m)s 分", "for_dh": "%(d)s 天 %(h)s 小时"}

SIDES = {"above": "高于范围", "below": "低于范围"}
COLUMNS = {(name, column.name): column for name, kind in KINDS.items() for column in kind.columns}
"""Columns of the books, by kind and name."""

FORM = {
    "actor_login": "登录名", "actor_pin": "PIN（有证书时可不填）",
    "again": "再输一次", "anchor": "从哪天起轮", "at": "时间", "begin": "开始", "code": "动态码", "days": "天数", "end": "结束",
    "hours": "小时数", "humidity": "湿度", "kind": "种类", "level": "级别", "limit": "限值", "measures": "处置措施", "minutes": "分钟数",
    "new": "新密码", "old": "原密码", "other": "编号", "password": "本人密码", "people": "人员", "period": "时段", "place": "库房或单位编号",
    "reader": "抄录人", "remark": "备注", "room": "库房编号", "second": "第二人登录名", "second_code": "第二人动态码",
    "second_password": "第二人密码", "stage": "阶段", "starts": "几点开始", "taken_at": "抄录时间", "temperature": "温度",
    "turn_days": "每轮几天", "unit": "单位编号", "until": "截止", "value": "数值", "weather": "天气", "why": "原因", "write": "操作",
}  # fmt: skip
"""Fields of forms, as a refused form comes back with them, where the particulars of the audit log have no word or another."""

CHOICES = {"stage": "stage", "level": "level", "kind": "edit_kind"}
"""Fields of forms that are chosen from a table of words."""
ROLE_TABLES = ("person_role", "role")

TABLES: Mapping[str, Mapping[str, str]] = {
    "room_state": ROOM_STATES,
    "alarm_state": ALARM_STATES,
    "level": LEVELS,
    "quality": QUALITIES,
    "coverage": COVERAGE,
    "airing": AIRING,
    "airing_reason": AIRING_REASONS,
    "cause": CAUSES,
    "stage": STAGES,
    "medium": MEDIA_TITLES,
    "event": EVENTS,
    "transition": TRANSITIONS,
    "suppression": SUPPRESSIONS,
    "behaviour": BEHAVIOURS,
    "figure": FIGURES,
    "denominator": DENOMINATORS,
    "grade": GRADES,
    "incident_state": INCIDENT_STATES,
    "drill_state": DRILL_STATES,
    "check_state": CHECK_STATES,
    "incident_entry": INCIDENT_ENTRIES,
    "closing": CODES,
    "notification": NOTIFICATION_STATES,
    "reason": REASONS,
    "channel": CHANNELS,
    "look": LOOKS,
    "pending": PENDING,
    "work_state": WORK_STATES,
    "proposal": PROPOSALS,
    "role": ROLES,
    "via": VIA,
    "audit": AUDIT_ACTIONS,
    "spoken": SPOKEN,
    "side": SIDES,
    "detail": DETAILS,
    "form": FORM,
    **labels_org.TABLES,
}


def everything() -> Iterator[str]:
    """Every word of this module, for the test that the catalogues are complete."""
    for table in TABLES.values():
        yield from table.values()
    for states in STATES_OF.values():
        yield from states.values()
    yield from SENTENCES
    yield from (*NOTES, *SHELVES.values(), *SOUNDS.values(), FIRE_SENTENCE)
