"""What the rights test puts into parameters. A new route usually needs nothing here; a new NAME of a parameter needs one line.

`Place` is one unit of the test's town with everything in it. `OF_PLACE` are parameters that point at something of a unit: the walker fills in the
asker's own and, to see that it is refused, somebody else's. `PLAIN` are parameters that point at nothing.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.claiming import claim_code

STILL = b"\xff\xd8\xff"
PLAN = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A picture of one pixel."""
LATER, EARLIER = "2026-09-22T00:00:00Z", "2026-09-21T00:00:00Z"


class Of(str):
    """In ROUTES: this parameter points at that thing of a place, e.g. Of("person_code")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A unit of the town. Texts in `marks` occur nowhere else: whoever reads one has read something of this unit."""

    key: str
    unit: str
    room: str
    gateway: str
    person: int = 0
    person_code: str = ""
    account: int = 0
    alarm: int = 0
    point: int = 0
    snapshot: int = 0
    notification: int = 0
    incident: int = 0
    annotation: int = 0
    change: int = 0
    run: int = 0
    notice: int = 0
    check: int = 0
    campaign: int = 0
    export: int = 0
    limit: int = 0
    trial: int = 0
    work: int = 0
    photo: int = 0
    dossier: str = ""
    emergency: int = 0
    marks: tuple[str, ...] = ()
    extra: Mapping[str, Any] | None = None


OF_PLACE: dict[str, Callable[[Place], Any]] = {
    "other": lambda place: place.room,
    "unit": lambda place: place.unit,
    "room": lambda place: place.room,
    "gateway": lambda place: place.gateway,
    "alarms": lambda place: [place.alarm],
    "alarm": lambda place: place.alarm,
    "person": lambda place: place.person,
    "person_code": lambda place: place.person_code,
    "account": lambda place: place.account,
    "point": lambda place: place.point,
    "snapshot": lambda place: place.snapshot,
    "notification": lambda place: place.notification,
    "incident": lambda place: place.incident,
    "annotation": lambda place: place.annotation,
    "change": lambda place: place.change,
    "run": lambda place: place.run,
    "notice": lambda place: place.notice,
    "row_key": lambda place: {"code": place.room},
    "check": lambda place: place.check,
    "place": lambda place: place.unit,
    "campaign": lambda place: place.campaign,
    "export": lambda place: place.export,
    "limit_id": lambda place: place.limit,
    "trial_id": lambda place: place.trial,
    "work": lambda place: place.work,
    "emergency_id": lambda place: place.emergency,
    "photo": lambda place: place.photo,
    "dossier": lambda place: place.dossier,
    "own_role": lambda place: f"{place.unit}/in_charge",
}

CODE_OF = {
    "units": "unit",
    "rooms": "room",
    "gateways": "gateway",
    "alarms": "alarm",
    "people": "person",
    "accounts": "account",
    "incidents": "incident",
    "annotations": "annotation",
    "changes": "change",
    "imports": "run",
    "notices": "notice",
    "visitors": "account",
    "watch-checks": "check",
}
"""A path parameter {code}, {ident} or {id} means what stands before it: /rooms/{code} is a room."""

PLAIN: dict[str, Any] = {
    "limit": 50, "cursor": "", "state": "", "from": EARLIER, "from_": EARLIER, "to": LATER, "step": "60", "quantity": "temperature", "channel": "",
    "page": 1, "part": "", "q": "", "next": "/", "done": "1", "since": EARLIER, "until": LATER, "last-event-id": "", "lang": "zh",
    "period": "2026-09", "format": "csv", "device": "cam", "sha256": hashlib.sha256(STILL).hexdigest(), "taken_at": EARLIER, "reason": "检查",
    "note": "已到场查看", "level": "", "kind": "", "by": "", "name": "示例", "file": STILL, "login": "nobody", "password": "correct horse 8",
    "day": "2026-09-21", "minutes": "30", "on_behalf_of": "", "behalf": "", "via": "", "text": "x", "status": "", "view": "", "second": "王工",
    "number": 1, "paper": "", "every_days": 30,
    "rule": "humidity_high", "why": "汛期加严", "on_delay_s": 60, "rules": "rules: []",
    "second_password": "", "second_code": "",
    "write": "relay1", "value": True, "two_people": False, "order": 1,
    "pixels": "500", "most": 10, "folder": "no-absolute-path", "month": "2026-09",
    "daily": "false", "known_late": "false", "one_shot": False,
    "role": "", "dry_run": "true", "standing": "true", "approve": False, "remark": "资料不全",
    "actor": "", "action": "",
    "old": "x", "new": "x", "again": "x", "public": "000000000000", "key": 1, "terminal": 1,
    "code": "000000", "hours": 2,
}  # fmt: skip
"""By the name of the parameter, in paths, queries, forms and JSON bodies."""

