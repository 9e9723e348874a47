"""What simulated cameras say by themselves: Hikvision's alertStream, Dahua's eventManager, ONVIF's device, media and event services.

All cameras of a site speak every one of them: the n-th is channel n of the streams, ONVIF belongs to the first. `say` lets one report an event.
"""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

HIKVISION: Final = {"motion": "VMD", "intrusion": "linedetection", "tamper": "shelteralarm", "video_loss": "videoloss", "storage_fault": "diskfull"}
DAHUA: Final = {
    "motion": "VideoMotion", "intrusion": "CrossLineDetection", "tamper": "VideoBlind", "video_loss": "VideoLoss", "storage_fault": "StorageFailure",
}  # fmt: skip
ONVIF: Final = {
    "motion": "tns1:VideoSource/MotionAlarm", "intrusion": "tns1:RuleEngine/FieldDetector/ObjectsInside",
    "tamper": "tns1:VideoSource/ImageTooDark/ImagingService", "video_loss": "tns1:VideoSource/SignalLoss",
    "storage_fault": "tns1:Device/HardwareFailure/StorageFailure",
}  # fmt: skip
_BOUNDARY: Final = "boundary"
_FIELD: Final = {name: re.compile(rf"<(?:\w+:)?{name}(?:\s[^>]*)?>([^<]*)<") for name in ("Username", "Password", "Nonce", "Created")}
_TOLERANCE: Final = timedelta(seconds=5)

Said = tuple[str, int, str, bool | None]
"""Our kind, channel from 1, the maker's own word or "" for that of the table, active."""


class Talk:
    """`refuse(request)` gives the answer to somebody who may not; `login` is (user, password) for ONVIF. `skew` is the error of the clock."""

    def __init__(
        self,
        app: FastAPI,
        names: Sequence[str],
        refuse: Callable[[Request], Response | None],
        login: tuple[str, str] | None,
        heartbeat_s: float = 5.0,
    ) -> None:
        self._names, self._refuse, self._login, self._heartbeat_s = tuple(names), refuse, login, heartbeat_s
        self.skew = timedelta()
        self.silent = False
        """Whether heartbeats are held back: the stream is open, and dead."""
        self._ears: set[asyncio.Queue[Said | None]] = set()
        self._pulls: dict[str, asyncio.Queue[Said | None]] = {}
        self.subscriptions = 0
        app.add_api_route("/ISAPI/Event/notification/alertStream", self._hikvision)
        app.add_api_route("/cgi-bin/eventManager.cgi", self._dahua)
        app.add_api_route("/onvif/{service}", self._onvif, methods=["POST"])

    def say(self, name: str, kind: str, active: bool | None, word: str = "") -> None:
        """A camera reports an event: `kind` is one of ours, or `word` is the maker's own; active None is a pulse."""
        for ear in (*self._ears, *self._pulls.values()):
            ear.put_nowait((kind, self._names.index(name) + 1, word, active))

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._ears) + len(self._pulls)

    def hang_up(self) -> None:
        """End every open stream, as a camera that restarts."""
        for ear in (*self._ears, *self._pulls.values()):
            ear.put_nowait(None)
        self._pulls.clear()

    # -- endless answers ----------------------------------------------------------------------------------------------------------------------

    async def _hikvision(self, request: Request) -> Response:
        refusal = self._refuse(request)
        beat = _hikvision(("video_loss", 1, "", False))
        return refusal or StreamingResponse(self._endless(_hikvision, beat), media_type=f'multipart/mixed; boundary="{_BOUNDARY}"')

    async def _dahua(self, request: Request) -> Response:
        refusal = self._refuse(request)
        return refusal or StreamingResponse(self._endless(_dahua, b"Heartbeat\r\n\r\n"), media_type="multipart/x-mixed-replace; boundary=myboundary")

    async def _endless(self, shape: Callable[[Said], bytes], beat: bytes) -> AsyncIterator[bytes]:
        ear: asyncio.Queue[Said | None] = asyncio.Queue()
        self._ears.add(ear)
        try:
            yield beat
            while True:
                try:
                    said = await asyncio.wait_for(ear.get(), self._heartbeat_s)
                except TimeoutError:
                    if not self.silent:
                        yield beat
                    continue
                if said is None:
                    return
                whole = shape(said)
                yield whole[: len(whole) // 2]  # as a network cuts it
                yield whole[len(whole) // 2 :]
        finally:
            self._ears.discard(ear)

    # -- ONVIF --------------------------------------------------------------------------------------------------------------------------------

    async def _onvif(self, service: str, request: Request) -> Response:
        text = (await request.body()).decode()
        if "GetSystemDateAndTime" in text:
            return _soap(_moment(datetime.now(UTC) + self.skew))
        if not self._signed(text):
            return Response(_envelope("<s:Fault><s:Code>ter:NotAuthorized</s:Code></s:Fault>"), status_code=400, media_type="application/soap+xml")
        base = str(request.base_url).replace("127.0.0.1", "192.0.2.7")  # cameras behind a router name an address that nobody reaches
        if "GetProfiles" in text:
            return _soap('<trt:GetProfilesResponse><trt:Profiles token="main"/></trt:GetProfilesResponse>')
        if "GetSnapshotUri" in text:
            address = escape(f"{base}{self._names[0]}/snapshot.jpg?profile=main&x=1")
            return _soap(f"<trt:GetSnapshotUriResponse><trt:MediaUri><tt:Uri>{address}</tt:Uri></trt:MediaUri></trt:GetSnapshotUriResponse>")
        if "CreatePullPointSubscription" in text:
            self.subscriptions += 1
            name = f"sub{self.subscriptions}"
            self._pulls[name] = asyncio.Queue()
            inner = f"<tev:SubscriptionReference><wsa:Address>{base}onvif/{name}</wsa:Address></tev:SubscriptionReference>"
            return _soap(f"<tev:CreatePullPointSubscriptionResponse>{inner}</tev:CreatePullPointSubscriptionResponse>")
        return await self._pull(service, text)

    async def _pull(self, name: str, text: str) -> Response:
        ear = self._pulls.get(name)
        if ear is None:
            return Response(_envelope("<s:Fault><s:Code>wsnt:ResourceUnknown</s:Code></s:Fault>"), status_code=400, media_type="application/soap+xml")
        if "Unsubscribe" in text:
            self._pulls.pop(name)
            return _soap("<wsnt:UnsubscribeResponse/>")
        if "Renew" in text:
            return _soap("<wsnt:RenewResponse/>")
        try:
            said = [await asyncio.wait_for(ear.get(), self._heartbeat_s)]
        except TimeoutError:
            said = []
        while not ear.empty():
            said.append(ear.get_nowait())
        messages = "".join(_notification(one) for one in said if one is not None)
        return _soap(f"<tev:PullMessagesResponse>{messages}</tev:PullMessagesResponse>")

    def _signed(self, text: str) -> bool:
        """WS-UsernameToken with a digest over our time; a token of another time is refused, as cameras do."""
        if self._login is None:
            return True
        found = {name: pattern.search(text) for name, pattern in _FIELD.items()}
        if not all(found.values()):
            return False
        user, given, nonce, created = (match[1] for match in found.values() if match is not None)
        ours = datetime.now(UTC) + self.skew
        if user != self._login[0] or abs(datetime.fromisoformat(created.replace("Z", "+00:00")) - ours) > _TOLERANCE:
            return False
        digest = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self._login[1].encode(), usedforsecurity=False).digest()
        return hmac.compare_digest(base64.b64encode(digest).decode(), given)


def _hikvision(said: Said) -> bytes:
    kind, channel, word, active = said
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<EventNotificationAlert version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">\r\n'
        f"<channelID>{channel}</channelID>\r\n<activePostCount>1</activePostCount>\r\n<eventType>{word or HIKVISION[kind]}</eventType>\r\n"
        f"<eventState>{'inactive' if active is False else 'active'}</eventState>\r\n</EventNotificationAlert>\r\n"
    )
    return f"--{_BOUNDARY}\r\nContent-Type: application/xml; charset=UTF-8\r\nContent-Length: {len(xml)}\r\n\r\n{xml}\r\n".encode()


