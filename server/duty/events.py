"""What an alarm is about, as a key: the one place where rules, kinds and quantities become an event of the vocabulary (language.md 2.1)."""

_BY_QUANTITY = {"smoke_density": "smoke"} | {
    name: name for name in ("smoke", "leak", "motion", "power", "tamper", "fault", "battery", "door", "spool_fill", "clock_offset")
}
_GROUPS = (("restart_group", "group_restart"), *((name, name) for name in ("group_offline", "group_bus", "group_power", "group_weather")))
_BY_SIGN = (
    *_GROUPS,
    ("smoke_lost", "smoke_lost"),
    ("smoke_then", "smoke_lost"),
    ("heat", "temperature_rate"),
    ("gateway", "gateway"),
    ("blind", "blind"),
    *((name, name) for name in ("duty_vacancy", "channel_outage", "calibration_due", "emergency_access", "centre_fault")),
)
_BY_KIND = {name: name for name in ("camera", "stale", "stuck", "dew_point", "mould")}
_BY_KIND |= {"forced": "door", "off_hours": "door", "implausible": "untrusted", "deviation": "untrusted"}


def event_of(rule: str, kind: str, quantity: str) -> str:
    """Key of an event. Rule names are free text of the operator, so the kind and the quantity decide where they can."""
    for sign, key in _BY_SIGN:
        if sign in rule:
            return key
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if quantity == "door" and ("held" in rule or "open_long" in rule):
        return "door_held"
    if quantity in ("temperature", "humidity"):
        side = "rate" if kind == "rate" and quantity == "temperature" else "swing" if kind == "swing" else "low" if "low" in rule else "high"
        return f"{quantity}_{side}"
    return _BY_QUANTITY.get(quantity, "other")
