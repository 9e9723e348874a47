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
