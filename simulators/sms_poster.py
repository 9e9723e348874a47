"""Posts of the SMS gateway to the application: signed forms, in order per message."""

import asyncio
import logging
import uuid

import httpx

from simulators.sms_core import Callback
from simulators.sms_wire import sign

log = logging.getLogger("simulators.sms")


class Poster:
    """Posts signed forms to the application: one order per message, one retry when nothing was answered, as Twilio does."""

    def __init__(self, token: str, timeout_s: float = 15.0) -> None:
        self._token = token
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)
        self._tails: dict[str, asyncio.Task[None]] = {}

    def enqueue(self, callback: Callback) -> None:
        """Post later, after what was queued before for the same message."""
        before = self._tails.get(callback.order)
        task = asyncio.create_task(self._after(before, callback))
        self._tails[callback.order] = task
        task.add_done_callback(lambda done: self._tails.pop(callback.order) if self._tails.get(callback.order) is done else None)

    async def post(self, callback: Callback) -> httpx.Response | None:
        """Post now; None when nobody answered twice."""
        headers = {
            "X-Twilio-Signature": sign("forged" if callback.forged else self._token, callback.url, callback.form),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
            "User-Agent": "TwilioProxy/1.1",
        }
        for attempt in (1, 2):
            try:
                return await self._client.post(callback.url, data=dict(callback.form), headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                log.warning("callback to %s failed (attempt %d): %s", callback.url, attempt, error)
        return None

    async def close(self) -> None:
        """Drop what is queued and close the connections."""
        for task in list(self._tails.values()):
            task.cancel()
        await self._client.aclose()

    async def _after(self, before: asyncio.Task[None] | None, callback: Callback) -> None:
        if before is not None:
            await asyncio.wait([before])
        answer = await self.post(callback)
        if answer is not None and not answer.is_success:
            log.warning("callback to %s answered %d", callback.url, answer.status_code)
