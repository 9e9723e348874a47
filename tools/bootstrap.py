"""Set-up of a checkout with the standard library alone: venv, locked packages, web assets. Run by `make setup`; a second run does nothing.

Every failure ends in one sentence that says what to do.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
OLDEST = (3, 11)
NODE_OLDEST = 18


def say(text: str) -> None:
    """Progress, one line."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def stop(sentence: str) -> None:
    """End with a sentence for the person."""
    print(f"\n{sentence}", file=sys.stderr)
    raise SystemExit(1)


def digest(*paths: Path) -> str:
    """One hash over the content of files; what is missing counts as empty."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def run(*command: str | Path, what: str, cwd: Path = ROOT) -> None:
    """Run a step; on failure show its last lines and stop."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).strip().splitlines()[-25:]), file=sys.stderr)
        stop(f"{what} 没有成功（上面是最后几行输出）。/ {what} failed; its last lines are above.")


def make_venv() -> None:
    """Create .venv, or say which package is missing."""
    if PYTHON.exists():
        return
    say("创建虚拟环境 .venv / creating .venv")
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian ships Python without it, and venv then fails half-way
        import venv  # noqa: F401, PLC0415
    except ImportError:
        package = f"python3.{sys.version_info[1]}-venv"
        stop(f"缺少 venv：请先安装系统包 {package}（如 sudo apt install {package}），再运行一次。/ Python has no venv here: install {package}.")
    run(sys.executable, "-m", "venv", VENV, what="python3 -m venv")


def install() -> None:
    """Install the locked packages and the project itself."""
    lock = ROOT / "requirements.lock"
    stamp, wanted = VENV / ".installed", digest(lock, ROOT / "pyproject.toml")
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    say("安装依赖（首次约 1–3 分钟）/ installing packages")
    run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", lock, what="pip install")
    own = ["install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "-e", "."]
    run(PYTHON, "-m", "pip", *own, what="pip install -e .")
    stamp.write_text(wanted, "utf-8")


def find_npm() -> list[str]:
    """The machine's npm, or the one in a wheel, installed when there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip().lstrip("v")
        if int(version.partition(".")[0] or 0) >= NODE_OLDEST:
            return [npm]
    if not (BIN / "npm").exists():
        say("本机没有 Node，使用其 Python 安装包 / installing Node from its wheel")
        lock = ROOT / "requirements-node.lock"
        run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", lock, what="pip install nodejs")
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return [str(BIN / "npm")]


def assets() -> None:
    """Fetch and bundle third-party scripts; done again when their list or ours changes."""
    web = ROOT / "dashboards" / "web"
    own = sorted((ROOT / "dashboards" / "static").glob("*.*"))
    manifest, stamp = ROOT / "dashboards" / "static" / "vendor" / "manifest.json", web / "node_modules" / ".built"
    wanted = digest(web / "package-lock.json", web / "build.mjs", *own)
    if manifest.is_file() and stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    npm = find_npm()
    say("构建网页资源 / building web assets")
    run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", what="npm ci", cwd=web)
    run(*npm, "run", "--silent", "build", what="npm run build", cwd=web)
    stamp.write_text(wanted, "utf-8")


def main() -> None:
    """Entry point of `make setup`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("venv", "assets"), help="do one part only")
    only = parser.parse_args().only
    if sys.version_info < OLDEST:
        stop(f"需要 Python 3.11 或更新版本，当前是 {sys.version.split()[0]}。/ Python 3.11 or newer is needed.")
    if only != "assets":
        make_venv()
        install()
    if only != "venv":
        assets()


if __name__ == "__main__":
    main()
