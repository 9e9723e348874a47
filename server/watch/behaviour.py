"""Alarms that come and go too fast to be of use are named: chattering (three times within a minute) and fleeting (gone within ten seconds)."""

from alarms.lifecycle import Change
from server.store.tables import Alarm
from server.watch.infos import Key
from server.watch.state import World

CHATTER_TIMES, CHATTER_MS = 3, 60_000
FLEETING_MS, ALONE_FOR_MS = 10_000, 60_000
"""domain.md 3.2: at least three activations in a minute; active for less than ten seconds and not repeated within sixty."""
CHATTERING, FLEETING = "chattering", "fleeting"
_COMES, _GOES = ("raised", "re_raised"), ("cleared", "latched")


def behaviour(world: World, alarm: Alarm, change: Change) -> None:
    """Note a coming or going. What was noted before a restart is forgotten; the statistics find it again in the transitions."""
    key = Key(alarm.subject, alarm.rule)
    recent = world.comings.setdefault(key, [])
    if change.name in _COMES:
        recent[:] = [at for at in recent if change.at - at < CHATTER_MS][-CHATTER_TIMES:]
        repeated = bool(recent)
        recent.append(change.at)
        if len(recent) >= CHATTER_TIMES:
            alarm.behaviour = CHATTERING
        elif repeated and alarm.behaviour == FLEETING:
            alarm.behaviour = ""
    elif change.name in _GOES and alarm.behaviour != CHATTERING and len(recent) == 1 and change.at - recent[0] < FLEETING_MS:
        alarm.behaviour = FLEETING
