"""What `make demo ARGS="--check"` looks at, through the public doors only: the HTTP API, the event stream's board, and the SMS gateway's own log.

For each scene: the alarm is raised, an SMS with its number reaches the gateway, it is acknowledged, and then no further step is sent.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx

from simulators.demo_site import Site

FRESH_S = 120
RAISE_S = 180
SMS_S = 30
QUIET_S = 70
SETTLE_S = 90


class CheckError(RuntimeError):
    """What did not come true, in a sentence."""


class Api:
    """The public API as a signed-in duty officer."""

    def __init__(self, site: Site) -> None:
        self._client = httpx.Client(base_url=f"{site.url}/api/v1", timeout=10, headers={"Origin": site.url}, trust_env=False)
        reply = self._client.post("/session", json={"login": "duty", "password": site.secrets["duty"]})
        if reply.status_code >= 400:
            raise CheckError(f"登录失败：{reply.status_code} {reply.text[:200]}")

    def get(self, path: str, **query: str) -> Any:
        """A GET as JSON. Raises CheckError."""
        return self._answer(self._client.get(path, params=query))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST as JSON. Raises CheckError."""
        return self._answer(self._client.post(path, json=body))

    @staticmethod
    def _answer(reply: httpx.Response) -> Any:
        if reply.status_code >= 400:
            raise CheckError(f"{reply.request.method} {reply.request.url.path}：{reply.status_code} {reply.text[:200]}")
        return reply.json()

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found


def check(site: Site, stage: Callable[[], None], say: Callable[[str], None]) -> dict[str, Any]:
    """Run the scenes and follow each to its end. Returns the summary; raises CheckError."""
    api = Api(site)
    began = time.monotonic()
    rooms = {room for _scenario, room, _rule, _words in site.scenes()}
    _until(lambda: all(_fresh(api, room) for room in rooms), FRESH_S, "三间演示库房没有全部收到新鲜数据")
    _settle(api, rooms)
    before = {alarm["id"] for alarm in api.items("/alarms")}
    stage()
    staged = time.time()
    open_scenes = {room: rule for _scenario, room, rule, _words in site.scenes()}
    results: list[dict[str, Any]] = []
    deadline = time.monotonic() + RAISE_S
    while open_scenes:
        if time.monotonic() > deadline:
            raise CheckError(f"没有等到告警：{open_scenes}")
        for alarm in api.items("/alarms"):
            room = str(alarm["room"])
            if alarm["id"] not in before and open_scenes.get(room) == alarm["rule"] and alarm["level"] != "warn":
                del open_scenes[room]
                results.append(_follow(site, api, alarm, room))
                say(f"{alarm['rule']} @ {room}：已告警、已发短信、已接手")
        time.sleep(0.25)
    _quiet(site, api, results, say)
    return {
        "ok": True,
        "seconds": round(time.monotonic() - began, 1),
        "staged_at": datetime.fromtimestamp(staged).astimezone().isoformat(timespec="seconds"),
        "alarms": results,
        "sms": len(_messages(site)),
        "rooms": len(api.items("/rooms")),
    }


def _fresh(api: Api, room: str) -> bool:
    points = api.get(f"/rooms/{room}")["points"]
    wanted = {"temperature", "humidity", "smoke", "door"}
    return wanted <= {point["quantity"] for point in points if point["quality"] in ("good", "uncertain")}


def _settle(api: Api, rooms: set[str]) -> None:
    """Bring what an earlier start left open to its end: take over, and reset what is latched."""

    def settled() -> bool:
        left = [alarm for alarm in api.items("/alarms") if str(alarm["room"]) in rooms and alarm["state"] != "normal"]
        for alarm in left:
            if alarm["state"].endswith("_unacked"):
                api.post(f"/alarms/{alarm['id']}/acknowledge", {"note": "演示检查：上次留下的告警"})
            elif alarm["state"] == "latched_acked":
                api.post(f"/alarms/{alarm['id']}/reset", {"note": "演示检查：复位"})
        return not left

    _until(settled, SETTLE_S, "上次演示留下的告警没有结束")


def _follow(site: Site, api: Api, alarm: Mapping[str, Any], room: str) -> dict[str, Any]:
    """From the raised alarm to the SMS and the acknowledgement."""
    number = str(alarm["number"]).replace(" ", "")
    seen = time.time()
    _until(lambda: any(number in message["body"] for message in _messages(site)), SMS_S, f"告警 {alarm['id']} 的短信没有到达短信网关")
    first = next(message for message in _messages(site) if number in message["body"])
    reply = api.post(f"/alarms/{alarm['id']}/acknowledge", {"note": "演示检查：已接手"})
    raised = _annunciated(api.get(f"/alarms/{alarm['id']}"), str(alarm["level"]))
    return {
        "id": alarm["id"],
        "rule": alarm["rule"],
        "room": room,
        "level": alarm["level"],
        "number": number,
        "state": reply["state"],
        "raised_to_api_s": round(seen - raised, 2),
        "raised_to_sms_s": round(_created(first) - raised, 2),
        "sms_text": first["body"],
        "messages": sum(number in message["body"] for message in _messages(site)),
    }


def _annunciated(alarm: Mapping[str, Any], level: str) -> float:
    """When people were asked for attention at this level: raised, or escalated to it."""
    asked = [change["at"] for change in alarm["transitions"] if change["level"] == level and change["name"] in ("raised", "re_raised", "escalated")]
    return _instant(asked[0] if asked else alarm["raised_at"])


def _quiet(site: Site, api: Api, results: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    """Nobody is told that nobody took over; an alarm that climbs to a worse level asks anew and is taken over anew."""
    say(f"观察 {QUIET_S} 秒：接手后不再逐级上报")
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        for result in results:
            alarm = api.get(f"/alarms/{result['id']}")
            if alarm["state"] == "active_unacked":
                api.post(f"/alarms/{result['id']}/acknowledge", {"note": "演示检查：升级后再次接手"})
                result["taken_over_again_at"] = alarm["level"]
        time.sleep(1)
    for result in results:
        escalated = [m["body"] for m in _messages(site) if result["number"] in m["body"] and "】上报：" in m["body"]]
        if escalated:
            raise CheckError(f"告警 {result['id']} 接手后仍有上报短信：{escalated[0]}")
        result["escalated_after_acknowledge"] = 0


def _messages(site: Site) -> list[dict[str, Any]]:
    reply = httpx.get(f"{site.sms_url}/control/messages", timeout=10, trust_env=False)
    found: Any = reply.json()
    return list(found["messages"] if isinstance(found, dict) else found)


def _created(message: Mapping[str, Any]) -> float:
    return int(message["created_at"]) / 1000


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _until(true: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise CheckError(otherwise)
        time.sleep(0.25)
