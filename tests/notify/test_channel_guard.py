"""No way out leads where it must not: every channel that calls an address of the settings, and the identity provider, with a real listener behind."""

import socket
from collections.abc import Iterator

import pytest

from server import net_guard
from server.notify.channels import ChannelError, ChannelSettings, Failure, Message, open_channel
from server.org.oidc import Provider
from server.org.vouching import ProviderError, ProviderSettings
from server.store.session import Database

MESSAGE = Message(id=1, phone="+8613900001234", text="【档案值守】测试。编号483925", number="483925", since=0, validity_s=600)
OUTSIDE = ("203.0.113.0/24",)
"""The only network that the operator allows (a documentation range: nobody is there)."""
OURS = {"account_sid": "AC1", "token": "secret", "sender": "+8613900009999", "timeout_s": 2}
KINDS = {
    "webhook": {}, "http": {"token": "key"}, "siren": {}, "twilio": OURS, "twilio_voice": OURS, "chat": {"name": "wecom", "token": "wecombot://key"},
}  # fmt: skip


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listener of the inner network: a name that resolves to this machine, as a rebinding or a mistyped name would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        monkeypatch.setattr(net_guard, "_resolve", lambda *_: ["127.0.0.1"])
        yield listening


def untouched(listening: socket.socket) -> bool:
    """Whether nobody has connected."""
    with pytest.raises(BlockingIOError):
        listening.accept()
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("networks", [net_guard.ANYWHERE, OUTSIDE])
def test_no_channel_calls_an_inner_address_that_nobody_named(inner: socket.socket, kind: str, networks: tuple[str, ...]) -> None:
    port = inner.getsockname()[1]
    channel = open_channel(kind, ChannelSettings(**KINDS[kind], base_url=f"http://inner.example.org:{port}/x", networks=networks))
    with pytest.raises(ChannelError) as refused:
        channel.send(MESSAGE)
    assert refused.value.failure is Failure.RETRY, "nothing was sent: it goes out once the settings are mended"
    assert "不在允许的网段" in str(refused.value)
    assert untouched(inner)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0:8080/", "http://2852039166/"])
def test_what_is_never_called_is_not_even_when_everything_is_allowed(kind: str, address: str) -> None:
    channel = open_channel(kind, ChannelSettings(**KINDS[kind], base_url=address, networks=(*net_guard.ANYWHERE, "127.0.0.0/8")))
    with pytest.raises(ChannelError):
        channel.send(MESSAGE)


@pytest.mark.parametrize("token", ["json://127.0.0.1:9/x", "form://169.254.169.254", "xml://inner.example.org", "apprise://h/t"])
def test_a_chat_is_no_back_door_for_addresses_of_ones_own_choice(token: str) -> None:
    with pytest.raises(ValueError, match="webhook"):
        open_channel("chat", ChannelSettings(name="chat", token=token))


def test_a_provider_elsewhere_cannot_lead_us_to_ourselves(inner: socket.socket, tmp_path) -> None:
    port = inner.getsockname()[1]
    settings = ProviderSettings(issuer=f"http://sso.example.org:{port}", client_id="aw", client_secret="s")
    with pytest.raises(ProviderError, match="网段"):
        Provider(settings).begin(Database(f"sqlite:///{tmp_path / 'none.db'}"), "http://x/back", "/", 0)
    led = Provider(settings)
    led._facts = {"issuer": settings.issuer, "token_endpoint": f"http://127.0.0.1:{port}/token"}
    with pytest.raises(ProviderError, match="网段"):
        led._fact("token_endpoint")
    assert untouched(inner)
