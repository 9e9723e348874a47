"""Write what is generated in docs/reference: JSON Schemas for editors, and the catalogue of devices. `--check` only says whether they are current.

python tools/reference.py [--check]
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from contract.profile import catalogue
from contract.profile_models import Profile
from contract.quantities import QUANTITIES
from edge.settings import DevicesSettings, EdgeSettings

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SCHEMAS = {"device-profile.schema.json": Profile, "edge.schema.json": EdgeSettings, "devices.schema.json": DevicesSettings}
CATEGORIES = {
    "climate": "温湿度 Climate", "air": "空气质量 Air", "light": "光照 Light", "fire": "消防 Fire", "door": "门 Doors", "leak": "水浸 Leaks",
    "motion": "人体、移动 Motion", "power": "电源 Power", "io": "开关量模块 Inputs and relays", "hvac": "空调、除湿加湿 Air conditioning",
    "camera": "摄像机 Cameras", "multi": "多合一 Multi sensors",
}  # fmt: skip
HEAD = """# 设备目录 Device catalogue

由 `tools/reference.py` 从 `device_profiles/` 生成，请勿手改。*Generated from the profiles; do not edit.*

证据 *Evidence*：

- **帧 frames**：厂家文档、抓包或解码器给出的报文。*Printed, captured, or from the vendor's decoder.*
- **表 map**：只有公开的寄存器表或报文格式，画像里的例子由它算出。*Only a published map or format; the examples are computed from it.*
- **假定 assumed**：未经证实，现场须抓一帧核对。*Unverified: capture a frame on site.*

摄像机没有可核对的帧。 *Cameras have no frame to check.*
"""
COLUMNS = "| 画像 Profile | 型号 Model | 名称 Name | 测什么 Measures | 接法 Wire | 证据 Evidence |\n|---|---|---|---|---|---|\n"
TAIL = """
## 消防主机的干接点 Dry contacts of fire panels

真正的火灾报警由消防主机负责，本系统只作补充值守。把主机（或探测器底座）的**报警继电器（常开）**和**故障继电器（常闭）**各接一路输入：

```yaml
# devices.yaml
- name: panel
  profile: waveshare-8di          # 任何带输入的模块
  bus: line1
  room: "350102000000-01"
  unit: 3
  channels:
    di1: {quantity: smoke, normally: open}       # 报警继电器：闭合 = 火警
    di2: {quantity: fault, normally: closed}     # 故障继电器：断开 = 主机故障、断电或断线
```

普通输入模块读不出线路末端电阻，因此故障继电器这一路就是唯一的线路监视，不可省略。

*The certified panel stays in charge; this is a supplementary watch. Alarm relay (normally open) to one input, fault relay (normally closed) to
another: a plain input module cannot read an end-of-line resistor, so the fault relay is the only supervision of the line.*
"""


def evidence(profile: Profile) -> str:
    """How far the profile is proved."""
    if profile.evidence == "assumed":
        return "**假定 assumed**"
    if profile.camera is not None:
        return "—"
    made = all(vector.note.startswith(("computed", "composed")) for vector in profile.vectors if not vector.error)
    return "表 map" if made else "帧 frames"


def measured(profile: Profile) -> str:
    """Its quantities."""
    names = dict.fromkeys(point.quantity for point in profile.points)
    return "、".join(QUANTITIES[name].zh for name in names)


def line(profile: Profile) -> str:
    """Its row."""
    link = f"[`{profile.id}`](../../device_profiles/{profile.id}.yaml)"
    writes = f"；可写 {len(profile.writes)} 项" if profile.writes else ""
    serial = profile.connection.serial
    how = "、".join(profile.connection.carriers) or profile.connection.kind
    wire = f"{how}，{serial.baud} 8{serial.parity}{serial.stop}" if serial else how
    title = f"{profile.title.zh} *{profile.title.en}*"
    return f"| {link} | {profile.vendor} {profile.model} | {title} | {measured(profile)}{writes} | {wire} | {evidence(profile)} |"


def page() -> Iterator[str]:
    """The catalogue."""
    profiles = catalogue().values()
    yield HEAD
    proven = sum(profile.evidence != "assumed" for profile in profiles)
    yield f"共 {len(profiles)} 个画像，其中 {proven} 个有据可查。 *{len(profiles)} profiles, {proven} of them not assumed.*\n"
    for category, title in CATEGORIES.items():
        found = [profile for profile in profiles if profile.category == category]
        if found:
            yield f"\n## {title}\n\n{COLUMNS}"
            yield "".join(f"{line(profile)}\n" for profile in found)
    yield TAIL


def files() -> dict[Path, str]:
    """Everything that is generated."""
    made = {FOLDER / name: json.dumps(model.model_json_schema(by_alias=True), ensure_ascii=False, indent=1) + "\n" for name, model in SCHEMAS.items()}
    return made | {FOLDER / "devices.md": "".join(page())}


def main() -> int:
    """Write or check."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run python tools/reference.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files()[path], encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
