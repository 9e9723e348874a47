"""Variants, answers and wired inputs."""

import pytest

from contract.decoding import decode_exchange
from contract.installation import ChannelUse, InstallationError, configure, variant
from contract.profile import find

DI = find("waveshare-8di")


def test_a_variant_changes_what_it_names_and_keeps_the_rest() -> None:
    standard, changed = find("xy-md02"), variant(find("xy-md02"), "x100")
    assert [point.scale for point in changed.points] == ["1/100", "1/100"]
    assert changed.points[0].range == standard.points[0].range
    assert changed.connection == standard.connection
    even = configure(standard, {"variant": "even_parity"})
    assert even.connection.serial is not None
    assert (even.connection.serial.parity, even.connection.serial.baud) == ("E", 9600)
    assert configure(standard) == standard
    with pytest.raises(InstallationError, match="has no variant 'x10'"):
        variant(standard, "x10")


def test_fahrenheit_arrives_in_celsius() -> None:
    hot = configure(find("huawei-02312pbl"), {"variant": "fahrenheit"})
    asked, reply = bytes.fromhex("01 03 00 02 00 02 65 CB"), bytes.fromhex("01 03 04 03 02 01 1F 1B EF")
    assert decode_exchange(hot, asked, reply)[0].value == 25.0  # 77.0 °F


def test_inputs_without_a_use_are_left_out() -> None:
    installed = configure(DI, channels={"di2": ChannelUse(quantity="door", normally="closed"), "di5": ChannelUse(quantity="leak")})
    assert [(point.quantity, point.channel, point.invert, point.fail_safe, point.klass) for point in installed.points] == [
        ("door", "di2", True, True, "alarm"),
        ("leak", "di5", False, False, "alarm"),
    ]
    assert configure(DI).points == ()


def test_points_that_are_not_inputs_stay() -> None:
    assert configure(find("renke-rs-ws-n01"), {"unit": 7}).points == find("renke-rs-ws-n01").points


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ({"di9": ChannelUse(quantity="door")}, "has no input 'di9'"),
        ({"di1": ChannelUse(quantity="temperature")}, "'temperature' cannot come from a contact"),
        ({"di1": ChannelUse(quantity="gate")}, "'gate' cannot come from a contact"),
        ({"di1": ChannelUse(quantity="door", channel="a"), "di2": ChannelUse(quantity="door", channel="a")}, "'door a' is given twice"),
    ],
)
def test_impossible_channels_are_refused(channels: dict[str, ChannelUse], said: str) -> None:
    with pytest.raises(InstallationError, match=said):
        configure(DI, channels=channels)


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("renke-rs-ws-n01", {"unit": 255}, "unit must be a whole number from 1 to 254"),
        ("renke-rs-ws-n01", {"unit": "7"}, "unit must be a whole number"),
        ("renke-rs-ws-n01", {"colour": "red"}, "asks no 'colour'"),
        ("xy-md02", {"variant": "x10"}, "variant must be one of standard, x100, even_parity"),
    ],
)
def test_impossible_answers_are_refused(name: str, params: dict[str, int | str], said: str) -> None:
    with pytest.raises(InstallationError, match=said):
        configure(find(name), params)


def test_answers_fill_the_paths_of_a_camera() -> None:
    camera = configure(find("hikvision-isapi"), {"channel": 3}).camera
    assert camera is not None
    assert camera.snapshot == "/ISAPI/Streaming/channels/301/picture"
    assert camera.snapshot_fallback == ("/ISAPI/ContentMgmt/StreamingProxy/channels/301/picture",)
    assert camera.rtsp == "rtsp://{user}:{password}@{host}/Streaming/Channels/301"
    generic = configure(find("generic-http-camera")).camera
    assert generic is not None
    assert (generic.snapshot, generic.tamper.raise_n, generic.tamper.clear_n) == ("/snapshot.jpg", 3, 5)
