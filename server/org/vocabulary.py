"""Words of the organisation as data: kinds of units and of rooms, stages, media. What a kind of room brings with it is a row here, not a branch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

UNIT_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "属地", "traffic": "交通", "port": "港口", "forest": "森林", "railway": "铁路", "airport": "机场", "water": "水上", "zone": "园区",
        "metro": "轨道", "border": "边防", "detention": "监所",
    }
)  # fmt: skip
STAGES: Final = ("in_use", "trial", "commissioning", "not_connected", "retired")
_HEARD_BY: Final[Mapping[str, int]] = MappingProxyType({"in_use": 2, "trial": 1, "commissioning": 1, "not_connected": 0, "retired": 0})
HEARD: Final = tuple(stage for stage, by in _HEARD_BY.items() if by)
"""Stages in which somebody hears a room's alarms."""
STORE_MEDIA: Final = (
    "paper", "special", "magnetic", "film_copy", "film_master", "optical", "photo", "negative_bw", "negative_colour", "print_bw", "print_colour",
)  # fmt: skip


def quieter(before: str, after: str) -> bool:
    """Whether fewer people hear a room's alarms in the second stage: all of the ladder in use, the room's person before acceptance, else nobody."""
    return _HEARD_BY[after] < _HEARD_BY[before]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomKind:
    """What a kind of 档案用房 decides: media (the profiles that its rules, bands and hours go by, the first unless said), demanded quantities."""

    title: str
    media: tuple[str, ...]
    demanded: tuple[str, ...]


_CLIMATE: Final = ("temperature", "humidity", "smoke")
ROOM_KINDS: Final[Mapping[str, RoomKind]] = MappingProxyType(
    {
        "store": RoomKind(title="档案库房", media=STORE_MEDIA, demanded=_CLIMATE),
        "sorting": RoomKind(title="整理用房", media=("work", "restoration", "copying"), demanded=_CLIMATE),
        "reading": RoomKind(title="阅览用房", media=("reading",), demanded=_CLIMATE),
        "office": RoomKind(title="办公用房", media=("service",), demanded=("smoke",)),
        "digitising": RoomKind(title="数字化用房", media=("work",), demanded=_CLIMATE),
        "server_room": RoomKind(title="机房", media=("magnetic", "work"), demanded=_CLIMATE),
        "exhibition": RoomKind(title="展览用房", media=("exhibition",), demanded=_CLIMATE),
    }
)
MEDIA: Final = tuple(dict.fromkeys(medium for kind in ROOM_KINDS.values() for medium in kind.media))
MEDIA_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "paper": "纸质",
        "special": "特藏",
        "magnetic": "磁性载体",
        "film_copy": "胶片拷贝片",
        "film_master": "胶片母片",
        "optical": "光盘",
        "photo": "照片",
        "negative_bw": "黑白底片",
        "negative_colour": "彩色底片",
        "print_bw": "黑白照片",
        "print_colour": "彩色照片",
        "reading": "阅览用房",
        "restoration": "裱糊用房",
        "copying": "复印用房",
        "work": "整理用房",
        "exhibition": "展览用房",
        "service": "办公用房",
    }
)
CITIES: Final = (
    "fuzhou", "xiamen", "putian", "sanming", "quanzhou", "zhangzhou", "nanping", "longyan", "ningde", "pingtan",
)  # fmt: skip
"""Climate of the place, for the reference values of outdoor air."""

SHEET: Final[Mapping[str, str]] = MappingProxyType(
    {
        "power_switch": "电源总开关", "water_valve": "水阀", "keys": "钥匙", "gas_extinguishing": "气体灭火", "fire_phone": "消防控制室电话",
        "spare_keys": "备用钥匙", "lock_without_power": "断电时门锁状态", "compact_shelving": "密集架操作", "cover_sheets": "遮盖布位置",
        "dehumidifier": "除湿机", "air_conditioner": "空调", "salvage_order": "抢救次序", "dangers": "危险提示",
        "materials": "防汛物资", "contacts": "联系人", "photos": "拍照规定",
    }
)  # fmt: skip
"""Fields of the room sheet 一室一卡, in the order in which they are read at the door."""

SHEET_TEXT = 300
"""Longest text of one field of the sheet, in characters."""
SHORT_NAME, SMS_PLACE = 6, 9
"""Longest short name and SMS place, in characters; longer ones are refused, never cut."""
