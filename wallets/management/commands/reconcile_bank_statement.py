"""Hold the bank's statement against our withdrawals."""

import csv
import json
import logging
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, reset_queries
from tqdm import tqdm

from wallets.domain.bank_answer import clean_text
from wallets.domain.people import OperatorRefusal, checked_name
from wallets.domain.reconciliation.findings import AGREED, ALARMS, SENTENCES, Finding, Kind
from wallets.domain.reconciliation.lines import BadLine, BadStatement, Columns, Line
from wallets.domain.reconciliation.reconcile import Author, Window, reconcile
from wallets.domain.reconciliation.scratch import Scratch
from wallets.management.operator import add_by, name_of

_DISAGREED = 1
_UNUSABLE = 2
# Bad lines named before the rest are only counted.
_MOST_BAD_LINES = 20
_CHUNK = 1_000
# Withdrawals that an alarm names; the report has the rest.
_MOST_IN_ALARM = 20

logger = logging.getLogger("wallets.reconcile")


@dataclass(slots=True)
class _Tally:
    """What was found of one kind."""

    count: int = 0
    sums: "Counter[str]" = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.count += 1
        self.sums[finding.currency] += finding.amount
        if finding.withdrawal_id is not None and len(self.first) < _MOST_IN_ALARM:
            self.first.append(finding.withdrawal_id)


class _BadLines:
    def __init__(self) -> None:
        self.count = 0
        self.named: list[str] = []

    def note(self, number: int, error: BadLine) -> None:
        self.count += 1
        if self.count <= _MOST_BAD_LINES:
            self.named.append(f"  line {number}: {error}")

    def __str__(self) -> str:
        more = self.count - len(self.named)
        return "\n".join([*self.named, *([f"  and {more:,} more"] if more else [])])


class Command(BaseCommand):
    help = (
        "Compare the bank's statement, a CSV file with the columns key, reference, amount, "
        "currency, paid_at and if there are returns type (payment or return), with our "
        "withdrawals. Changes nothing without --apply. Exits 0 when all agrees, 1 when something "
        "does not, 2 when the file or an option is unusable; then nothing was changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the statement, UTF-8")
        parser.add_argument(
            "--apply",
            action="store_true",
            help="settle what was in doubt and is on the statement, and credit what was returned",
        )
        for name, what in (("since", "begins"), ("until", "ends")):
            parser.add_argument(
                f"--{name}",
                metavar="TIME",
                help=f"when the statement {what} (ISO 8601, UTC without an offset): also name what "
                "was sent and SUCCEEDED within that time here and is not on it",
            )
        parser.add_argument(
            "--limit",
            type=int,
            default=1_000,
            metavar="N",
            help="findings named of each kind, all are counted (default 1000)",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON object a line: the findings, then the summary",
        )
        add_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        window = _window(options)
        author = _author(options)
        if options["limit"] < 0:
            raise CommandError("--limit accepts a whole number from 0.", returncode=_UNUSABLE)
        with Scratch() as scratch:
            _take_down(options["file"], scratch)
            findings = reconcile(scratch, author=author, apply=options["apply"], window=window)
            try:
                tallies = self._tell(findings, scratch.count(), options)
            except DatabaseError as error:
                raise CommandError(
                    f"The database is in trouble: {str(error).strip()}. What was settled so far "
                    "stays settled; run it again for the rest.",
                    returncode=_UNUSABLE,
                ) from error
        _raise_alarms(tallies, author.statement)
        self._sum_up(tallies, window, options)
        if not _agreed(tallies):
            sys.exit(_DISAGREED)

    def _tell(
        self, findings: Iterator[Finding], lines: int, options: dict[str, Any]
    ) -> dict[Kind, _Tally]:
        tallies: defaultdict[Kind, _Tally] = defaultdict(_Tally)
        quiet = not sys.stderr.isatty()
        with tqdm(total=lines, unit="line", disable=quiet, leave=False) as bar:
            for nth, finding in enumerate(findings, 1):
                tally = tallies[finding.kind]
                tally.add(finding)
                if finding.line is not None:
                    bar.update(1)
                if nth % _CHUNK == 0:
                    reset_queries()  # with DEBUG they are kept, and would grow with the statement
                named = finding.kind not in (Kind.MATCHED, Kind.RETURN_MATCHED)
                if named and tally.count <= options["limit"]:
                    self.stdout.write(_as_json(finding) if options["json"] else _as_text(finding))
        return tallies

    def _sum_up(
        self, tallies: dict[Kind, _Tally], window: Window | None, options: dict[str, Any]
    ) -> None:
        agreed = _agreed(tallies)
        if options["json"]:
            summary = {
                "agreed": agreed,
                "applied": options["apply"],
                "absent_checked": window is not None,
                "counts": {kind: tally.count for kind, tally in tallies.items()},
                "sums": {kind: dict(tally.sums) for kind, tally in tallies.items()},
            }
            self.stdout.write(json.dumps({"summary": summary}))
            return
        for kind in Kind:
            if kind in tallies:
                tally = tallies[kind]
                sums = ", ".join(f"{total:,} {c}" for c, total in sorted(tally.sums.items()))
                self.stdout.write(f"{kind:<22} {tally.count:>9,}  {sums}  ({SENTENCES[kind]})")
        if window is None:
            self.stdout.write("What is missing was not looked for: give --since and --until.")
        self.stdout.write("verdict: all agrees" if agreed else "verdict: NOT ALL AGREES")


