"""What of the optional programs is here, so that nobody wonders which tests were skipped."""

import shutil

PROGRAMS = {
    "chromium": "browser tests / 浏览器测试",
    "mosquitto": "tests against Mosquitto / Mosquitto 测试",
    "influxd": "tests against InfluxDB / InfluxDB 测试",
    "cc": "power-cut tests (a shim that forgets what was not synced) / 断电测试",
}
for name, what in PROGRAMS.items():
    print(f"{'present' if shutil.which(name) else 'MISSING, skipped'}: {name}: {what}")
