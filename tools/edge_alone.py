"""Prove that a gateway needs nothing of the server: a venv with only the extra `edge` (packages of the lock, by hash), its weight and its imports.

Prints one line of figures. Exit 1 with the reason when it imports a server or web library, when one is installed, or when it weighs more than 90 MB.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
MOST_MB: Final = 90
FOREIGN: Final = (
    "fastapi", "starlette", "uvicorn", "jinja2", "sqlalchemy", "alembic", "duckdb", "numpy", "influxdb_client", "apscheduler", "twilio", "argon2",
    "prometheus_client", "babel", "psycopg", "typst", "docx", "xlsxwriter", "python_calamine", "segno", "pyotp", "authlib", "ldap3", "apprise",
    "websockets", "cel", "typer", "server", "simulators",
)  # fmt: skip
# Imports every module of the agent and runs a gateway's commands in the same process, then says which of the others came along.
PROBE: Final = """
import importlib, importlib.util, json, pkgutil, sys
import edge
for found in pkgutil.walk_packages(edge.__path__, "edge."):
    if found.name not in ("edge.__main__", "edge.cameras.rtsp"):  # the latter needs the extra camera
        importlib.import_module(found.name)
from edge import cli
assert cli.main(["profiles", "--json"]) == 0
foreign = sys.argv[1].split(",")
loaded = sorted(name for name in foreign if name in sys.modules)
ours = ("server", "simulators")  # in the wheel, but nothing of the agent touches them
there = sorted(name for name in foreign if name not in ours and importlib.util.find_spec(name))
print(json.dumps({"loaded": loaded, "installed": there}))
"""


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Output of a command. Exits with its own words when it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[:4]))} …: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def install(folder: Path) -> Path:
    """A venv with the agent alone; returns its Python."""
    lock = folder / "edge.lock"
    lock.write_text(run(sys.executable, ROOT / "deploy" / "pick_lock.py", "edge", folder=ROOT), "utf-8")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", folder=ROOT)
    (wheel,) = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check", "install")
    run(*pip, "--require-hashes", "-r", lock)
    run(*pip, "--no-deps", wheel)
    return python


def weight_mb(python: Path) -> float:
    """Megabytes of the installed packages, bytecode included."""
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    return sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    """Install, look, weigh."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = install(folder)
        found = json.loads(run(python, "-c", PROBE, ",".join(FOREIGN), folder=folder).splitlines()[-1])
        run(folder / "venv" / "bin" / "archivewatch-edge", "--help")
        weight = weight_mb(python)
    print(f"archivewatch[edge] alone: {weight:.1f} MB installed (at most {MOST_MB}), no server or web library")
    if found["loaded"] or found["installed"]:
        sys.exit(f"a gateway should not need these: {found}")
    if weight > MOST_MB:
        sys.exit(f"{weight:.1f} MB are more than {MOST_MB}")


if __name__ == "__main__":
    main()
