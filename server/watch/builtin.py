"""Rules that no rule file can leave out: a blind room, silence after smoke, and the alarms of groups. Their limits are settings."""

from collections.abc import Mapping

from alarms.model import Level, Rule, Rung
from server.settings import WatchSettings

ROOM_BLIND, SMOKE_LOST = "room_blind", "smoke_lost"
GROUPS: Mapping[str, str] = {
    "offline": "group_offline",
    "restart": "restart_group_offline",
    "bus": "group_bus",
    "power": "group_power",
    "weather": "group_weather",
}
"""Cause of a group -> name of its rule."""
GROUP_QUANTITY: Mapping[str, str] = {"power": "power", "weather": "humidity"}


def builtin(settings: WatchSettings) -> Mapping[str, Rule]:
    """The rules by name. A group's "value" is the worst level of its members, so that it climbs and falls with them."""
    limit, later = int(settings.room_blind_s * 1000), int(settings.room_blind_urgent_s * 1000)
    blind = Rule(ROOM_BLIND, "stale", "any", (_silent(Level.ALARM, limit), _silent(Level.URGENT, max(limit, later))), subject="room", source="ours")
    lost = Rule(
        SMOKE_LOST, "stale", "any", (_silent(Level.CRITICAL, 0),), latch=True, shelve_max_ms=0, re_alarm_ms=900_000, subject="room", source="ours"
    )
    ladder = tuple(Rung(level, "above", level - 0.5) for level in Level)
    groups = (Rule(name, "threshold", "any", ladder, source="ours") for name in GROUPS.values())
    return {rule.name: rule for rule in (blind, lost, *groups)}


def _silent(level: Level, delay_ms: int) -> Rung:
    return Rung(level, "equals", 1.0, delay_ms, (1.0,))
