"""Prove the books, and name every row that contradicts them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from wallets.domain.audit.evaluate import evaluate
from wallets.domain.audit.guards import check_constraints, check_triggers
from wallets.domain.audit.report import Finding, Report
from wallets.domain.audit.rules import SQL_RULES
from wallets.domain.audit.snapshot import snapshot

__all__ = ["RULES", "Finding", "Report", "audit"]

RULES: dict[str, Callable[[int], Finding]] = {
    **{rule.name: partial(evaluate, rule) for rule in SQL_RULES},
    "triggers_present": check_triggers,
    "constraints_present": check_constraints,
}


def audit(*, limit: int = 100, on_rule: Callable[[str], None] = lambda name: None) -> Report:
    """Check all rules on one moment of the database; name at most ``limit`` violations of each.

    ``on_rule`` is told each rule's name before it is checked. Nothing is written.
    """
    with snapshot():
        return Report(findings=tuple(_findings(limit, on_rule)))


def _findings(limit: int, on_rule: Callable[[str], None]) -> Iterator[Finding]:
    for name, check in RULES.items():
        on_rule(name)
        begun = time.monotonic()
        finding = check(limit)
        yield replace(finding, seconds=time.monotonic() - begun)
