"""The generated reference is current, and the schema for editors accepts every packaged profile and refuses what the loader refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from contract.located_yaml import load_located

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_files_are_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "reference.py", "--check"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_every_field_of_every_profile_is_in_the_schema() -> None:
    schema = json.loads((ROOT / "docs" / "reference" / "device-profile.schema.json").read_text("utf-8"))
    assert schema["additionalProperties"] is False

    def known(model: dict[str, Any], value: Any) -> None:
        if "$ref" in model:
            model = schema["$defs"][model["$ref"].rsplit("/", 1)[1]]
        for choice in model.get("anyOf", ()):
            if "$ref" in choice and isinstance(value, dict):
                model = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]]
        if isinstance(value, dict) and "properties" in model:
            assert set(value) <= set(model["properties"]), value
            for name, inner in value.items():
                known(model["properties"][name], inner)
        elif isinstance(value, list | tuple) and "items" in model:
            for inner in value:
                known(model["items"], inner)

    for file in sorted((ROOT / "device_profiles").glob("*.yaml")):
        known(schema, load_located(file.read_text("utf-8")).data)
