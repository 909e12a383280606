"""The command line: choose cases and size, run them, report."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from bench.cases import CASES
from bench.lab import ROOT, BenchError, Lab
from bench.machine import describe
from bench.report import as_json, as_text, write_page
from bench.results import CaseResult
from bench.sizes import SIZES
from scripts.postgres import EmbeddedPostgres, PostgresError

# What a machine with a few gigabytes would be given. Durability is PostgreSQL's default, untouched.
_SERVER_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}
_PAGE = ROOT / "docs" / "performance.md"
_PLOTS = ROOT / "docs" / "performance"


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    chosen = {name: CASES[name] for name in given.case or CASES}
    try:
        with _server(given.database_url) as admin_url:
            machine, results = describe(admin_url), _measure(given, admin_url, chosen)
    except (BenchError, PostgresError) as error:
        print(error, file=sys.stderr)
        return 2
    how = {
        "size": given.size,
        "rounds": given.rounds or SIZES[given.size].rounds,
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    if given.json:
        given.json.write_text(as_json(machine, how, results))
    if given.write_page:
        write_page(_PAGE, _PLOTS, machine, how, results)
    return 0 if all(target.met for result in results for target in result.targets) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure every case beside its ceiling. Exit code 1: a target was missed.",
    )
    parser.add_argument(
        "--case", action="append", choices=list(CASES), help="only this one (may be repeated)"
    )
    parser.add_argument("--size", choices=list(SIZES), default="full", help="default: full")
    parser.add_argument("--rounds", type=int, help="default: what the size says")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument(
        "--write-page",
        action="store_true",
        help="write docs/performance.md and its plots from this run",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="a PostgreSQL superuser to work with, instead of a server of its own",
    )
    return parser


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with EmbeddedPostgres(durable=True, settings=_SERVER_SETTINGS) as server:
        yield server.dsn


def _measure(
    given: argparse.Namespace, admin_url: str, chosen: dict[str, ModuleType]
) -> list[CaseResult]:
    size = SIZES[given.size]
    results = []
    bar: tqdm[Any] = tqdm(unit="step")
    with tempfile.TemporaryDirectory(prefix="wallet-bench-") as logs, bar:
        lab = Lab(admin_url, size, given.rounds or size.rounds, Path(logs), bar)
        bar.total = sum(case.steps(lab) for case in chosen.values())
        try:
            for name, case in chosen.items():
                bar.set_description(name)
                result = case.run(lab)
                results.append(result)
                bar.write(as_text(result))
        finally:
            lab.clean()
    # Measured in the order that was asked for, told in the order of all.
    return sorted(results, key=lambda result: list(CASES).index(result.case))


if __name__ == "__main__":
    sys.exit(main())
