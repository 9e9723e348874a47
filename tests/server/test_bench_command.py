"""`archivewatch bench NAME --json` runs the program of that name and prints one JSON object with figures and the machine."""

import json
import subprocess
import sys

import pytest

from server.commands import NOT_FOUND, CommandError, bench


@pytest.mark.long
def test_one_json_object_with_figures_and_the_machine():
    done = subprocess.run(
        [sys.executable, "-m", "server", "bench", "alarm", "--quick", "--json"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["machine"]["cores"] >= 1
    assert all(row["value"] > 0 for row in found["benchmarks"]["alarm"]["rows"])


def test_a_wheel_without_the_programs_says_so(monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(CommandError) as refused:
        bench.source_tree()
    assert refused.value.code == NOT_FOUND
