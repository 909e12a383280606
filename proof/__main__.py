"""All proofs, and the page that tells how they ended: see ``scripts/prove``."""

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from proof.crash_matrix import CellResult, Outcome, cells, run_matrix, tell
from proof.faults.catalogue import FAULTS
from proof.faults.run import FaultResult, run_faults
from proof.harness.databases import PostgresServer, Server, SqliteServer
from proof.harness.processes import ROOT, Process, own_environment
from proof.harness.servers import postgres_server
from proof.page import ProgramResult, Proof, page
from proof.soak import SoakResult, soak

_PROGRAM_SECONDS = 3_600.0
_EXAMPLES = "250"  # runs of the state machine at full size


def main() -> int:
    options = _parser().parse_args()
    print(f"seed {options.seed}", flush=True)
    sections = {name: _SECTIONS[name] for name in options.only or _SECTIONS}
    # Processes: each section has servers, connections and signals of its own.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("fork")) as pool:
        running = {name: pool.submit(section, options) for name, section in sections.items()}
        found = {name: one.result() for name, one in running.items()}
    proof = Proof(
        size="that of every change" if options.quick else "full",
        seed=options.seed,
        postgres=_server_version(),
        cells=found.get("matrix", []),
        faults=found.get("faults", []),
        soak=found.get("soak"),
        programs=[each for name in ("model", "machine", "guards") for each in found.get(name, ())],
    )
    if options.page:
        options.page.write_text(page(proof))
    print()
    for failure in proof.failures:
        print(f"FAIL {failure}")
    print("what was tried failed in places" if proof.failures else "everything that was tried held")
    return 1 if proof.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the size of every change")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--minutes", type=float, help="of the soak (default 10; with --quick 0.5)")
    parser.add_argument(
        "--only", action="append", choices=list(_SECTIONS), help="this section; may be given again"
    )
    parser.add_argument("--jobs", type=int, default=1, help="sections at the same time (default 1)")
    parser.add_argument(
        "--page", type=Path, default=ROOT / "docs" / "proof.md", help="default docs/proof.md"
    )
    return parser


@contextmanager
def _ground() -> Iterator[tuple[PostgresServer, Path]]:
    """A server, and a directory that is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="wallet-proof-") as directory,
        postgres_server(scratch := Path(directory)) as server,
    ):
        yield server, scratch


def _server_version() -> str:
    with _ground() as (server, _):
        return server.version()


def _faults(options: argparse.Namespace) -> list[FaultResult]:
    print("\n--- the twenty faults", flush=True)
    with _ground() as (server, scratch):
        return run_faults(
            FAULTS, server, scratch=scratch, seed=options.seed, full=not options.quick
        )


def _matrix(options: argparse.Namespace) -> list[CellResult]:
    with _ground() as (server, scratch):
        return [
            *_matrix_on(server, (1, 3), quick=options.quick),
            # What it is for.
            *_matrix_on(SqliteServer(scratch), (1,), quick=options.quick),
        ]


def _matrix_on(server: Server, executors: tuple[int, ...], *, quick: bool) -> list[CellResult]:
    wanted = list(
        cells(executors=executors, outcomes=(Outcome.MIXED,))
        if quick
        else cells(executors=executors)
    )
    print(f"\n--- crash matrix on {server.vendor}: {len(wanted)} cells", flush=True)
    return run_matrix(server, wanted, on_result=tell)


def _soak(options: argparse.Namespace) -> SoakResult:
    minutes = options.minutes or (0.5 if options.quick else 10)
    print(f"\n--- soak of {minutes:g} minutes", flush=True)
    # Its server is killed and restarted, so it is never one that DATABASE_URL names.
    with tempfile.TemporaryDirectory(prefix="wallet-proof-") as scratch:
        result = soak(minutes=minutes, seed=options.seed, scratch=Path(scratch))
    mark = "FAIL" if result.problem else "ok  "
    print(f"{mark} {dict(result.counts)} {result.problem}", flush=True)
    return result


def _model(options: argparse.Namespace) -> list[ProgramResult]:
    model = ("-m", "proof.protocol_model")
    return _programs(
        ("Every reachable state of the protocol", model if options.quick else (*model, "--full")),
        ("The protocol without each guard and assumption", (*model, "--guards")),
    )


def _state_machine(options: argparse.Namespace) -> list[ProgramResult]:
    examples = {} if options.quick else {"STATE_MACHINE_EXAMPLES": _EXAMPLES}
    words = ("-m", "pytest", "-q", "--timeout=0", "wallets/tests/test_state_machine.py")
    return _programs(("Any order of events", words), **examples)


def _guards(options: argparse.Namespace) -> list[ProgramResult]:
    """Takes every guard out of the code in turn and runs the tests: long."""
    if options.quick:
        return []
    words = ("-m", "proof.guards", "--page", "docs/guards.md")
    return _programs(("Some test goes red without each guard", words))


def _programs(*wanted: tuple[str, tuple[str, ...]], **environment: str) -> list[ProgramResult]:
    """Each is a program that exits with 0 when its proof holds."""
    with _ground() as (server, scratch):
        settings = {"DATABASE_URL": server.url} | environment
        return [_program(title, words, scratch, settings) for title, words in wanted]


def _program(
    title: str, words: tuple[str, ...], scratch: Path, environment: dict[str, str]
) -> ProgramResult:
    command = f"python {' '.join(words)}"
    print(f"\n--- {title}: {command}", flush=True)
    started = time.monotonic()
    process = Process(
        words,
        log=scratch / f"program-{'-'.join(words).replace('/', '-')}",
        environment=own_environment() | environment,
    )
    code = process.wait(_PROGRAM_SECONDS)
    said = (process.output() + process.errors()).strip()
    print(said[-3_000:], flush=True)
    last = (process.output().strip().splitlines() or [""])[-1]
    return ProgramResult(title, command, code == 0, time.monotonic() - started, last)


# The longest first.
_SECTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "faults": _faults,
    "soak": _soak,
    "guards": _guards,
    "machine": _state_machine,
    "model": _model,
    "matrix": _matrix,
}

if __name__ == "__main__":
    sys.exit(main())