def _agreed(tallies: dict[Kind, _Tally]) -> bool:
    return all(kind in AGREED for kind in tallies)


def _raise_alarms(tallies: dict[Kind, _Tally], statement: str) -> None:
    for kind in sorted(ALARMS & tallies.keys()):
        tally = tallies[kind]
        logger.error(
            "alarm: %s",
            kind,
            extra={
                "alarm": kind.value,
                "count": tally.count,
                "transactions": tally.first,
                "statement": statement,
            },
        )


def _window(options: dict[str, Any]) -> Window | None:
    since, until = (_moment(name, options[name]) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        raise CommandError("--since must be before --until.", returncode=_UNUSABLE)
    return None if since is None and until is None else Window(since=since, until=until)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        # The first and the last hours of all time are none in UTC.
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            f"--{name} accepts a time like 2026-03-21 or 2026-03-21T00:00:00+03:30, not {text!r}.",
            returncode=_UNUSABLE,
        ) from None


def _author(options: dict[str, Any]) -> Author:
    try:
        # A file's name may be any bytes, which no database keeps.
        statement = clean_text(options["file"].name, 255)
        return Author(statement=statement, by=checked_name(name_of(options)))
    except OperatorRefusal as refusal:
        raise CommandError(str(refusal), returncode=_UNUSABLE) from None


def _take_down(path: Path, scratch: Scratch) -> None:
    """Put all lines into ``scratch``. Raises ``CommandError`` that names each bad one."""
    try:
        with path.open("rb") as file:
            bad = _read(file, path.stat().st_size, scratch)
        scratch.arrange()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.", returncode=_UNUSABLE) from None
    except sqlite3.Error as error:
        raise CommandError(
            f"The temporary file for its lines: {error}. Nothing was changed.",
            returncode=_UNUSABLE,
        ) from error
    except BadStatement as error:
        raise CommandError(f"{path}: {error} Nothing was changed.", returncode=_UNUSABLE) from None
    if bad.count:
        raise CommandError(
            f"{path} has lines that cannot be read; nothing was changed:\n{bad}",
            returncode=_UNUSABLE,
        )


def _read(file: BinaryIO, size: int, scratch: Scratch) -> _BadLines:
    # Bytes that are not UTF-8 come through as what no field accepts, so that their line is named.
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, strict=True)
    bad = _BadLines()
    good: list[Line] = []
    with tqdm(
        total=size, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        columns = Columns(_next(rows) or [])
        while (fields := _next(rows)) is not None:
            if not fields:
                continue
            try:
                good.append(columns.read(rows.line_num, fields))
            except BadLine as error:
                bad.note(rows.line_num, error)
            if len(good) >= _CHUNK:
                scratch.put(good)
                good.clear()
                bar.update(file.tell() - bar.n)
    scratch.put(good)
    return bad


def _next(rows: Any) -> list[str] | None:
    """Raises ``BadStatement`` where the file stops being CSV."""
    try:
        return next(rows, None)
    except csv.Error as error:
        raise BadStatement(f"Line {rows.line_num} is not CSV: {error}.") from None


def _as_text(finding: Finding) -> str:
    facts = {
        "line": finding.line,
        "withdrawal": finding.withdrawal_id,
        "key": finding.key,
        "amount": f"{finding.amount} {finding.currency}",
        "reference": finding.reference,
    }
    told = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    return f"{finding.kind}: {told}" + (f" ({finding.detail})" if finding.detail else "")


def _as_json(finding: Finding) -> str:
    return json.dumps(asdict(finding), ensure_ascii=False)
