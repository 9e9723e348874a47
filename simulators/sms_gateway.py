"""An SMS provider for tests and the demo: a real HTTP server that speaks the Twilio Messages API, with a page on which one reads the messages.

    with SmsGateway() as sms:                      # in this process, own thread, free port
        sms.url, sms.account, sms.token            # what a client needs
        sms.order("timeout_after", to="+8613912345678")
        sms.messages()                             # the oracle: what really was accepted

A queued message has no `date_sent`, and a list filtered by DateSent does not show it: the harsher reading of Twilio's documents, so that a look-up
that relies on the kinder one is found out here.
"""

import argparse
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn

from simulators.signals import stop_event
from simulators.sms_app import build, protocol
from simulators.sms_calls import call_record
from simulators.sms_control import record
from simulators.sms_core import Core, Delays, Fault
from simulators.sms_front import Connections, Front

ACCOUNT = "AC" + 32 * "0"
TOKEN = "simulated-token"  # noqa: S105 - of a simulator that listens on 127.0.0.1


def _clock() -> int:
    return time.time_ns() // 1_000_000


class SmsGateway:
    """The gateway in a thread of this process. `data` keeps the messages in a file; `inbound` receives what people answer.

    `hold_s` is how long a timeout fault keeps the line open before it is cut.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        data: Path | None = None,
        account: str = ACCOUNT,
        token: str = TOKEN,
        inbound: str = "",
        delays: Delays | None = None,
        hold_s: float = 60.0,
        clock: Callable[[], int] = _clock,
    ) -> None:
        self.account, self.token = account, token
        self.core = Core(account, data, delays)
        connections: Connections = {}
        self.front = Front(self.core, token, inbound, clock, connections, hold_s)
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        config = uvicorn.Config(
            build(self.front), http=protocol(connections), ws="none", lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve in an own thread. The socket listens already, so a client may connect at once."""
        self._thread = threading.Thread(target=self._serve, name="sms-gateway", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End and wait for the thread; the messages cannot be asked for afterwards."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def order(self, kind: str, count: int = 1, to: str | None = None, on: str = "create") -> None:
        """Order a fault; kinds in sms_core.KINDS. Raises ValueError."""
        self.core.faults.order(Fault(kind, count, to, on))

    def messages(self, to: str | None = None) -> list[dict[str, object]]:
        """Every message accepted so far, oldest first, as GET /control/messages tells it."""
        return [record(m) for m in reversed(self.core.store.find(to=to))]

    def reply(self, sender: str, body: str, to: str = "+8613900009999") -> dict[str, Any]:
        """A person answers: posts to the inbound webhook, returns its status and the replies it asked for."""
        answer = httpx.post(f"{self.url}/control/inbound", json={"sender": sender, "to": to, "body": body}, timeout=30, trust_env=False)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def calls(self, to: str | None = None) -> list[dict[str, Any]]:
        """Voice calls that were accepted, in order."""
        return [call_record(call) for call in reversed(self.front.calls.find(to=to))]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self.core.store.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim sms`."""
    parser.add_argument("--port", type=int, default=8025, help="HTTP port, 0 = any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--data", type=Path, help="SQLite file that keeps the messages (default: in memory)")
    parser.add_argument("--account-sid", default=ACCOUNT)
    parser.add_argument("--auth-token", default=TOKEN)
    parser.add_argument("--inbound", default="", metavar="URL", help="webhook for what people answer")
    parser.add_argument("--sent-after", type=float, default=0.2, metavar="S", help="seconds until the network has a message")
    parser.add_argument("--delivered-after", type=float, default=0.8, metavar="S", help="seconds from there to the handset")


def main(args: argparse.Namespace) -> int:
    """Run the gateway until SIGINT or SIGTERM; prints one JSON line when it listens. 5 when the port is taken."""
    delays = Delays(round(args.sent_after * 1000), round(args.delivered_after * 1000))
    try:
        gateway = SmsGateway(
            port=args.port,
            host=args.host,
            data=args.data,
            account=args.account_sid,
            token=args.auth_token,
            inbound=args.inbound,
            delays=delays,
        )
    except OSError as error:
        print(json.dumps({"ready": False, "error": f"cannot listen on {args.host}:{args.port}: {error}"}))
        return 5
    ended = stop_event()
    with gateway:
        print(json.dumps({"ready": True, "url": gateway.url, "account_sid": gateway.account}), flush=True)
        ended.wait()
    return 0
