"""The SMS gateway as its clients see it: the provider's own client library over real HTTP, faults on the line, signed callbacks, kill -9."""

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulators.sms_core import Delays
from simulators.sms_gateway import ACCOUNT, TOKEN, SmsGateway

FROM, TO = "+8613900009999", "+8613912345678"


class _Redirected(TwilioHttpClient):
    """The library has no base URL: the documented way is an own HttpClient."""

    def __init__(self, base: str, timeout: float = 10) -> None:
        super().__init__(timeout=timeout)
        self._base = base

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        return super().request(method, url.replace("https://api.twilio.com", self._base), *args, **kwargs)


def _client(gateway: SmsGateway, token: str = TOKEN, timeout: float = 10) -> Client:
    return Client(ACCOUNT, token, http_client=_Redirected(gateway.url, timeout))


def _wait(condition: Callable[[], bool]) -> None:
    """Poll a real server; the test's own timeout ends a wait that never succeeds."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


@pytest.fixture
def sms() -> Iterator[SmsGateway]:
    with SmsGateway(delays=Delays(20, 20), hold_s=20) as gateway:
        yield gateway


class _Application(ThreadingHTTPServer):
    """What the server's webhook looks like from outside: keeps (path, form, headers), answers TwiML."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[str, dict[str, str], dict[str, str]]] = queue.Queue()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Application)
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.put((self.path, dict(parse_qsl(text, keep_blank_values=True)), dict(self.headers)))
        answer = "<Response><Message>没有听懂。接手按1，转交按2，重听按9。</Message></Response>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def application() -> Iterator[_Application]:
    with _Application() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_create_fetch_until_delivered(sms: SmsGateway) -> None:
    client = _client(sms)
    made = client.messages.create(to=TO, from_=FROM, body="【档案值守】特急：鼓楼东街01库于23:41烟感告警。编号483925")
    assert made.sid.startswith("SM")
    assert len(made.sid) == 34
    assert (made.status, made.direction, made.num_segments, made.price, made.error_code, made.date_sent) == (
        "queued",
        "outbound-api",
        "1",
        None,
        None,
        None,
    )
    assert isinstance(made.date_created, datetime)
    _wait(lambda: client.messages(made.sid).fetch().status == "delivered")
    fetched = client.messages(made.sid).fetch()
    assert isinstance(fetched.date_sent, datetime)
    assert (fetched.to, fetched.from_, fetched.account_sid, fetched.uri) == (
        TO,
        FROM,
        ACCOUNT,
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{made.sid}.json",
    )


def test_list_by_number_and_date_pages_through_everything(sms: SmsGateway) -> None:
    client = _client(sms)
    for number in range(7):
        client.messages.create(to=TO, from_=FROM, body=f"编号{number}")
    client.messages.create(to="+8613912345679", from_=FROM, body="另一人")
    _wait(lambda: all(m["status"] == "delivered" for m in sms.messages()))
    since = datetime.now(UTC) - timedelta(minutes=5)
    bodies = [m.body for m in client.messages.list(to=TO, date_sent_after=since, page_size=3)]
    assert bodies == [f"编号{n}" for n in reversed(range(7))]
    assert [m.body for m in client.messages.list(to=TO, limit=2)] == ["编号6", "编号5"]
    assert len(client.messages.list(date_sent_before=since)) == 0
    assert len(client.messages.list(date_sent_after=datetime.now(UTC) + timedelta(minutes=5))) == 0
    assert len(client.messages.list(from_=FROM)) == 8


def test_pages_do_not_repeat_messages_that_arrive_meanwhile(sms: SmsGateway) -> None:
    client = _client(sms)
    for number in range(4):
        client.messages.create(to=TO, from_=FROM, body=str(number))
    page = client.messages.page(to=TO, page_size=2)
    first = [m.body for m in page]
    client.messages.create(to=TO, from_=FROM, body="new")
    following = page.next_page()
    assert following is not None
    assert (first, [m.body for m in following]) == (["3", "2"], ["1", "0"])


def test_wrong_token_is_20003(sms: SmsGateway) -> None:
    with pytest.raises(TwilioRestException) as refused:
        _client(sms, token="wrong").messages.create(to=TO, from_=FROM, body="x")
    assert (refused.value.status, refused.value.code) == (401, 20003)
    assert sms.messages() == []


def test_unknown_sid_is_20404(sms: SmsGateway) -> None:
    with pytest.raises(TwilioRestException) as refused:
        _client(sms).messages("SM" + "0" * 32).fetch()
    assert (refused.value.status, refused.value.code) == (404, 20404)


@pytest.mark.parametrize(("kind", "status", "code"), [("invalid_number", 400, 21211), ("rate", 429, 20429), ("500", 500, 20500), ("503", 503, 20503)])
def test_ordered_errors_pass_and_nothing_is_accepted(sms: SmsGateway, kind: str, status: int, code: int) -> None:
    client = _client(sms)
    httpx.post(f"{sms.url}/control/faults", json={"kind": kind, "count": 2, "to": TO}).raise_for_status()
    for _ in range(2):
        with pytest.raises(TwilioRestException) as refused:
            client.messages.create(to=TO, from_=FROM, body="x")
        assert (refused.value.status, refused.value.code) == (status, code)
    assert sms.messages() == []
    client.messages.create(to=TO, from_=FROM, body="x")
    assert len(sms.messages()) == 1


