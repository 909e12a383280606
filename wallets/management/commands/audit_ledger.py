"""Prove the books, or name every row that contradicts them."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from tqdm import tqdm

from wallets.domain.audit import RULES, Finding, Report, audit
from wallets.domain.pausing import current_pause, pause_payouts
from wallets.domain.people import REASON_LENGTH

# What is named is held in memory, so there is an end to it; the count is always of all.
_MOST_VIOLATIONS = 100_000
_WRONG = 1
_FAILED_RUN = 2
_NAME = "audit_ledger"


class Command(BaseCommand):
    help = (
        "Check that the books are right. Reads one moment of the database, writes nothing but a "
        "pause if told to, and may run beside the executor. Exits 0 when every rule holds, 1 when "
        "one does not, 2 when the audit could not be made."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--limit-violations",
            type=int,
            default=100,
            metavar="N",
            help="violations named for each rule, all are counted (default 100)",
        )
        parser.add_argument(
            "--pause-on-violation",
            action="store_true",
            help="pause payouts, as pause_payouts does, when a rule does not hold",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        limit = options["limit_violations"]
        if not 0 <= limit <= _MOST_VIOLATIONS:
            raise CommandError(
                f"--limit-violations accepts a whole number from 0 to {_MOST_VIOLATIONS}, "
                f"not {limit}.",
                returncode=_FAILED_RUN,
            )
        report = _audit(limit)
        pausing = options["pause_on_violation"] and not report.right
        if pausing:
            _pause(report)
        if options["json"]:
            told = _as_json(report) | ({"paused": True} if pausing else {})
            self.stdout.write(json.dumps(told, ensure_ascii=False, indent=2))
        else:
            self._print(report)
            if pausing:
                self.stdout.write("Payouts are paused until resume_payouts.")
        if not report.right:
            sys.exit(_WRONG)

    def _print(self, report: Report) -> None:
        for finding in report.findings:
            self.stdout.write(_line(finding))
        for finding in report.broken:
            self.stdout.write(f"\n{finding.rule}: {finding.sentence}")
            for violation in finding.shown:
                self.stdout.write(f"  violation {_pairs(violation)}")
            unnamed = finding.violations - len(finding.shown)
            if unnamed:
                self.stdout.write(f"  and {unnamed:,} more (see --limit-violations)")
        self.stdout.write(f"\n{_verdict(report)}")


def _audit(limit: int) -> Report:
    with tqdm(total=len(RULES), unit="rule", disable=not sys.stderr.isatty(), leave=False) as bar:

        def on_rule(name: str) -> None:
            bar.set_description(name)
            bar.update()

        try:
            return audit(limit=limit, on_rule=on_rule)
        except DatabaseError as error:
            raise CommandError(
                f"The audit could not be made: {_lacking()}{str(error).strip()}",
                returncode=_FAILED_RUN,
            ) from error


def _lacking() -> str:
    """Why a table or a column may be missing, where that can be told."""
    try:
        loader = MigrationLoader(connection)
    except DatabaseError:
        return ""
    ours = {name for app, name in loader.graph.nodes if app == "wallets"}
    missing = sorted(ours - {name for app, name in loader.applied_migrations if app == "wallets"})
    if not missing:
        return ""
    return f"the database lacks the migration wallets.{missing[0]}; run manage.py migrate first.\n"


def _pause(report: Report) -> None:
    """Once: run by a clock, it would add the same reason at every turn."""
    pause = current_pause()
    if pause is not None and pause.by == _NAME:
        return
    names = ", ".join(finding.rule for finding in report.broken)
    reason = f"{report.violations} violations of {names}"
    try:
        pause_payouts(by=_NAME, reason=reason[:REASON_LENGTH])
    except DatabaseError as error:
        raise CommandError(
            f"THE BOOKS ARE WRONG ({reason}), and payouts could not be paused: "
            f"{str(error).strip()}",
            returncode=_WRONG,
        ) from error


def _line(finding: Finding) -> str:
    counts = " ".join(f"{name}={count:,}" for name, count in finding.counts.items())
    sums = "".join(
        "  " + (f"{currency}: " if currency else "") + _pairs(values)
        for currency, values in sorted(finding.sums.items())
    )
    mark = "ok  " if finding.holds else "FAIL"
    violations = "" if finding.holds else f"  violations={finding.violations:,}"
    return f"{mark}  {finding.rule:<30} {counts}{violations}{sums}  ({finding.seconds:.2f} s)"


def _pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in values.items() if value is not None)


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def _verdict(report: Report) -> str:
    if report.right:
        return f"verdict: the books are right: {len(report.findings)} rules hold"
    names = ", ".join(finding.rule for finding in report.broken)
    return (
        f"verdict: THE BOOKS ARE WRONG: {report.violations:,} violations of "
        f"{len(report.broken)} of {len(report.findings)} rules: {names}"
    )


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "right": report.right,
        "violations": report.violations,
        "database": connection.vendor,
        "rules": [
            {
                **asdict(finding),
                "holds": finding.holds,
                "seconds": round(finding.seconds, 3),
            }
            for finding in report.findings
        ],
    }
