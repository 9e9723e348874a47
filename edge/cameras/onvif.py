"""ONVIF: where the snapshot is, and events by PullPoint. SOAP is a handful of fixed texts here; sources: onvif/specs, WS-UsernameToken 1.0.

The password digest contains the camera's time, so the difference of its clock to ours is asked first. Addresses that a camera names are only used for
their path: host and port are those of our own configuration.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

import httpx

from edge.cameras.events import BrokenStreamError, CameraEvent, parse_xml

SERVICE: Final = "/onvif/device_service"
_DIGEST: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
_ENVELOPE: Final = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
    ' xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tev="http://www.onvif.org/ver10/events/wsdl"'
    ' xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
)
_SECURITY: Final = (
    '<wsse:Security xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"'
    ' xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><wsse:UsernameToken><wsse:Username>{user}'
    '</wsse:Username><wsse:Password Type="{kind}">{digest}</wsse:Password><wsse:Nonce>{nonce}</wsse:Nonce><wsu:Created>{created}</wsu:Created>'
    "</wsse:UsernameToken></wsse:Security>"
)
_LARGEST: Final = 512 * 1024


@dataclass(slots=True)
class Onvif:
    """One camera at `base` (scheme and host of our configuration). Every method raises httpx.HTTPError or BrokenStreamError."""

    client: httpx.AsyncClient
    base: str
    user: str | None
    password: str
    timeout_s: float
    skew: timedelta | None = None

    async def clock_skew(self) -> timedelta:
        """How far the camera's clock is ahead of ours."""
        root = await self._call(SERVICE, "<tds:GetSystemDateAndTime/>", signed=False)
        moment = root.find(".//UTCDateTime")
        if moment is None:
            return timedelta()
        try:
            parts = [int(moment.findtext(f"{group}/{name}", "")) for group, name in _MOMENT]
            return datetime(*parts, tzinfo=UTC) - datetime.now(UTC)  # type: ignore[misc,arg-type]
        except ValueError:
            raise BrokenStreamError("摄像机的时间看不懂") from None

    async def snapshot_path(self) -> str:
        """Path (and query) of the JPEG of the first profile."""
        root = await self._call(SERVICE.replace("device", "media"), "<trt:GetProfiles/>")
        profile = root.find(".//Profiles")
        token = "" if profile is None else profile.get("token", "")
        body = f"<trt:GetSnapshotUri><trt:ProfileToken>{escape(token)}</trt:ProfileToken></trt:GetSnapshotUri>"
        address = (await self._call(SERVICE.replace("device", "media"), body)).findtext(".//Uri", "").strip()
        if not address:
            raise BrokenStreamError("ONVIF 没有给出抓图地址")
        return path_of(address)

    async def subscribe(self) -> str:
        """Make a pull point; returns its path."""
        body = "<tev:CreatePullPointSubscription><tev:InitialTerminationTime>PT600S</tev:InitialTerminationTime></tev:CreatePullPointSubscription>"
        root = await self._call(SERVICE.replace("device", "event"), body)
        address = root.findtext(".//SubscriptionReference/Address", "").strip()
        if not address:
            raise BrokenStreamError("ONVIF 没有给出事件订阅地址")
        return path_of(address)

    async def pull(self, path: str, wait_s: int) -> list[CameraEvent]:
        """Wait for events at most `wait_s`; an empty answer is the keep-alive."""
        body = f"<tev:PullMessages><tev:Timeout>PT{wait_s}S</tev:Timeout><tev:MessageLimit>50</tev:MessageLimit></tev:PullMessages>"
        return list(notifications(await self._call(path, body, wait_s)))

    async def renew(self, path: str) -> None:
        """Let the pull point live on."""
        await self._call(path, "<wsnt:Renew><wsnt:TerminationTime>PT600S</wsnt:TerminationTime></wsnt:Renew>")

    async def unsubscribe(self, path: str) -> None:
        """Say goodbye to the pull point."""
        await self._call(path, "<wsnt:Unsubscribe/>")

    async def _call(self, path: str, body: str, wait_s: float = 0, *, signed: bool = True) -> Element:
        if signed and self.user is not None and self.skew is None:
            self.skew = await self.clock_skew()
        header = self._security() if signed and self.user is not None else ""
        content = _ENVELOPE.format(header=header, body=body).encode()
        headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
        answer = await self.client.post(self.base + path, content=content, headers=headers, timeout=self.timeout_s + wait_s)
        if answer.status_code in (401, 403) or b"NotAuthorized" in answer.content[:4096]:
            self.skew = None
            raise BrokenStreamError("拒绝登录，请检查用户名和密码")
        if answer.status_code != 200 or len(answer.content) > _LARGEST:
            raise BrokenStreamError(f"ONVIF 回答 HTTP {answer.status_code}")
        return parse_xml(answer.content)

    def _security(self) -> str:
        nonce = secrets.token_bytes(16)
        created = (datetime.now(UTC) + (self.skew or timedelta())).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha1(nonce + created.encode() + self.password.encode(), usedforsecurity=False).digest()  # the standard's, not our choice
        nonce64, digest64 = (base64.b64encode(part).decode() for part in (nonce, digest))
        return _SECURITY.format(user=escape(self.user or ""), kind=_DIGEST, digest=digest64, nonce=nonce64, created=created)


_MOMENT: Final = (("Date", "Year"), ("Date", "Month"), ("Date", "Day"), ("Time", "Hour"), ("Time", "Minute"), ("Time", "Second"))


def path_of(address: str) -> str:
    """Path and query of an address that a camera gave: its host is not believed."""
    parts = urlsplit(address)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


def notifications(root: Element) -> Iterator[CameraEvent]:
    """The events of a PullMessages answer: topic without its prefixes, and the first boolean of its data."""
    for message in root.iter("NotificationMessage"):
        topic = "/".join(part.rsplit(":", 1)[-1] for part in message.findtext("Topic", "").strip().split("/"))
        inner = message.find("Message/Message")
        if not topic or inner is None or inner.get("PropertyOperation") == "Deleted":
            continue
        words = [item.get("Value", "").lower() for item in inner.iterfind("Data/SimpleItem")]
        word = next((word for word in words if word in ("true", "false", "1", "0")), None)
        yield CameraEvent(topic, None if word is None else word in ("true", "1"))
