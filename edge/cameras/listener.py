"""Follows the events of one camera for ever: connects, reads, notices silence, connects again after a growing pause."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import httpx

from contract.profile_transport import CameraEvents
from edge.cameras.events import PARSERS, BrokenStreamError, CameraEvent, Switches
from edge.cameras.onvif import Onvif
from edge.clock import mono_ms

_log = logging.getLogger("edge.camera")

_HOLD_MS: Final = 15_000.0
_PULL_S: Final = 20
_RENEW_S: Final = 240


@dataclass(slots=True)
class Door:
    """How to reach a camera: `base` is scheme and host."""

    client: httpx.AsyncClient
    base: str
    onvif: Onvif
    timeout_s: float


class Listener:
    """`news(changed)` is called with our event names when they begin or end; `alive` tells whether the stream is there."""

    def __init__(self, name: str, channel: int, rule: CameraEvents, door: Door, news: Callable[[list[str]], None]) -> None:
        self.switches = Switches(rule.map, _HOLD_MS)
        self.alive = False
        self.trouble = ""
        self._name, self._channel, self._rule, self._door, self._news = name, channel, rule, door, news

    async def run(self) -> None:
        """For ever."""
        failures = 0
        while True:
            try:
                async for events in self._stream():
                    failures = 0
                    self._arrived(events)
                self._lost("事件流结束")
            except (httpx.HTTPError, BrokenStreamError, TimeoutError) as error:
                self._lost(str(error) or type(error).__name__)
            pauses = self._rule.reconnect_s
            await asyncio.sleep(pauses[min(failures, len(pauses) - 1)])
            failures += 1

    def _stream(self) -> AsyncIterator[list[CameraEvent]]:
        return self._pulled() if self._rule.kind == "onvif_pullpoint" else self._endless()

    async def _endless(self) -> AsyncIterator[list[CameraEvent]]:
        """One HTTP answer without end; silence beyond the keep-alive ends it."""
        parser = PARSERS[self._rule.kind](self._rule.keepalive)
        timeout = httpx.Timeout(self._door.timeout_s, read=self._rule.read_timeout_s)
        async with self._door.client.stream("GET", self._door.base + self._rule.url, timeout=timeout) as answer:
            if answer.status_code != 200:
                raise BrokenStreamError(f"事件流回答 HTTP {answer.status_code}")
            yield []
            async for chunk in answer.aiter_bytes():
                yield list(parser.feed(chunk))

    async def _pulled(self) -> AsyncIterator[list[CameraEvent]]:
        onvif, renewed = self._door.onvif, mono_ms()
        path = await onvif.subscribe()
        try:
            while True:
                yield await onvif.pull(path, _PULL_S)
                if mono_ms() - renewed > 1000 * _RENEW_S:
                    await onvif.renew(path)
                    renewed = mono_ms()
        finally:
            with contextlib.suppress(httpx.HTTPError, BrokenStreamError):
                await onvif.unsubscribe(path)

    def _arrived(self, events: list[CameraEvent]) -> None:
        if not self.alive:
            if self.trouble:
                _log.info("摄像机 %s 的事件恢复", self._name)
            self.alive, self.trouble = True, ""
            self._news([])
        mono = mono_ms()
        holds = self._rule.kind != "isapi_alert_stream"
        mine = [event for event in events if event.channel in (0, self._channel)]
        changed = [name for event in mine if (name := self.switches.take(event, mono, holds=holds))]
        if changed:
            self._news(changed)

    def _lost(self, trouble: str) -> None:
        if not self.trouble:
            _log.warning("摄像机 %s 的事件中断：%s", self._name, trouble)
        self.alive, self.trouble = False, trouble
        self.switches.clear()
        self._news([])