ROUTES: dict[str, dict[str, Any]] = {
    "GET /api/v1/stream": {"alarms": "all"},
    "PUT /api/v1/units/{code}/rosters": {
        "starts": "18:00",
        "minutes": 840,
        "turn_days": 1,
        "anchor": "2026-09-01",
        "people": [],
        "days": "all",
        "role": "duty_officer",
    },
    "PUT /api/v1/units/{code}/rosters/days": {"people": [], "why": "换班"},
    "POST /api/v1/units/{code}/looks": {"rooms": []},
    "POST /api/v1/units/{code}/looks/{number}/answers": {"answer": "normal", "person": "王工"},
    "POST /api/v1/people/{code}/phone/code": {"code": Of("person_code")},
    "POST /api/v1/people/{code}/phone/confirm": {"code": Of("person_code")},
    "POST /api/v1/people/{code}/phone/test": {"code": Of("person_code")},
    "PUT /api/v1/people/{code}/ways": {"code": Of("person_code"), "ways": ["sms"]},
    "PUT /api/v1/units/{code}/pair": {"stand_in": ""},
    "POST /duty/pair": {"stand_in": ""},
    "POST /duty/roster": {
        "role": "duty_officer",
        "starts": "18:00",
        "hours": "14",
        "days": "all",
        "turn_days": 1,
        "anchor": "2026-09-01",
        "people": Of("person_code"),
    },
    "POST /duty/day": {"name": "夜班", "people": ""},
    "POST /duty/hand-over": {"side": "give"},
    "POST /duty/looks/answer": {"answer": "normal", "person": "王工"},
    "POST /api/v1/changes": {"kind": "rooms", "key": Of("row_key"), "after": {"location": "三楼东侧"}},
    "POST /api/v1/imports": {"kind": "units"},
    "PUT /api/v1/rooms/{code}/plan": {"file": PLAN},
    "GET /api/v1/imports/templates/{name}": {"name": "rooms"},
    "GET /api/v1/reports/{kind}": {
        "kind": ["register", "climate", "analysis", "performance", "inspection", "scorecard", "drills", "changes"],
        "format": "csv",
    },
    "GET /papers": {"code": "", "job": 1},
    "GET /papers/changes": {"group": "limits", "period": "2026-09"},
    "POST /papers": {"kind": "register", "subject": "", "period": "2026-09", "format": "csv"},
    "POST /rooms/{code}/history/export": {
        "since": "2026-09-20T00:00",
        "until": "2026-09-21T00:00",
        "format": "csv",
        "step": "600",
        "quantity": "temperature",
        "beside": "",
    },
    "POST /rooms/{code}/history/remark": {"at": "2026-09-21T00:00", "text": "x", "since": "2026-09-20T00:00", "until": "2026-09-21T00:00"},
    "POST /rooms/{code}/readings": {
        "taken_at": "2026-09-21T08:00",
        "temperature": "20",
        "humidity": "50",
        "reader": "示例",
        "key": "two",
        "weather": "",
        "measures": "",
        "replaces": "",
        "confirmed": "1",
    },
    "GET /rooms/{code}/history": {"beside": Of("room"), "span": "7d", "since": "", "until": ""},
    "GET /rooms/{code}/readings": {"replaces": 1},
    "POST /api/v1/rooms/{code}/readings": {
        "taken_at": EARLIER,
        "temperature": 20.0,
        "humidity": 50.0,
        "reader": "示例",
        "key": "one",
        "via": "api",
        "weather": "",
        "measures": "",
        "replaces": 0,
        "confirmed": True,
    },
    "GET /performance": {"days": 30},
    "POST /api/v1/exports": {"code": Of("unit"), "kind": "changes", "options": {}},
    "POST /api/v1/limits": {"level": "warn", "limit": 55},
    "POST /api/v1/limits/preview": {"level": "warn", "limit": 54},
    "POST /api/v1/alarms/{ident}/acknowledge": {"code": Of("person_code")},
    "POST /api/v1/rooms/{code}/maintenance": {"person": "王工", "since": None, "second": ""},
    "POST /trials": {"days": "7", "file": b"rules: [{name: h, kind: state, quantity: smoke, ladder: {alarm: {equals: 1}}}]"},
    "POST /api/v1/rooms/{code}/stage": {"stage": "trial"},
    "POST /rooms/{code}/maintenance": {"person": "王工", "minutes": "60", "begin": "", "end": "", "second": ""},
    "POST /api/v1/watch-checks/{ident}/answer": {"value": 21},
    "POST /watch-checks/{ident}/answer": {"value": "21"},
    "POST /api/v1/drills": {"room": "", "quantity": "smoke"},
    "POST /api/v1/incidents/{ident}/report": {"code": "false_alarm"},
    "POST /incidents/{ident}/{act}": {"act": ["step", "log", "report"], "code": "false_alarm"},
    "GET /alarms/{ident}/dialog/{action}": {"action": ["acknowledge", "shelve", "reset", "out-of-service"]},
    "POST /alarms/{ident}/{action}": {"action": ["acknowledge", "comment", "shelve", "unshelve", "out-of-service", "return-to-service", "reset"]},
}
"""Where one route needs another value than its parameters' names say; a list in a path means: ask for each."""

