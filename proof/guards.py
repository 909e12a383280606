"""Take each guard away in turn and see a test go red.

``python -m proof.guards`` copies the project to a scratch directory, applies one textual edit after
the other there and runs the tests that are named for it, on PostgreSQL (that of ``DATABASE_URL``,
else one of its own) and on SQLite. An edit that does not fit the source exactly once is an error:
the code has moved, and the list has to follow. Exit code 0: every guard is missed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from proof.guard_list import GUARDS, POSTGRES, SQLITE, Edit, Guard
from scripts.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".env", "*.sqlite3*", ".hypothesis", ".*_cache", ".run"
)
_SECONDS = 300
# What pytest says of a test that failed, and of a part of one.
_FAILED = re.compile(
    r"^(?:SUBFAILED\S*|FAILED) (?:\[.*?\] )?(?:\(.*?\) )?(wallets/\S+)", re.MULTILINE
)
_PYTEST_FAILED = 1


class Moved(Exception):
    """An edit does not fit the source exactly once."""


class NotRun(Exception):
    """The tests could not be run, which says nothing about the guard."""


@dataclass(frozen=True, slots=True)
class Tried:
    """``red``: the tests that failed without the guard; ``missing``: the ones that did not."""

    guard: Guard
    database: str
    red: tuple[str, ...]
    missing: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    guards = [guard for guard in GUARDS if _is_wanted(guard, chosen)]
    with project_copy() as copy, databases(guards, chosen.database) as urls:
        check_that_all_pass(copy, guards, urls)
        tried = []
        for guard in guards:
            for database in guard.databases:
                if database in urls:
                    tried.append(one := try_without(guard, database, urls[database], copy))
                    print(_line(one), flush=True)
    if chosen.page:
        chosen.page.write_text(page(tried))
    not_missed = dict.fromkeys(one.guard.name for one in tried if one.missing)
    print(f"{len(guards)} guards; {_verdict(list(not_missed))}")
    return 1 if not_missed else 0


def _verdict(not_missed: Sequence[str]) -> str:
    if not not_missed:
        return "without any one of them a test goes red"
    return f"no test misses: {', '.join(not_missed)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="proof.guards", description=__doc__)
    parser.add_argument("--often", action="store_true", help="only those tried with every change")
    parser.add_argument("--only", metavar="WORDS", help="guards whose names contain this")
    parser.add_argument("--database", choices=(POSTGRES, SQLITE), help="default: both")
    parser.add_argument("--page", type=Path, help="write the table to this file, in Markdown")
    return parser


def _is_wanted(guard: Guard, chosen: argparse.Namespace) -> bool:
    return (guard.often or not chosen.often) and (chosen.only or "") in guard.name


# --- The copy -------------------------------------------------------------------------------------


@contextmanager
def project_copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wallet-guards-") as scratch:
        copy = Path(scratch) / "project"
        shutil.copytree(ROOT, copy, ignore=_NOT_COPIED, symlinks=True)
        yield copy


@contextmanager
def without(guard: Guard, copy: Path) -> Iterator[None]:
    """Raises ``Moved``."""
    sources = {edit.path: (copy / edit.path).read_text() for edit in guard.edits}
    try:
        for edit in guard.edits:
            path = copy / edit.path
            path.write_text(edited(path.read_text(), edit))
        yield
    finally:
        for name, source in sources.items():
            (copy / name).write_text(source)


def edited(source: str, edit: Edit) -> str:
    """Raises ``Moved``."""
    if (times := source.count(edit.old)) != 1:
        raise Moved(f"{edit.path} has {times} times, not once: {edit.old!r}")
    return source.replace(edit.old, edit.new)


# --- The tests ------------------------------------------------------------------------------------


@contextmanager
def databases(guards: Sequence[Guard], only: str | None = None) -> Iterator[dict[str, str]]:
    """The URL for each kind of database that is wanted."""
    wanted = {name for guard in guards for name in guard.databases} & {
        only or POSTGRES,
        only or SQLITE,
    }
    urls = {SQLITE: ""} if SQLITE in wanted else {}
    if POSTGRES not in wanted:
        yield urls
        return
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        with _own_database(given) as url:
            yield urls | {POSTGRES: url}
        return
    with EmbeddedPostgres() as server, _own_database(server.dsn) as url:
        yield urls | {POSTGRES: url}


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    """A name that no other test run uses; pytest makes ``test_`` and that."""
    name, parts = f"guards_{os.getpid()}", urlsplit(url)
    try:
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        # As Django does to make and drop its test databases.
        connection = psycopg2.connect(urlunsplit(parts._replace(path="/postgres")))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "test_{name}"')
        connection.close()


def check_that_all_pass(copy: Path, guards: Sequence[Guard], urls: dict[str, str]) -> None:
    """Raises ``NotRun``: with every guard in place, a test that is red proves nothing later."""
    for database, url in urls.items():
        tests = sorted(
            {test for guard in guards if database in guard.databases for test in guard.tests}
        )
        code, said = _pytest(copy, tests, url, new_database=True)
        if code != 0:
            raise NotRun(f"with every guard in place, on {database}:\n{said[-3_000:]}")


def try_without(guard: Guard, database: str, url: str, copy: Path) -> Tried:
    """Raises ``Moved`` and ``NotRun``."""
    migrates = any("/migrations/" in edit.path for edit in guard.edits)
    with without(guard, copy):
        code, said = _pytest(copy, guard.tests, url, new_database=migrates)
    if migrates and database == POSTGRES:
        # The next guard's tests need the tables as they should be.
        _pytest(copy, guard.tests[:1], url, new_database=True)
    if code not in (0, _PYTEST_FAILED):
        raise NotRun(f"{guard.name} on {database}: pytest ended with {code}\n{said[-3_000:]}")
    failed = set(_FAILED.findall(said))
    return Tried(
        guard,
        database,
        red=tuple(test for test in guard.tests if test in failed),
        missing=tuple(test for test in guard.tests if test not in failed),
    )


def _pytest(copy: Path, tests: Sequence[str], url: str, *, new_database: bool) -> tuple[int, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"),
            # On SQLite each run has a file of its own, which should not stay.
            *(["--reuse-db"] if url else []),
            *(["--create-db"] if url and new_database else []),
            *tests,
        ],
        cwd=copy,
        # A second's edit would be hidden by the bytecode of the same second.
        env=kept | {"DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


# --- The table ------------------------------------------------------------------------------------


def _line(tried: Tried) -> str:
    mark = "FAIL" if tried.missing else "ok  "
    tests = ", ".join(_short(test) for test in (tried.missing or tried.red))
    said = "still green" if tried.missing else "red"
    return f"{mark} without {tried.guard.name}, on {tried.database}, {said}: {tests}"


def page(tried: Sequence[Tried]) -> str:
    rows = [
        "# Guards that matter\n",
        "Written by `python -m proof.guards --page docs/guards.md`; do not edit. Each guard was\n"
        "taken out of the code by itself, all others in place, and the tests named here failed.\n",
        "| Guard | What it keeps | Taken out of | Red without it | On |",
        "|---|---|---|---|---|",
    ]
    for guard in dict.fromkeys(one.guard for one in tried):
        ours = [one for one in tried if one.guard == guard]
        tests = dict.fromkeys(_short(test) for one in ours for test in one.red)
        where = ", ".join(one.database for one in ours if not one.missing)
        files = dict.fromkeys(edit.path for edit in guard.edits)
        cells = (guard.name, guard.keeps, _code(files), _code(tests) or "-", where or "-")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _short(test: str) -> str:
    path, *_, name = test.split("::")
    return f"{Path(path).name}::{name}"


if __name__ == "__main__":
    sys.exit(main())
