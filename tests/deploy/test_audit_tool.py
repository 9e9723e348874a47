"""The audit of dependencies: silence is not success."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_tool", ROOT / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCK = "fastapi==1.0 \\\n    --hash=sha256:0\nuvicorn[standard]==2 ; sys_platform != 'x'\n# comment==1\nruamel.yaml==3 \\\n"


def row(name: str, **extra: Any) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": [], **extra}


def test_it_reads_the_lock(tool: ModuleType) -> None:
    assert tool.pinned(LOCK) == {"fastapi", "uvicorn", "ruamel-yaml"}
    assert len(tool.pinned((ROOT / "requirements.lock").read_text("utf-8"))) > 80


@pytest.mark.parametrize(
    ("report", "clean"),
    [
        ({"dependencies": [row("fastapi"), row("uvicorn"), row("ruamel.yaml")]}, True),
        ({}, False),
        ({"dependencies": []}, False),
        ({"dependencies": [row("fastapi")]}, False),
        ({"dependencies": [row("fastapi"), row("uvicorn"), {"name": "ruamel.yaml", "skip_reason": "not on PyPI"}]}, False),
        ({"dependencies": [row("fastapi"), row("uvicorn"), row("ruamel.yaml", vulns=[{"id": "PYSEC-1"}])]}, False),
    ],
)
def test_only_a_full_and_clean_report_is_clean(tool: ModuleType, report: dict[str, Any], clean: bool) -> None:
    assert (tool.verdict(report, tool.pinned(LOCK)) == []) == clean


def test_without_the_service_it_fails_unless_told_otherwise_and_says_so(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "reachable", lambda: False)
    assert tool.main([]) == 1
    assert tool.main(["--offline-ok"]) == 0
    assert capsys.readouterr().err.count("NOT AUDITED") == 2
