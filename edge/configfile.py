"""Reading `edge.yaml` and `devices.yaml`: YAML 1.2, and every refusal names file, line and reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from contract.located_yaml import Located, LocatedYamlError, load_located
from edge.settings import BrokerSettings, CameraBus, DevicesSettings, EdgeSettings, MqttBus, RtuOverTcpBus, SerialBus, TcpBus, TlsSettings

_MAX_FILE = 4 * 1024 * 1024  # bytes; a configuration larger than this is a mistake
_Model = TypeVar("_Model", bound=BaseModel)

_REASONS = {
    "missing": "缺少 {name}",
    "extra_forbidden": "不认识的字段 {name}",
    "literal_error": "{name} 只能是 {expected}",
    "union_tag_invalid": "{name} 的 kind 只能是 {expected_tags}",
    "union_tag_not_found": "{name} 缺少 kind",
    "string_pattern_mismatch": "{name} 的写法不对，应符合 {pattern}",
    "string_type": "{name} 应是文字（必要时加引号）",
    "int_type": "{name} 应是整数",
    "int_parsing": "{name} 应是整数",
    "int_from_float": "{name} 应是整数",
    "float_type": "{name} 应是数字",
    "float_parsing": "{name} 应是数字",
    "bool_type": "{name} 应是 true 或 false",
    "bool_parsing": "{name} 应是 true 或 false",
    "greater_than": "{name} 应大于 {gt}",
    "greater_than_equal": "{name} 不能小于 {ge}",
    "less_than": "{name} 应小于 {lt}",
    "less_than_equal": "{name} 不能大于 {le}",
}


class ConfigError(ValueError):
    """A configuration that cannot be used. `str()` is one sentence: file:line: reason."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file, self.line, self.reason = file, line, reason


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_FILE:
            raise ConfigError(file, 1, "文件超过 4 MiB")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(file, 1, f"无法读取（{error.strerror}）") from None
    except UnicodeDecodeError as error:
        raise ConfigError(file, 1, f"不是 UTF-8 文本（第 {error.start} 字节）") from None


def _content(file: Path) -> Located:
    try:
        located = load_located(_text(file))
    except LocatedYamlError as error:
        raise ConfigError(file, error.line, f"YAML 写法不被接受（{error.reason}）") from None
    if not isinstance(located.data, Mapping):
        raise ConfigError(file, 1, "不是键值结构")
    return located


def _reason(detail: Mapping[str, Any]) -> str:
    place = [str(step) for step in detail["loc"] if not isinstance(step, int)]
    name = place[-1] if place else "文件"
    pattern = _REASONS.get(detail["type"])
    if pattern is None:
        return f"{name}：{detail['msg'].removeprefix('Value error, ')}" if place else detail["msg"].removeprefix("Value error, ")
    return pattern.format(name=name, **detail.get("ctx", {}))


def _parse(file: Path, model: type[_Model]) -> tuple[_Model, Located]:
    content = _content(file)
    try:
        return model.model_validate(content.data), content
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigError(file, content.line(_known(content.data, detail["loc"])), _reason(detail)) from None


def _known(data: Any, place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The steps of an error's place that the file has: pydantic adds one for a union member."""
    path: tuple[int | str, ...] = ()
    for step in place:
        if (isinstance(data, Mapping) and step in data) or (isinstance(data, tuple) and isinstance(step, int) and step < len(data)):
            data, path = data[step], (*path, step)  # type: ignore[index]
    return path


def _refuse_twice(file: Path, content: Located, section: str, names: list[str]) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            raise ConfigError(file, content.line((section, at)), f"名称 {name} 重复")


def _refuse_one_line_twice(file: Path, content: Located, settings: EdgeSettings) -> None:
    """Two connections to one serial server or device starve each other: many take a single one."""
    lines: dict[str, str] = {}
    for at, bus in enumerate(settings.buses):
        if isinstance(bus, TcpBus | RtuOverTcpBus | SerialBus):
            line = bus.device if isinstance(bus, SerialBus) else f"{bus.host}:{bus.port}"
            if line in lines:
                raise ConfigError(file, content.line(("buses", at)), f"总线 {bus.name} 与 {lines[line]} 是同一条线（{line}），请合并为一条")
            lines[line] = bus.name


def _resolved(path: Path | None, folder: Path) -> Path | None:
    return None if path is None else folder / path


def _tls(tls: TlsSettings | None, folder: Path) -> TlsSettings | None:
    return tls and tls.model_copy(update={name: _resolved(getattr(tls, name), folder) for name in ("ca_file", "cert_file", "key_file")})


def _broker(broker: BrokerSettings, folder: Path) -> BrokerSettings:
    return broker.model_copy(update={"password_file": _resolved(broker.password_file, folder), "tls": _tls(broker.tls, folder)})


def load(file: Path) -> EdgeSettings:
    """Read `edge.yaml`; its relative paths become relative to its folder. Raises ConfigError."""
    settings, content = _parse(file, EdgeSettings)
    _refuse_twice(file, content, "buses", [bus.name for bus in settings.buses])
    _refuse_one_line_twice(file, content, settings)
    folder = file.resolve().parent
    own = {
        name: _resolved(getattr(settings, name), folder)
        for name in ("data_dir", "devices_file", "profiles_dir", "server_token_file", "trace_accepted")
    }
    buses = tuple(
        bus.model_copy(update={"password_file": _resolved(bus.password_file, folder)}) if isinstance(bus, MqttBus | CameraBus) else bus
        for bus in settings.buses
    )
    return settings.model_copy(update=own | {"broker": _broker(settings.broker, folder), "buses": buses})


def load_devices(file: Path) -> tuple[DevicesSettings, Mapping[str, int]]:
    """Read `devices.yaml`; beside it the line on which each device begins, by name, for later refusals. Raises ConfigError."""
    settings, content = _parse(file, DevicesSettings)
    _refuse_twice(file, content, "devices", [device.name for device in settings.devices])
    return settings, {device.name: content.line(("devices", at)) for at, device in enumerate(settings.devices)}


def read_secret(file: Path) -> str:
    """The first line of a password or token file. Raises ConfigError when it cannot be read or is empty."""
    lines = _text(file).splitlines()
    if not lines or not lines[0].strip():
        raise ConfigError(file, 1, "密码或令牌文件是空的")
    return lines[0].strip()