OF_PLACE["key.code"] = lambda place: place.room
PLAIN |= {"said": "", "due": 0, "stage": "", "ending": "pdf", "whole": True}
PLAIN |= {"after": "", "one_shot": False}
PLAIN |= {"sign": "false", "second_factor": False}
PLAIN |= {"kept_to": "", "kept": "", "days": "1", "shift": ""}
PLAIN |= {"areas": [], "left": "0", "top": "0", "width": "5", "height": "5", "keep_days": 30}
ROUTES |= {
    "POST /api/v1/visitors": {"login": "guest", "name": "来访"},
    "POST /visitors": {"login": "guest2", "name": "来访"},
    "POST /api/v1/people/{ident}/account": {"role": "in_charge"},
    "POST /people/{ident}/account": {"role": Of("own_role")},
    "POST /imports": {"kind": "units"},
    "POST /me/ways": {"ways": "voice;sms"},
    "POST /people/{ident}/ways": {"ways": "voice;sms"},
    "POST /people/{ident}/phone/{act}": {"act": ["test", "code", "confirm"]},
    "POST /edit": {"kind": "rooms", "cell.location": "三楼西侧", "back": "/rooms"},
    "POST /rooms/{code}/plan": {"file": PLAN},
    "POST /changes/{ident}/decision": {"approve": "0"},
}

ROUTES |= {"POST /gateways/{code}/control": {"write": "relay/relay1", "value": "开", "two_people": ""}}
BOXES = tuple(hashlib.sha256(name.encode()).digest() for name in ("box of the interface", "box of the page"))
"""Public keys of two boxes that wait in the town; the codes that they show let somebody through."""
ROUTES |= {
    "POST /api/v1/gateways/claims": {"code": claim_code(BOXES[0])},
    "POST /gateways/claim": {"code": claim_code(BOXES[1]), "replace": "1"},
}
ROUTES |= {
    "GET /api/v1/incidents/{ident}/photos/{number}": {"number": Of("photo")},
    "GET /api/v1/incidents/{ident}/dossiers/{sha256}.{ending}": {"sha256": Of("dossier"), "ending": "json"},
    "POST /api/v1/incidents/{ident}/photos": {"file": PLAN},
    "POST /incidents/{ident}/photos": {"file": PLAN},
    "POST /emergency": {"role": "duty"},
    "POST /roles/view-as": {"role": "inspector"},
    "POST /limits": {"level": "warn", "limit": "53", "minutes": "", "until": "", "act": "", "quantity": "humidity"},
    "POST /rooms/{code}/stage": {"stage": "in_use", "second": ""},
}
PLAIN |= {"public_key": "BmpuR8nDVXlFWNhDMCOdX+Z9sTsGLs/BfnqPRQ5bCAo=", "hint": "box", "version": "0.1.0", "replace": False}

PUBLIC = {
    "POST /api/v1/gateways/enrolments",  # a box without an identity: what it gets is sealed to its own key
    "GET /healthz", "GET /readyz", "GET /metrics", "GET /api/v1/openapi.json",
    "POST /api/v1/session", "GET /login", "GET /login/certificate", "GET /login/provider", "GET /login/provider/back", "POST /login", "POST /logout",
    "POST /callbacks/voice/status", "POST /callbacks/voice/{notification}",
    "POST /callbacks/sms/status", "POST /callbacks/sms/inbound",  # signed by the provider
}  # fmt: skip
"""Routes that a stranger may use. Everything else needs a sign-in or a key."""

