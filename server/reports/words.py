"""Words of papers for codes. Papers are in Chinese: they are forms of Chinese offices."""

from server.org.vocabulary import MEDIA_TITLES

STAGES = {"in_use": "在用", "trial": "试运行", "commissioning": "调试中", "not_connected": "未接入", "retired": "停用"}
CAUSES = {
    "power": "停电",
    "gateway": "网关离线",
    "uplink": "上行中断",
    "bus": "总线故障",
    "sensor": "传感器失联",
    "server": "中心故障",
    "planned": "计划维护",
    "not_connected": "未接入",
    "unknown": "原因未知",
    "": "原因未知",
}
FIGURES = {
    "per_hour": "每小时提醒",
    "per_10_minutes": "每 10 分钟提醒",
    "per_day": "每天提醒",
    "windows_above_10": "超过 10 次的 10 分钟",
    "peak_10_minutes": "10 分钟内最多",
    "time_in_flood": "处于告警高峰",
    "top_10_share": "最多的 10 项",
    "chattering": "频繁跳变（项）",
    "fleeting": "一闪而过（项）",
    "stale_worst_day": "超过 24 小时未恢复（最多时）",
    "warn_share": "提示级",
    "alarm_share": "一般级",
    "urgent_share": "紧急级",
    "critical_share": "特急级",
    "unauthorised": "没有审计记录的抑制和设置变更",
}
"""The figures of the alarm system; papers and pages call them the same."""
DENOMINATORS = {
    "windows_above_10": "期间全部 10 分钟",
    "time_in_flood": "期间全部时间",
    "top_10_share": "全部提醒次数",
    "warn_share": "全部提醒次数",
    "alarm_share": "全部提醒次数",
    "urgent_share": "全部提醒次数",
    "critical_share": "全部提醒次数",
}
"""What each share is a share of."""
GRADES = {"good": "达标", "fair": "可改进", "poor": "须整改", "none": "无数据"}
_QUANTITIES = {"temperature": ("温度", "℃"), "humidity": ("湿度", "%RH")}
TIME_WEIGHTED = (
    "达标率按时间加权：范围内时间占有效测量时间的比例，边界算在范围内；没有数据的时间既不算达标也不算不达标，另列覆盖率。"
    "一个有效值持续到下一个值，最多到该测点的允许静默时间。"
)


def medium(code: str) -> str:
    """The medium of a room; an unknown code stands for itself."""
    return MEDIA_TITLES.get(code, code)


def band_text(quantity: str, band: tuple[float | None, float | None]) -> str:
    """A range with its quantity, e.g. 温度 14–24 ℃."""
    word, unit = _QUANTITIES[quantity]
    low, high = band
    if low is None and high is None:
        return f"{word} 未规定"
    if low is None or high is None:
        return f"{word} ≤ {high:g} {unit}" if low is None else f"{word} ≥ {low:g} {unit}"
    return f"{word} {low:g}–{high:g} {unit}"


def percent(value: float | None) -> str:
    """A share, — when there is nothing to divide by."""
    return "—" if value is None else f"{value:.1f} %"


def denominators(**of: str) -> str:
    """The note of a table with shares: what each column is a share of. A column is named by its title without the sign."""
    return f"分母：{'；'.join(f'{title} % 为{whole}' for title, whole in of.items())}。"


def duration(ms: float) -> str:
    """Hours and minutes, e.g. 12 小时 5 分; days from two days on."""
    minutes = round(ms / 60_000)
    if minutes >= 2 * 1440:
        return f"{minutes // 1440} 天 {minutes % 1440 // 60} 小时"
    return f"{minutes // 60} 小时 {minutes % 60} 分" if minutes >= 60 else f"{minutes} 分"
