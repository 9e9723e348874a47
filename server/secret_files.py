"""Secrets and certificates that the settings name by file: read when the server starts, or refused with a sentence that names the file."""

from pathlib import Path


class SecretFileError(ValueError):
    """A file that the settings name cannot serve; the text is one sentence for the operator."""


def secret(path: Path | None) -> str:
    """The first line of a password or token file; '' where none is named. Raises SecretFileError when it cannot be read or says nothing."""
    if path is None:
        return ""
    lines = _text(path).splitlines()
    if not lines or not lines[0].strip():
        raise SecretFileError(f"{path} 是空的：第一行应是密码或令牌。")
    return lines[0].strip()


def readable(path: Path | None) -> str | None:
    """The path of a certificate, key or authority as a library wants it. Raises SecretFileError when it cannot be read."""
    if path is None:
        return None
    _text(path)
    return str(path)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(f"读不了 {path}：{getattr(error, 'strerror', None) or error}。请改正 server.yaml 或文件的权限。") from error
