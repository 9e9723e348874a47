"""Known vulnerabilities of what the lock names, by pip-audit. Fails when one is found, and when anything at all was not audited.

`--offline-ok` is for machines without the vulnerability service: it says loudly that NOTHING was audited, and does not fail for that alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
KNOWN_BAD = "pip==24.0"
"""One question that tells a vulnerability service from a mere mirror of packages: the service knows those of an old pip."""
QUIET = ("--disable-pip", "-f", "json", "--progress-spinner", "off")


def pinned(lock: str) -> set[str]:
    """Names that the lock pins, in PyPI's normal form."""
    names = (line.partition("==")[0].strip() for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#", "\t")))
    return {name.partition("[")[0].lower().replace("_", "-").replace(".", "-") for name in names}


def verdict(report: dict[str, Any], wanted: set[str]) -> list[str]:
    """What speaks against the lock: vulnerabilities, packages that were skipped, packages that nobody asked about."""
    found = report.get("dependencies", [])
    audited = {row["name"].lower().replace("_", "-").replace(".", "-") for row in found if "skip_reason" not in row}
    wrong = [f"{row['name']} {row['version']}: {vuln['id']}" for row in found for vuln in row.get("vulns", ())]
    wrong += [f"{row['name']}: not audited, {row['skip_reason']}" for row in found if "skip_reason" in row]
    # Lines for other systems (environment markers) are never installed here and so not audited.
    if len(audited & wanted) < 0.9 * len(wanted):
        wrong.append(f"only {len(audited & wanted)} of {len(wanted)} packages were audited")
    return wrong


def audited(*options: str) -> "subprocess.CompletedProcess[str]":
    """One run of pip-audit, with its report on stdout."""
    return subprocess.run([sys.executable, "-m", "pip_audit", *QUIET, *options], capture_output=True, text=True, check=False)


def reachable() -> bool:
    """Whether a vulnerability service can be asked at all."""
    with tempfile.TemporaryDirectory() as folder:
        question = Path(folder) / "requirements.txt"
        question.write_text(KNOWN_BAD + "\n", "utf-8")
        try:
            return any(row.get("vulns") for row in json.loads(audited("--no-deps", "-r", str(question)).stdout)["dependencies"])
        except (ValueError, LookupError):
            return False


def main(arguments: list[str]) -> int:
    """Audit; 0 clean, 1 not."""
    wanted = pinned(LOCK.read_text("utf-8"))
    if not reachable():
        print(f"NOT AUDITED: no vulnerability service answers, so none of {len(wanted)} packages was checked.", file=sys.stderr)
        return 0 if "--offline-ok" in arguments else 1
    done = audited("--strict", "--require-hashes", "-r", str(LOCK))
    try:
        wrong = verdict(json.loads(done.stdout), wanted)
    except ValueError:
        wrong = [f"pip-audit said nothing: {done.stderr.strip()[-400:]}"]
    print("\n".join(wrong) or f"{len(wanted)} packages audited, no known vulnerability")
    return 1 if wrong or done.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
