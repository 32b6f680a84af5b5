"""Look every pinned package up in the database of known vulnerabilities, with pip-audit; `make audit` installs that.

Ends with 1 where a package has a known vulnerability, and with 0 and a message where the database cannot be reached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def audit(tool: str, pins: list[str]) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each pin, and why it says nothing of some."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "pins.txt"
        requirements.write_text("\n".join(pins) + "\n", encoding="utf-8")
        options = ["--requirement", str(requirements), "--no-deps", "--disable-pip", "--format", "json"]
        try:
            done = subprocess.run([tool, *options, "--progress-spinner", "off"], capture_output=True, text=True)
        except OSError as error:
            return [], f"pip-audit cannot be run ({error})"
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1][:300]
    reasons = [package["skip_reason"] for package in found if "skip_reason" in package]
    return [package for package in found if "skip_reason" not in package], "; ".join(reasons)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip_audit", default="pip-audit", help="the program; default: %(default)s")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt", help="default: %(default)s")
    arguments = parser.parse_args()
    pins = [line for line in arguments.constraints.read_text(encoding="utf-8").splitlines() if "==" in line]
    found, reason = audit(arguments.pip_audit, pins[:3])
    if found:  # the database answers: now all of them
        found, reason = audit(arguments.pip_audit, pins)
    if not found:
        print(f"audit skipped: the database of vulnerabilities gives no answer here: {reason}")
        return 0
    bad = [package for package in found if package["vulns"]]
    for package in bad:
        known = [f"{v['id']} (fixed in {' '.join(v['fix_versions']) or 'no release'})" for v in package["vulns"]]
        print(f"{package['name']} {package['version']}: {', '.join(known)}")
    print(f"audit: {len(found)} packages looked up, {len(bad)} with known vulnerabilities")
    if reason:
        print(f"not looked up: {reason}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
