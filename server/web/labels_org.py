"""Words of the organisation's pages, as codes name them."""

from collections.abc import Mapping

from server.org import vocabulary
from server.org.audit_words import EDIT_KINDS
from server.org.imports import KINDS

SWITCHES = {"on": "开", "off": "关"}
WRITE_STATES = {
    "held": "等第二个人确认",
    "pending": "待下发",
    "sent": "已下发，等结果",
    "expired": "过期，没有下发",
    "done": "已执行",
    "refused": "被拒绝",
    "failed": "没有成功",
    "unknown": "结果不明，请到现场看",
}
DANGERS = {"low": "危险：低", "medium": "危险：中", "high": "危险：高"}
WRITE_ROLES = {"duty": "值班员以上", "in_charge": "责任人以上", "system": "系统接口"}
LOGBOOK = {
    "write": "写操作",
    "local_alarm": "本地告警",
    "spool_filling": "缓存快满",
    "spool_evicted": "缓存已满，放弃了旧读数",
    "spool_expired": "放弃了过期读数",
    "spool_renewed": "换了新缓存文件",
    "spool_lost": "缓存损坏，丢了读数",
    "clock_offset": "时钟偏差变化",
    "rules_refused": "没有采用中心的规则",
    "rooms_differ": "自报的房间与中心的不同",
    "line_lost": "线路断开",
    "line_flapping": "线路恢复，但时断时续",
    "line_back": "线路恢复",
}
PERSON_ROLES = {
    "duty_officer": "值班员",
    "duty_leader": "带班领导",
    "person_in_charge": "库房责任人",
    "archivist": "档案员",
    "archive_head": "档案部门负责人",
    "leader_in_charge": "分管领导",
    "inspector": "检查人员",
    "data_keeper": "单位信息员",
    "installer": "安装调试员",
    "system": "系统管理员",
    "security": "安全管理员",
    "audit": "审计管理员",
}
ACTIONS = {
    "view": "看库房与告警",
    "pictures": "看画面",
    "notifications": "看短信记录",
    "gateways": "看网关与设备",
    "audit": "看审计日志",
    "handle": "接手、到场、求援、备注",
    "silence": "暂停提醒、登记维护",
    "reset": "复位",
    "out_of_service": "停用告警",
    "upload": "上传画面",
    "phones": "看电话号码",
    "people": "看人员",
    "organise": "维护单位、用房、人员、设备，导入，审批",
    "propose": "提出更正",
    "grant": "任免三员",
    "review": "签署季度核对",
    "view_as": "以某角色查看",
    "emergency": "申请、批准应急授权",
    "close_notice": "办结通告",
    "control": "下发控制",
    "privacy": "画面遮挡和保存期限",
    "original": "取画面原件",
    "drill": "下达演练",
    "watch_check": "查岗",
    "limits": "收紧限值",
    "backup": "备份",
}
REQUEST_STATES = {"open": "待审批", "approved": "已批准", "refused": "已退回", "withdrawn": "已撤回"}
RUN_STATES = {"running": "进行中", "checked": "已检查，未写入", "done": "已完成", "refused": "有误，未写入", "failed": "失败", "undone": "已撤销"}
HISTORY = {
    "move": "改隶",
    "rename": "更名",
    "merge": "并入",
    "absorb": "接收",
    "transfer": "调动",
    "disabled": "停用",
    "enabled": "恢复",
    "undo": "撤销导入",
}
MOVED = {"room": "用房", "person": "人员", "person_role": "任职", "gateway": "网关", "point": "测点", "roster": "班次"}
"""What a merged unit brings with it, by table; what else goes along follows of these."""
FOUND = {"unit": "单位", "room": "库房", "person": "人员"}
SAID = {
    "done": "已保存。",
    "merged": "所找的单位已并入本单位，原编号自动转到这里。",
    "proposed": "已提交，等上一级审批。",
    "approved": "已批准并生效。",
    "refused": "已退回。",
    "undone": "已撤销。",
    "signed": "已签署。",
    "password": "密码已更换，请用新密码登录。",
    "asked": "已申请，请另一名管理员在 1 小时内批准。",
    "granted": "已批准，告警已发出。",
    "account_ended": "账号已停用，登录已全部结束。",
    "phone_code": "验证码已发出，10 分钟内有效。请对方报回来，填在下面。",
    "phone_confirm": "号码已验证。",
    "phone_test": "试发短信已发出，对方回 1 即验证。",
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "side_of_area": {"left": "左", "top": "上", "width": "宽", "height": "高"},
    "switch": SWITCHES,
    "write": WRITE_STATES,
    "danger": DANGERS,
    "write_role": WRITE_ROLES,
    "logbook": LOGBOOK,
    "unit_level": {"1": "省厅", "2": "市局", "3": "县（分）局", "4": "所队"},
    "unit_kind": vocabulary.UNIT_KINDS,
    "room_kind": {name: kind.title for name, kind in vocabulary.ROOM_KINDS.items()},
    "person_role": PERSON_ROLES,
    "action": ACTIONS,
    "request_state": REQUEST_STATES,
    "run_state": RUN_STATES,
    "edit_kind": EDIT_KINDS,
    "history": HISTORY,
    "found": FOUND,
    "moved": MOVED,
    "sheet": vocabulary.SHEET,
    "said": SAID,
    "column": {
        text: text
        for kind in KINDS.values()
        for column in kind.columns
        for text in (column.title, column.help)
        if text and "_" not in text and "alarm、" not in text
    },
}