OWN = {
    "GET /help",  # the same for everybody; telephones are those of the own line, masked without the right to see them
    "POST /me/ways",  # one's own order, of one's own person alone
    *(
        f"{method} /me/security{path}"
        for method, path in (
            ("GET", ""),
            ("POST", "/password"),
            ("POST", "/pin"),
            ("POST", "/certificate"),
            ("POST", "/totp"),
            ("POST", "/totp/confirm"),
            ("POST", "/revoke"),
            ("POST", "/key"),
            ("POST", "/key/revoke"),
            ("POST", "/terminal"),
            ("POST", "/terminal/end"),
        )
    ),
    "GET /api/v1/session",
    "DELETE /api/v1/session",
    "GET /",
    "GET /me",
    "POST /roles/view-as/end",
    "POST /emergency/{emergency_id}/end",
    "GET /me/watermark.svg",
}
"""Routes about the asker himself, or that decide inside: signed in is enough."""

LAST = {"DELETE /api/v1/session", "POST /logout"}
"""Routes that end the session they are asked with: once per role, after all others."""

SPECIAL = {"POST /api/v1/snapshots"}
"""Routes whose foreign ids are only a proposal that the server corrects (the room of a still): no refusal is asked for, only that nothing changes."""

NOTHING_TO_RECORD = {
    "POST /api/v1/limits/preview", "POST /limits", "POST /api/v1/rules/backtest",  # asked what would be (the page: act is not "tighten")
    "POST /api/v1/imports", "POST /imports",  # a trial run
    "POST /api/v1/snapshots", "POST /api/v1/gateways/enrolments",  # a gateway's own; what a person does with it is recorded
    "DELETE /api/v1/gateways/{gateway}/credentials", "POST /me/security/revoke",  # there was none
    "POST /api/v1/alarms/acknowledge", "POST /take-over",  # the alarm there is one of smoke, which is taken over by itself alone
    "POST /notices/{ident}/close", "POST /incidents/{ident}/photos",  # the interface has done it a moment ago
}  # fmt: skip
"""Routes that say yes in the walk and leave no entry of the audit log, because nothing was changed."""

RECORDED_AS = {
    **{f"POST /api/v1/alarms/{{ident}}/{act}": act.replace("-", "") for act in ("acknowledge", "out-of-service", "reset", "return-to-service")},
    **{f"POST /api/v1/alarms/{{ident}}/{act}": act for act in ("shelve", "unacknowledge", "unshelve")},
    "DELETE /api/v1/units/{code}/rosters": "roster.end", "POST /api/v1/backups": "backup", "POST /api/v1/history-exports": "history.export",
    "POST /api/v1/gateways/{code}/writes/confirm": "write.confirm", "POST /gateways/{code}/control/confirm": "write.confirm",
    "POST /api/v1/imports/{ident}/undo": "import_undo", "POST /imports/{ident}/undo": "import_undo",
    "POST /api/v1/people/{code}/phone/confirm": "phone.verified", "POST /api/v1/rule-trials": "rules.trial.start",
    "POST /trials/{trial_id}/end": "rules.trial.end", "POST /api/v1/units/{code}/looks": "look", "POST /duty/looks": "look",
    "POST /api/v1/watch-checks": "watch_check.ask", "POST /watch-checks": "watch_check.ask",
    "POST /watch-checks/{ident}/answer": "watch_check.answer",
    "POST /api/v1/rooms/{code}/stage": "stage", "POST /rooms/{code}/stage": "stage",  # leaving "in use" takes two people
    "POST /changes/{ident}/decision": "change_refused", "POST /drills": "drill.plan", "POST /duty/day": "roster.day",
    "POST /rooms/{code}/maintenance/{work}/cancel": "maintenance.cancel",
    "POST /emergency/{emergency_id}/grant": "emergency_grant", "POST /limits/{limit_id}/revoke": "limit.revoke",
    "POST /reviews": "review_sign", "POST /api/v1/session": "session.open", "POST /login": "session.open", "POST /logout": "session.close",
    "POST /me/security/certificate": "certificate.bind", "POST /me/security/password": "password.change", "POST /me/security/pin": "pin.change",
    "POST /me/security/totp": "totp.enrol",
    "POST /me/security/totp/confirm": "totp.confirm", "POST /me/ways": "person.ways",
    "POST /people/{ident}/ways": "person.ways", "POST /people/{ident}/phone/{act}": "phone.test", "POST /callbacks/sms/inbound": "sms_reply",
    "POST /callbacks/voice/{notification}": "acknowledge", "POST /callbacks/sms/status": "", "POST /callbacks/voice/status": "",
}  # fmt: skip
"""Routes that need more than an example to say yes, and the entry that they leave; receipts of a provider leave none."""
