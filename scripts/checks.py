"""Every stage of ``scripts/test``, all of them even when one fails, and a summary."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

from scripts.ports import free_port
from scripts.postgres import EmbeddedPostgres, PostgresError

ROOT = Path(__file__).resolve().parent.parent

_APPLICATION = ("manage.py", "wallet", "wallets")

# What an interrupted stage gets to put away what it started, in seconds.
_GRACE_SECONDS = 20

# For the whole suite: much of it waits, and it was measured a third faster so on two busy cores.
_TWO_AT_ONCE = ("-n", "2")


@dataclass(frozen=True)
class Stage:
    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    on_postgres: bool = False
    # Where pytest writes what it counted.
    report: Path | None = None


@dataclass(frozen=True)
class Result:
    stage: Stage
    code: int
    seconds: float
    passed: int = 0
    failed: int = 0


def stages(*, fast: bool, pytest_arguments: Sequence[str], scratch: Path) -> Iterator[Stage]:
    yield Stage("ruff check", _python("ruff", "check", "."))
    yield Stage("ruff format", _python("ruff", "format", "--check", "."))
    yield Stage("isort", _python("isort", "--check", *_APPLICATION))
    yield Stage("black", _python("black", "--check", *_APPLICATION))
    yield Stage("mypy", _python("mypy"))
    yield Stage("manage.py check", [sys.executable, "manage.py", "check"])
    yield Stage(
        "migrations complete",
        [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
    )
    if not fast:
        yield Stage("dependencies audited", _python("scripts.audit_dependencies"))
        yield Stage(
            "demo",
            ["./scripts/run", "--demo-only"],
            {
                "PORT": str(free_port()),
                "BANK_PORT": str(free_port()),
                "RUN_DIRECTORY": str(scratch / "run"),
                "DATABASE_URL": "",
            },
        )
    for name, on_postgres in (("SQLite", False), ("PostgreSQL", True)):
        if on_postgres and fast:
            continue
        report = scratch / f"{name}.xml"
        yield Stage(
            f"tests on {name}",
            _python("pytest", "-q", f"--junit-xml={report}", *(pytest_arguments or _TWO_AT_ONCE)),
            on_postgres=on_postgres,
            report=report,
        )


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def run_stage(stage: Stage, environment: dict[str, str]) -> Result:
    print(f"\n--- {stage.name}", flush=True)
    started = time.monotonic()
    with ExitStack() as stack:
        given = environment | stage.environment
        try:
            if stage.on_postgres:
                given["DATABASE_URL"] = stack.enter_context(EmbeddedPostgres()).dsn
            code = _run(stage.command, given)
        except PostgresError as error:
            print(error, flush=True)
            code = 1
    seconds = time.monotonic() - started
    if stage.report is None:
        return Result(stage, code, seconds)
    passed, failed = _count(stage.report)
    # A run that broke off counts, too.
    return Result(stage, code, seconds, passed, max(failed, int(code != 0)))


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    except BaseException as error:
        # Ctrl-C has reached it already; a second one would cut its tidying short.
        if not isinstance(error, KeyboardInterrupt):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _count(report: Path) -> tuple[int, int]:
    """Passed and failed tests of a pytest report. Subtests count with their test, and an error in a
    test's set-up is a failure."""
    if not report.is_file():
        return 0, 0
    passed = failed = 0
    for test in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        found = {part.tag for part in test}
        if found & {"failure", "error"}:
            failed += 1
        elif "skipped" not in found:
            passed += 1
    return passed, failed


def hermetic_environment(scratch: Path) -> dict[str, str]:
    """The caller's, without the project's own settings, so that a run means the same everywhere."""
    ours = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.sample").read_text(), flags=re.MULTILINE)
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "PYTHON_DOTENV_DISABLED": "1",
        "DATABASE_URL": f"sqlite:///{scratch}/checks.sqlite3",
    }


def print_summary(results: Sequence[Result]) -> None:
    print()
    for result in results:
        outcome = "ok" if result.code == 0 else f"FAILED (exit {result.code})"
        if result.stage.report is not None:
            outcome += f"  {result.passed} passed, {result.failed} failed"
        print(f"{result.stage.name:<22} {result.seconds:6.1f} s  {outcome}")
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    print(f"\n{passed} passed, {failed} failed", flush=True)


def _on_terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_terminate)
    fast = "--fast" in arguments
    rest = [argument for argument in arguments if argument != "--fast"]
    with tempfile.TemporaryDirectory(prefix="wallet-checks-") as scratch:
        environment = hermetic_environment(Path(scratch))
        results = [
            run_stage(stage, environment)
            for stage in stages(fast=fast, pytest_arguments=rest, scratch=Path(scratch))
        ]
    print_summary(results)
    return int(any(result.code != 0 for result in results))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
