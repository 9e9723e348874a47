"""Administrative codes of Fujian (GB/T 2260 at county level, national statistics release of 2022-12) and how many towns each city has.

Real are the codes and names of cities and counties; everything below (stations, people, rooms) is made up in province.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PROVINCE: Final = "350000"
# reports to the province like a city, but keeps its county code
PINGTAN: Final = "350128"
# listed, not administered
JINMEN: Final = "350527"


@dataclass(frozen=True, slots=True)
class City:
    """A prefecture: six-digit `code`, names, telephone area, number of town-level rows and its counties by code (all that are listed)."""

    code: str
    name: str
    climate: str
    area: str
    towns: int
    counties: Mapping[str, str]


def _city(code: str, name: str, climate: str, area: str, towns: int, counties: str) -> City:
    listed = {code[:4] + item[:2]: item[2:] for item in counties.split()}
    return City(code, name, climate, area, towns, MappingProxyType(listed))


CITIES: Final = (
    _city("350100", "福州", "fuzhou", "591", 186, "02鼓楼 03台江 04仓山 05马尾 11晋安 12长乐 21闽侯 22连江 23罗源 24闽清 25永泰 28平潭 81福清"),
    _city("350200", "厦门", "xiamen", "592", 54, "03思明 05海沧 06湖里 11集美 12同安 13翔安"),
    _city("350300", "莆田", "putian", "594", 57, "02城厢 03涵江 04荔城 05秀屿 22仙游"),
    _city("350400", "三明", "sanming", "598", 147, "04三元 05沙县 21明溪 23清流 24宁化 25大田 26尤溪 28将乐 29泰宁 30建宁 81永安"),
    _city("350500", "泉州", "quanzhou", "595", 175, "02鲤城 03丰泽 04洛江 05泉港 21惠安 24安溪 25永春 26德化 27金门 81石狮 82晋江 83南安"),
    _city("350600", "漳州", "zhangzhou", "596", 146, "02芗城 03龙文 04龙海 05长泰 22云霄 23漳浦 24诏安 26东山 27南靖 28平和 29华安"),
    _city("350700", "南平", "nanping", "599", 142, "02延平 03建阳 21顺昌 22浦城 23光泽 24松溪 25政和 81邵武 82武夷山 83建瓯"),
    _city("350800", "龙岩", "longyan", "597", 133, "02新罗 03永定 21长汀 23上杭 24武平 25连城 81漳平"),
    _city("350900", "宁德", "ningde", "593", 130, "02蕉城 21霞浦 22古田 23屏南 24寿宁 25周宁 26柘荣 81福安 82福鼎"),
)


def bureau(code: str, name: str) -> str:
    """What the office of a county is called by its kind: district 分局, county 县局, county city 市局."""
    kind = int(code[4:])
    return name + ("分局" if kind <= 20 else "县局" if kind <= 80 else "市局")
