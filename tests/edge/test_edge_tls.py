"""TLS and client certificates of the uplink against a real Mosquitto: who is let in, who is not, and what the log says about it."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.link import Arrived, Down, Event, PahoLink, Up
from edge.settings import BrokerSettings, TlsSettings
from tests.certificates import Authority

pytestmark = [pytest.mark.mosquitto, pytest.mark.skipif(shutil.which("mosquitto") is None, reason="the broker Mosquitto is not installed")]


class Mosquitto:
    """A broker that wants client certificates, takes the name in them for the user, and lets each write under its own name only."""

    def __init__(self, folder: Path, port: int, authority: Authority, certificate: tuple[Path, Path]) -> None:
        self.port, self._log = port, folder / "mosquitto.log"
        (folder / "acl").write_text("pattern readwrite %u/#\n", "utf-8")
        settings = {"listener": f"{port} 127.0.0.1", "cafile": authority.file, "certfile": certificate[0], "keyfile": certificate[1],
                    "require_certificate": "true", "use_identity_as_username": "true", "allow_anonymous": "false", "acl_file": folder / "acl",
                    "user": "root", "tls_version": "tlsv1.2"}  # fmt: skip
        (folder / "mosquitto.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()), "utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(["mosquitto", "-c", folder / "mosquitto.conf"], stderr=log, stdout=log)
        while b"running" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text("utf-8")
            time.sleep(0.02)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "province")


@pytest.fixture
def mosquitto(tmp_path: Path, authority: Authority, free_port: int) -> Iterator[Mosquitto]:
    running = Mosquitto(tmp_path, free_port, authority, authority.issue("broker"))
    yield running
    running.close()


def attempt(port: int, tls: TlsSettings, host: str = "127.0.0.1") -> tuple[PahoLink, list[Event], threading.Event]:
    """What becomes of a connection."""
    news = threading.Event()
    link = PahoLink(BrokerSettings(host=host, port=port, tls=tls), "gw-1", ("gw-1/in",), news.set)
    link.open("gw-1/will", b"")
    assert news.wait(40)
    news.clear()
    return link, link.events(), news


def refusal(port: int, tls: TlsSettings) -> str:
    link, events, _ = attempt(port, tls)
    link.close()
    (event,) = events
    assert isinstance(event, Down)
    return event.reason


def test_a_gateway_with_its_certificate_is_known_by_it(mosquitto: Mosquitto, authority: Authority) -> None:
    certificate, key = authority.issue("gw-1")
    link, events, news = attempt(mosquitto.port, TlsSettings(ca_file=authority.file, cert_file=certificate, key_file=key))
    assert events == [Up()]
    link.publish("gw-1/in", b"own")
    assert news.wait(40)
    assert link.events() == [Arrived("gw-1/in", b"own")], "the broker takes the name in the certificate for the user"
    link.close()


def test_without_a_certificate_nobody_is_let_in(mosquitto: Mosquitto, authority: Authority) -> None:
    assert refusal(mosquitto.port, TlsSettings(ca_file=authority.file)) != ""


def test_a_certificate_of_somebody_else_is_refused(mosquitto: Mosquitto, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = Authority(tmp_path / "other", "other").issue("gw-1")
    assert refusal(mosquitto.port, TlsSettings(ca_file=authority.file, cert_file=certificate, key_file=key)) != ""


def test_a_certificate_that_is_out_of_date_is_refused(mosquitto: Mosquitto, authority: Authority) -> None:
    certificate, key = authority.issue("gw-1", days=-1)
    assert refusal(mosquitto.port, TlsSettings(ca_file=authority.file, cert_file=certificate, key_file=key)) != ""


def test_a_broker_that_cannot_prove_itself_gets_nothing(mosquitto: Mosquitto, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = authority.issue("gw-1")
    stranger = Authority(tmp_path / "other", "other").file
    reason = refusal(mosquitto.port, TlsSettings(ca_file=stranger, cert_file=certificate, key_file=key))
    assert reason.startswith("消息服务器的证书有问题")


def test_a_broker_with_a_certificate_for_another_host_gets_nothing(tmp_path: Path, authority: Authority, free_port: int) -> None:
    running = Mosquitto(tmp_path, free_port, authority, authority.issue("elsewhere", host="127.0.0.9"))
    certificate, key = authority.issue("gw-1")
    try:
        reason = refusal(running.port, TlsSettings(ca_file=authority.file, cert_file=certificate, key_file=key))
    finally:
        running.close()
    assert reason.startswith("消息服务器的证书有问题")


@pytest.mark.parametrize("missing", ["ca_file", "cert_file"])
def test_a_certificate_file_that_is_not_there_is_told(missing: str, tmp_path: Path, authority: Authority, free_port: int) -> None:
    certificate, key = authority.issue("gw-1")
    files = {"ca_file": authority.file, "cert_file": certificate, "key_file": key} | {missing: tmp_path / "nowhere.pem"}
    assert refusal(free_port, TlsSettings(**files)).startswith("网络错误")
