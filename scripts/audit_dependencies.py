"""Look our dependencies up among the known vulnerabilities, where the network allows it.

Exit code 1 when one is vulnerable. Where they cannot all be looked up that is said loudly, and the
exit code is 0: a network that is closed says nothing about the code.
"""

import json
import subprocess
import sys
from typing import Any

_SECONDS = 120


def main() -> int:
    command = [
        *(sys.executable, "-m", "pip_audit", "--strict", "--local", "--format", "json"),
        *("--progress-spinner", "off", "--timeout", "10"),
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _skipped(f"no answer in {_SECONDS} seconds")
    try:
        dependencies: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except ValueError:
        reason = run.stderr.strip().splitlines() or ["pip-audit said nothing"]
        return _skipped(reason[-1])
    return verdict(dependencies)


def verdict(dependencies: list[dict[str, Any]]) -> int:
    bad = [each for each in dependencies if each.get("vulns")]
    for each in bad:
        known = ", ".join(
            f"{vuln['id']} (fixed in {', '.join(vuln['fix_versions']) or 'no version yet'})"
            for vuln in each["vulns"]
        )
        print(f"{each['name']} {each['version']}: {known}")
    print(f"{len(dependencies)} packages looked up, {len(bad)} vulnerable.")
    return int(bool(bad))


def _skipped(reason: str) -> int:
    print("*" * 78)
    print(f"DEPENDENCIES WERE NOT AUDITED: {reason}")
    print("Run this where the vulnerability database can be reached:")
    print("  python3 -m scripts.audit_dependencies")
    print("*" * 78)
    return 0


if __name__ == "__main__":
    sys.exit(main())
