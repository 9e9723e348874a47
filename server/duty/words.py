"""Chinese words for what happens in an alarm and an incident (language.md): screens, papers and dossiers say the same."""

import re

LEVELS = {"critical": "特急", "urgent": "紧急", "alarm": "一般", "warn": "提示"}
"""The worst first."""
POSTS = {"duty_officer": "值班员", "person_in_charge": "责任人", "archive_head": "负责人", "duty_leader": "带班领导"}
"""Offices as a message may name them, in which a person's name never stands; the full titles stand on pages."""
EVENTS = {
    "smoke": "烟感告警",
    "smoke_lost": "烟感后失联",
    "group_offline": "成片离线",
    "group_restart": "中心恢复后成片离线",
    "group_bus": "多个测点失联",
    "group_power": "成片停电",
    "group_weather": "成片温湿度越限",
    "leak": "漏水",
    "door_held": "库门未关",
    "door": "门被打开",
    "motion": "非法入侵",
    "power": "停电",
    "camera": "摄像机异常",
    "gateway": "网关离线",
    "blind": "值守中断",
    "stale": "传感器失联",
    "stuck": "数值不变",
    "untrusted": "读数可疑",
    "humidity_high": "湿度过高",
    "humidity_low": "湿度过低",
    "temperature_high": "温度过高",
    "temperature_low": "温度过低",
    "temperature_rate": "快速升温",
    "humidity_swing": "湿度波动大",
    "temperature_swing": "温度波动大",
    "dew_point": "将要结露",
    "mould": "霉变风险",
    "tamper": "设备被拆",
    "fault": "设备故障",
    "battery": "电量不足",
    "spool_fill": "缓存快满",
    "clock_offset": "网关时钟不准",
    "duty_vacancy": "值班空缺",
    "channel_outage": "通道中断",
    "calibration_due": "校准到期",
    "emergency_access": "应急授权",
    "centre_fault": "中心故障",
    "other": "异常",
}
TRANSITIONS = {
    "raised": "产生",
    "re_raised": "再次产生",
    "escalated": "级别升高",
    "deescalated": "级别降低",
    "re_alarmed": "再次提醒",
    "known_late": "补记",
    "cleared": "恢复",
    "latched": "恢复，锁定",
    "acknowledged": "接手",
    "unacknowledged": "撤销接手",
    "shelved": "暂停提醒",
    "unshelved": "恢复提醒",
    "shelf_expired": "暂停到期",
    "suppressed": "自动抑制",
    "unsuppressed": "抑制结束",
    "out_of_service": "停用",
    "returned": "恢复使用",
    "reset": "复位",
    "closed": "转为正常",
    "comment": "备注",
    "progress": "到场",
    "assist": "求援",
    "decline": "去不了",
    "reopen": "退回",
    "seen": "已看到",
    "no_danger": "现场无险情",
    "also_acknowledged": "另有人答复接手",
    "take_over_expired": "接手超时，重新通知",
    "withdrawn": "规则或测点已撤，不再判定",
}
SUPPRESSIONS = {"maintenance": "维护", "gateway_offline": "网关离线", "chronic": "长期不达标"}
"""Why the program itself holds an alarm back: the note of such a transition."""
INCIDENT_STATES = {"open": "处置中", "reported": "待传感器核实", "closed": "已办结"}
INCIDENT_ENTRIES = {
    "opened": "事件开始",
    "joined": "并入告警",
    "step": "完成一步",
    "unstep": "撤回一步",
    "log": "记录",
    "report": "报告处置结论",
    "closed": "办结",
    "reopened": "退回",
    "filed": "归档",
    "photo": "照片",
    "told": "通知送出",
}
NOTIFICATION_STATES = {
    "queued": "待发",
    "claimed": "正在发送",
    "sent": "已发出",
    "delivered": "已送达",
    "undelivered": "未送达",
    "failed": "发送失败",
    "dropped": "不再需要",
    "merged": "并入汇总",
}
REASONS = {
    "raised": "告警", "escalated": "逐级上报", "cleared": "恢复", "taken": "已接手", "assist": "求援", "supervise": "监督线", "progress": "询问进展",
    "reopened": "退回", "digest": "早间汇总", "summary": "限频汇总", "verify": "号码验证", "test": "试发", "look": "派查", "vacancy": "值班空缺",
    "reply": "答复", "group": "合并告警", "expire": "接手到期", "progressed": "进展",
}  # fmt: skip
DESK = "值班室"
_OF_UNITS = re.compile("公安局|公安|派出所|分局|人民检察院|检察院|人民法院|法院|司法局|国安局|看守所|拘留所|监狱|武警|部队|纪委|监委")
"""Words that tell what sort of unit a place belongs to: no message may, whatever somebody has written into a short name."""
CHANNELS = {"twilio_sms": "短信", "sms": "短信", "outbox_file": "短信（存文件）", "modem": "短信猫", "http_gateway": "短信", "voice": "语音"}
RECEIPTS = {
    "accepted": "已发出", "queued": "已发出", "sending": "已发出", "sent": "已发出", "delivered": "已送达", "read": "已读", "undelivered": "未送达",
    "failed": "未送达", "canceled": "已取消",
}  # fmt: skip


def desk(unit: str) -> str:
    """The name under which the duty room of a unit stands in lists and on the record; `unit` is the unit's short name."""
    return f"{unit}{DESK}"


def place(text: str, width: int) -> str:
    """A place as it may stand in a message: letters and digits of the basic plane, no line break, emoji, link or unit word; cut at `width`."""
    said = "".join(c for c in text if (c.isalnum() or c in "-#·") and ord(c) <= 0xFFFF)
    while (less := _OF_UNITS.sub("", said)) != said:  # what is left may make another
        said = less
    return said[:width]