@pytest.mark.parametrize(("kind", "accepted"), [("timeout_before", 0), ("timeout_after", 1)])
def test_timeouts_say_nothing_but_the_oracle_knows(sms: SmsGateway, kind: str, accepted: int) -> None:
    sms.order(kind, to=TO)
    with pytest.raises(requests.exceptions.ReadTimeout):
        _client(sms, timeout=0.5).messages.create(to=TO, from_=FROM, body="编号483925")
    assert len(sms.messages(to=TO)) == accepted


@pytest.mark.parametrize(("kind", "accepted"), [("reset", 0), ("reset_after", 1)])
def test_connection_reset(sms: SmsGateway, kind: str, accepted: int) -> None:
    sms.order(kind, to=TO)
    with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer"):
        _client(sms).messages.create(to=TO, from_=FROM, body="编号483925")
    assert len(sms.messages(to=TO)) == accepted


def test_magic_number_and_failing_look_up(sms: SmsGateway) -> None:
    client = _client(sms)
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to="+8613900000503", from_=FROM, body="x")
    assert refused.value.status == 503
    sms.order("500", on="list")
    with pytest.raises(TwilioException, match="Unable to fetch page"):  # the library's list has no TwilioRestException
        client.messages.list(to=TO)
    assert client.messages.list(to=TO) == []


def test_wrong_fault_orders_are_refused(sms: SmsGateway) -> None:
    assert httpx.post(f"{sms.url}/control/faults", json={"kind": "earthquake"}).status_code == 422
    assert "timeout_after" in httpx.get(f"{sms.url}/control/faults").json()["kinds"]


def test_signed_callbacks_in_order(sms: SmsGateway, application: _Application) -> None:
    url = f"{application.url}/twilio/status?room=1"
    sent = _client(sms).messages.create(to=TO, from_=FROM, body="x", status_callback=url)
    forms = []
    for _ in range(2):
        path, form, headers = application.got.get(timeout=20)
        assert path == "/twilio/status?room=1"
        assert RequestValidator(TOKEN).validate(url, form, headers["X-Twilio-Signature"])
        forms.append(form)
    assert [(f["MessageSid"], f["MessageStatus"], f["SmsStatus"]) for f in forms] == [
        (sent.sid, "sent", "sent"),
        (sent.sid, "delivered", "delivered"),
    ]


def test_forged_callback_does_not_validate(sms: SmsGateway, application: _Application) -> None:
    sms.order("callback_forged")
    _client(sms).messages.create(to=TO, from_=FROM, body="x", status_callback=application.url)
    _, form, headers = application.got.get(timeout=20)
    assert not RequestValidator(TOKEN).validate(application.url, form, headers["X-Twilio-Signature"])


def test_incoming_reply_reaches_the_application_and_its_twiml_comes_back(sms: SmsGateway, application: _Application) -> None:
    url = f"{application.url}/twilio/inbound"
    httpx.put(f"{sms.url}/control/webhook", json={"url": url}).raise_for_status()
    result = sms.reply(TO, "7", to=FROM)
    path, form, headers = application.got.get(timeout=20)
    assert (path, form["From"], form["To"], form["Body"], form["MessageSid"]) == ("/twilio/inbound", TO, FROM, "7", result["sid"])
    assert RequestValidator(TOKEN).validate(url, form, headers["X-Twilio-Signature"])
    assert result["webhook_status"] == 200
    assert [(m["direction"], m["to"], m["body"]) for m in sms.messages()] == [
        ("inbound", FROM, "7"),
        ("outbound-reply", TO, "没有听懂。接手按1，转交按2，重听按9。"),
    ]


def test_reply_without_webhook_is_kept(sms: SmsGateway) -> None:
    assert sms.reply(TO, "1")["webhook_status"] is None
    assert sms.messages()[0]["status"] == "received"


def test_page_is_chinese_and_needs_nothing_from_outside(sms: SmsGateway) -> None:
    page = httpx.get(f"{sms.url}/")
    assert page.headers["content-type"].startswith("text/html")
    assert "短信模拟器" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text


_COMMAND = """
import argparse
from simulators import sms_gateway
parser = argparse.ArgumentParser()
sms_gateway.add_arguments(parser)
raise SystemExit(sms_gateway.main(parser.parse_args()))
"""


def _start(data: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", _COMMAND, "--port", "0", "--data", str(data)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


@pytest.mark.faults
def test_log_survives_kill_and_the_command_ends_on_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "sms.db"
    process, url = _start(data)
    form = {"To": TO, "From": FROM, "Body": "编号483925"}
    httpx.post(f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", data=form, auth=(ACCOUNT, TOKEN)).raise_for_status()
    process.kill()
    process.communicate()
    process, url = _start(data)
    messages = httpx.get(f"{url}/control/messages").json()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert [(m["to"], m["from"], m["body"]) for m in messages] == [(TO, FROM, "编号483925")]
    assert process.returncode == 0
