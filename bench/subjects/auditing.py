"""Audit the books once; tell how long it and its longest pass took, and the most memory it had."""

import io
import json
import resource
import time

import django

django.setup()

from django.core.management import call_command  # noqa: E402


def main() -> None:
    said = io.StringIO()
    begun = time.perf_counter()
    call_command("audit_ledger", json=True, stdout=said)  # exits with 1 when a rule does not hold
    took = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    rules = json.loads(said.getvalue())["rules"]
    slowest = max(rule["seconds"] for rule in rules)
    print(json.dumps({"seconds": took, "slowest": slowest, "mib": memory}))


if __name__ == "__main__":
    main()