def _dahua(said: Said) -> bytes:
    kind, channel, word, active = said
    action = {True: "Start", False: "Stop", None: "Pulse"}[active]
    line = f'Code={word or DAHUA[kind]};action={action};index={channel - 1};data={{\r\n   "Id" : [ 0 ]\r\n}}\r\n\r\n'
    return f"--myboundary\r\nContent-Type: text/plain\r\nContent-Length:{len(line)}\r\n\r\n{line}".encode()


def _notification(said: Said) -> str:
    kind, channel, word, active = said
    value = "false" if active is False else "true"
    return (
        f"<wsnt:NotificationMessage><wsnt:Topic>{word or ONVIF[kind]}</wsnt:Topic><wsnt:Message><tt:Message PropertyOperation='Changed'>"
        f"<tt:Source><tt:SimpleItem Name='Source' Value='{channel}'/></tt:Source><tt:Data><tt:SimpleItem Name='State' Value='{value}'/></tt:Data>"
        "</tt:Message></wsnt:Message></wsnt:NotificationMessage>"
    )


def _moment(at: datetime) -> str:
    time = f"<tt:Time><tt:Hour>{at.hour}</tt:Hour><tt:Minute>{at.minute}</tt:Minute><tt:Second>{at.second}</tt:Second></tt:Time>"
    date = f"<tt:Date><tt:Year>{at.year}</tt:Year><tt:Month>{at.month}</tt:Month><tt:Day>{at.day}</tt:Day></tt:Date>"
    return f"<tds:SystemDateAndTime><tt:UTCDateTime>{time}{date}</tt:UTCDateTime></tds:SystemDateAndTime>"


def _envelope(body: str) -> str:
    spaces = " ".join(f'xmlns:{name}="urn:{name}"' for name in ("tds", "trt", "tev", "tt", "wsnt", "wsa", "ter"))
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" {spaces}><s:Body>{body}</s:Body></s:Envelope>'


def _soap(body: str) -> Response:
    return Response(_envelope(body), media_type="application/soap+xml")
