"""All proofs, and the page that tells how they ended: see ``scripts/prove``."""

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from proof.crash_matrix import CellResult, Outcome, cells, run_matrix, tell
from proof.faults.catalogue import FAULTS
from proof.faults.run import FaultResult, run_faults
from proof.harness.databases import Server, SqliteServer
from proof.harness.processes import ROOT, Process, own_environment
from proof.harness.servers import postgres_server
from proof.page import ProgramResult, Proof, page
from proof.soak import SoakResult, soak

_SECTIONS = ("matrix", "faults", "soak", "programs")
_PROGRAM_SECONDS = 3_600.0
_STATE_MACHINE = "wallets/tests/test_state_machine.py"
_EXAMPLES = "500"  # runs of the state machine at full size


def main() -> int:
    options = _parser().parse_args()
    print(f"seed {options.seed}", flush=True)
    wanted = options.only or _SECTIONS
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wallet-proof-")))
        server = stack.enter_context(postgres_server(scratch))
        matrix: list[CellResult] = []
        if "matrix" in wanted:
            matrix = _matrix(server, quick=options.quick)
            matrix += _matrix(SqliteServer(scratch), quick=options.quick)
        faults: list[FaultResult] = []
        if "faults" in wanted:
            print("\n--- the twenty faults", flush=True)
            faults = run_faults(
                FAULTS, server, scratch=scratch, seed=options.seed, full=not options.quick
            )
        proof = Proof(
            size="that of every change" if options.quick else "full",
            seed=options.seed,
            postgres=server.version(),
            cells=matrix,
            faults=faults,
            soak=_soak(options, scratch) if "soak" in wanted else None,
            programs=(
                _programs(scratch, server.url, quick=options.quick) if "programs" in wanted else ()
            ),
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
        "--only", action="append", choices=_SECTIONS, help="this section; may be given again"
    )
    parser.add_argument(
        "--page", type=Path, default=ROOT / "docs" / "proof.md", help="default docs/proof.md"
    )
    return parser


def _matrix(server: Server, *, quick: bool) -> list[CellResult]:
    executors = (1, 3) if server.vendor == "postgresql" else (1,)
    wanted = list(
        cells(executors=executors, outcomes=(Outcome.MIXED,))
        if quick
        else cells(executors=executors)
    )
    print(f"\n--- crash matrix on {server.vendor}: {len(wanted)} cells", flush=True)
    return run_matrix(server, wanted, on_result=tell)


def _soak(options: argparse.Namespace, scratch: Path) -> SoakResult:
    minutes = options.minutes or (0.5 if options.quick else 10)
    print(f"\n--- soak of {minutes:g} minutes", flush=True)
    result = soak(minutes=minutes, seed=options.seed, scratch=scratch)
    print(f"{'FAIL' if result.problem else 'ok  '} {dict(result.counts)} {result.problem}")
    return result


def _programs(scratch: Path, database_url: str, *, quick: bool) -> Sequence[ProgramResult]:
    """Each is a program that exits with 0 when its proof holds."""
    model = ("-m", "proof.protocol_model")
    machine = ("-m", "pytest", "-q", "--timeout=0", _STATE_MACHINE)
    guards = ("-m", "proof.guards", "--page", "docs/guards.md")
    wanted: list[tuple[str, tuple[str, ...]]] = [
        ("Every reachable state of the protocol", (*model, *(() if quick else ("--full",)))),
        ("The protocol without each guard and assumption", (*model, "--guards")),
        ("Any order of events", machine),
    ]
    # Takes every guard out of the code in turn and runs the tests: long.
    if not quick:
        wanted.append(("Some test goes red without each guard", guards))
    environment = {"DATABASE_URL": database_url}
    if not quick:
        environment["STATE_MACHINE_EXAMPLES"] = _EXAMPLES
    return [_program(title, words, scratch, environment) for title, words in wanted]


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


if __name__ == "__main__":
    sys.exit(main())
