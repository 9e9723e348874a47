from pathlib import Path

import pytest

from edge.configfile import ConfigError, load, load_devices, read_secret

EDGE = """\
gateway: gw-1
group: 350128
broker: {host: 127.0.0.1, port: 1884, password_file: secret.txt, tls: {ca_file: ca.crt}}
data_dir: data
devices_file: devices.yaml
buses:
  - {name: b1, kind: tcp, host: 127.0.0.1, port: 5020}
  - name: b2
    kind: serial
    device: /dev/ttyS1
    baud: 4800
spool: {synchronous: off, verify_crc: false}
"""


def write(folder: Path, text: str, name: str = "edge.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return caught.value


def test_a_whole_file_with_defaults_and_paths_beside_it(tmp_path: Path) -> None:
    settings = load(write(tmp_path, EDGE))
    assert settings.group == "350128"
    assert settings.host_id == "aw"
    assert settings.data_dir == tmp_path / "data"
    assert settings.broker.password_file == tmp_path / "secret.txt"
    assert settings.broker.tls is not None
    assert settings.broker.tls.ca_file == tmp_path / "ca.crt"
    assert settings.broker.keepalive_s == 20
    assert [bus.kind for bus in settings.buses] == ["tcp", "serial"]
    assert settings.spool.synchronous == "off"
    assert settings.uplink.window == 20
    assert (settings.uplink.resend_s, settings.uplink.urgent_resend_s) == (15, 2)


def test_yaml_booleans_of_older_tools_mean_off(tmp_path: Path) -> None:
    assert load(write(tmp_path, EDGE.replace("synchronous: off", "synchronous: false"))).spool.synchronous == "off"


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("gateway: gw-1", "gateway: gw/1"), 1, "gateway"),
        (("gateway: gw-1\n", ""), 1, "缺少 gateway"),
        (("port: 5020", "port: 70000"), 7, "port 不能大于 65535"),
        (("baud: 4800", "baud: fast"), 11, "baud 应是整数"),
        (("baud: 4800", "bauds: 4800"), 11, "不认识的字段 bauds"),
        (("kind: tcp", "kind: can"), 7, "kind"),
        (("name: b2", "name: b1"), 8, "名称 b1 重复"),
        (("buses:", "buses:\n  - {name: b0, kind: rtu_over_tcp, host: 127.0.0.1, port: 5020}"), 8, "总线 b1 与 b0 是同一条线"),
        (("ca_file: ca.crt", "cert_file: a.crt"), 3, "cert_file"),
        (("group: 350128", "group: 350128\ngroup: 350128"), 3, "YAML"),
        (("kind: tcp,", "kind: tcp: x,"), 7, "YAML"),
    ],
)
def test_a_refusal_names_file_line_and_reason(tmp_path: Path, change: tuple[str, str], line: int, words: str) -> None:
    error = refused(tmp_path, EDGE.replace(*change))
    assert error.file == tmp_path / "edge.yaml"
    assert error.line == line
    assert words in error.reason
    assert str(error).startswith(f"{tmp_path / 'edge.yaml'}:{line}: ")
    assert "\n" not in str(error)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    assert "empty" in refused(tmp_path, "").reason
    assert "键值" in refused(tmp_path, "- a").reason
    with pytest.raises(ConfigError, match="无法读取"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "edge.yaml").write_bytes(b"gateway: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "edge.yaml")


DEVICES = """\
version: 3
devices:
  - {name: th1, profile: xy-md02, bus: b1, unit: 1, room: 350128000001-01, interval_s: 30}
  - name: di
    profile: waveshare-8di
    bus: b1
    unit: 2
    room: 350128000001-01
    channels:
      di1: {quantity: door, normally: closed, room: 350128000001-02}
"""


def test_devices_with_their_lines(tmp_path: Path) -> None:
    devices, lines = load_devices(write(tmp_path, DEVICES, "devices.yaml"))
    assert devices.version == "3"
    assert lines == {"th1": 3, "di": 4}
    assert devices.devices[1].channels["di1"].normally == "closed"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("unit: 1", "unit: 300"), 3),
        (("350128000001-02", "room two"), 10),
        (("normally: closed", "normally: shut"), 10),
        (("name: di", "name: th1"), 4),
    ],
)
def test_devices_are_refused_by_line(tmp_path: Path, change: tuple[str, str], line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        load_devices(write(tmp_path, DEVICES.replace(*change), "devices.yaml"))
    assert caught.value.line == line


def test_a_secret_is_one_line(tmp_path: Path) -> None:
    assert read_secret(write(tmp_path, "  s3cret \nrest\n", "key")) == "s3cret"
    with pytest.raises(ConfigError, match="空"):
        read_secret(write(tmp_path, "\n", "key"))
