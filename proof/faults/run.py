"""Try faults one after the other and keep what each came to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proof.faults.stage import Counts, Fault, Stage
from proof.harness.databases import PostgresServer
from proof.harness.processes import ProofError
from proof.harness.world import BrokenPromiseError


@dataclass(frozen=True, slots=True)
class FaultResult:
    """``problem`` is empty when the fault cost nobody anything."""

    fault: Fault
    problem: str
    counts: Counts
    seconds: float


def run_faults(
    wanted: Sequence[Fault], server: PostgresServer, *, scratch: Path, seed: int, full: bool
) -> list[FaultResult]:
    return [run_fault(one, Stage(server, scratch, seed, full)) for one in wanted]


def run_fault(fault: Fault, stage: Stage) -> FaultResult:
    started = time.monotonic()
    problem, counts = "", {}
    try:
        counts = fault.run(stage)
    except (BrokenPromiseError, ProofError) as error:
        problem = str(error) or type(error).__name__
    result = FaultResult(fault, problem, counts, time.monotonic() - started)
    mark = "FAIL" if problem else "ok  "
    told = " ".join(f"{name}={count:,}" for name, count in counts.items())
    print(f"{mark} {fault.number:>2} {fault.title} ({result.seconds:.1f} s)  {told}", flush=True)
    if problem:
        print(problem, flush=True)
    return result
