"""The result page: what was tried, with which seeds, on which commit, and how it ended."""

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from proof.crash_matrix import POINTS, CellResult, Outcome
from proof.faults.run import FaultResult
from proof.harness.processes import ROOT
from proof.soak import SoakResult

_ASSUMED = """\
- The bank keeps its contract: it says "failed" or 503 only of what it has not paid and, for that
  key, will not pay by that request; it remembers payments for `BANK_KEY_RETENTION_SECONDS`. Fault 8
  shows what a bank that lies about a first try costs, and that its statement finds it.
- No request lands later than `BANK_NOT_FOUND_GRACE_SECONDS` after it was sent. Between the last
  look at its lease and the system call that sends, an executor may be stopped for any time; the
  grace must be longer than that, too.
- A commit that PostgreSQL acknowledged stays: `synchronous_commit` and `fsync` are on, and a
  failover does not lose the last commits. Killing the server is tried here, losing its disk is not.
- SQLite is tried with one executor, which is what it is for.
"""


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """A proof that is a program of its own: the model, the guards, the state machine."""

    title: str
    command: str
    passed: bool
    seconds: float
    last_words: str


@dataclass(frozen=True, slots=True)
class Proof:
    """``None`` is what was not run."""

    size: str
    seed: int
    postgres: str
    cells: Sequence[CellResult]
    faults: Sequence[FaultResult]
    soak: SoakResult | None
    programs: Sequence[ProgramResult]

    @property
    def failures(self) -> list[str]:
        failed = [
            (f"{result.cell} on {result.database}", result.problem)
            for result in self.cells
            if result.problem
        ]
        failed += [(f"fault {one.fault.number}", one.problem) for one in self.faults if one.problem]
        if self.soak is not None and self.soak.problem:
            failed.append(("soak", self.soak.problem))
        failed += [(one.title, one.last_words) for one in self.programs if not one.passed]
        return [f"{name}: {_first_line(problem)}" for name, problem in failed]


def page(proof: Proof) -> str:
    return "\n".join(_lines(proof))


def _lines(proof: Proof) -> Iterator[str]:
    yield "# Proof\n"
    yield "Written by `./scripts/prove`; do not edit. `docs/payouts.md` explains the rules.\n"
    yield from _table(("", ""), _facts(proof))
    yield from _failed(proof.failures)
    for database in dict.fromkeys(result.database for result in proof.cells):
        yield from _matrix(database, [one for one in proof.cells if one.database == database])
    if proof.faults:
        yield from _faults(proof.faults)
    if proof.soak is not None:
        yield from _soak(proof.soak)
    if proof.programs:
        yield "## Model, guards, state machine\n"
        yield from _table(
            ("Proof", "Command", "Result", "Last words", "Seconds"),
            [
                (
                    one.title,
                    f"`{one.command}`",
                    _mark(passed=one.passed),
                    _first_line(one.last_words),
                    f"{one.seconds:.0f}",
                )
                for one in proof.programs
            ],
        )
    yield "## What is assumed and not proven\n"
    yield _ASSUMED.rstrip()
    yield ""


def _facts(proof: Proof) -> list[tuple[str, str]]:
    return [
        ("Commit", commit()),
        ("When", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Size", proof.size),
        ("Seed", str(proof.seed)),
        ("PostgreSQL", proof.postgres),
        ("SQLite", sqlite3.sqlite_version),
        ("Python", f"{platform.python_version()}, {os.cpu_count()} processors"),
        ("Crash matrix", _score([not one.problem for one in proof.cells], "cells")),
        ("Faults", _score([not one.problem for one in proof.faults], "faults")),
        ("Soak", "not run" if proof.soak is None else _mark(passed=not proof.soak.problem)),
        ("Other proofs", _score([one.passed for one in proof.programs], "programs")),
    ]


def _failed(failures: Sequence[str]) -> Iterator[str]:
    if failures:
        yield "## What failed\n"
        yield from (f"- {failure}" for failure in failures)
        yield ""


def _matrix(database: str, results: Sequence[CellResult]) -> Iterator[str]:
    columns = list(dict.fromkeys((one.cell.outcome, one.cell.executors) for one in results))
    crashes = sum(one.crashes for one in results)
    longest = max((one.recovery_seconds for one in results), default=0)
    yield f"## Crash matrix on {database}\n"
    yield (
        f"{len(results)} cells, {crashes} crashes; the longest recovery took {longest:.1f} s with "
        "a lease of 1.5 s, the start of a process included. In a cell one executor dies at the "
        "point, or three do, while the bank pays, refuses, or the answer or the request is lost"
        f"{'; mixed is all three at once' if _is_mixed(columns) else ''}.\n"
    )
    by_place = {(one.cell.point, one.cell.outcome, one.cell.executors): one for one in results}
    rows = []
    for point in POINTS:
        cells = [by_place.get((point, outcome, count)) for outcome, count in columns]
        if any(cells):
            marks = [_mark(passed=not one.problem) if one else "" for one in cells]
            rows.append((point.title, point.recovery, *marks))
    heads = [f"{outcome} x {count}" for outcome, count in columns]
    yield from _table(("Dies", "What recovers it", *heads), rows)


def _is_mixed(columns: Sequence[tuple[Outcome, int]]) -> bool:
    return any(outcome is Outcome.MIXED for outcome, _ in columns)


def _faults(results: Sequence[FaultResult]) -> Iterator[str]:
    yield "## The twenty faults\n"
    yield from _table(
        ("", "Fault", "Result", "Counts", "Seconds"),
        [
            (
                str(one.fault.number),
                one.fault.title,
                _mark(passed=not one.problem),
                ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in one.counts.items()),
                f"{one.seconds:.0f}",
            )
            for one in results
        ],
    )


def _soak(result: SoakResult) -> Iterator[str]:
    yield "## Soak\n"
    yield (
        f"{result.minutes:g} minutes, seed {result.seed}: {_mark(passed=not result.problem)}. "
        "Everything was healed and drained, and wallets, ledger, history, the bank's book and what "
        "clients were promised were compared.\n"
    )
    yield from _table(
        ("What", "Count"),
        [(name.replace("_", " "), f"{count:,}") for name, count in sorted(result.counts.items())],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def _mark(*, passed: bool) -> str:
    return "ok" if passed else "**FAIL**"


def _score(passed: Sequence[bool], what: str) -> str:
    return f"{sum(passed)} of {len(passed)} {what} ok" if passed else "not run"


def _first_line(text: str) -> str:
    """Without paths of this machine, which are nobody's business."""
    line = (text.strip().splitlines() or [""])[0]
    return re.sub(r"(/[\w.+-]+){2,}", "...", line)[:200]


def commit() -> str:
    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", *words],  # noqa: S607 - whichever git there is
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return run.stdout.strip()

    name = git("rev-parse", "HEAD") or os.environ.get("PROOF_COMMIT", "unknown")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{name} with uncommitted changes" if changed else name
