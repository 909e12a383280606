"""Every moment an executor can die at, against everything the bank may have done by then.

    python -m proof.crash_matrix                       the whole matrix on PostgreSQL
    python -m proof.crash_matrix --database sqlite     one executor at a time, as SQLite allows
    python -m proof.crash_matrix --point after_send --outcome lost --executors 3

Each cell plants withdrawals, starts executors that die at the point, and lets a fresh one go on
without being told anything. Then wallets, ledger and the bank's book must agree.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from proof.harness.databases import Server, SqliteServer
from proof.harness.processes import ProofError, until
from proof.harness.servers import postgres_server
from proof.harness.world import BrokenPromiseError, World, world

KILLED = 137
_WITHDRAWALS = 12
_CONCURRENCY = 2


class Outcome(StrEnum):
    PAID = "paid"
    REFUSED = "refused"
    LOST = "lost"  # the answer, and the bank did what it was asked; or the request, and it did not
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Point:
    """``prepare``: where a first executor dies to set the scene. ``slow``: leases get renewed."""

    name: str
    title: str
    recovery: str
    prepare: str = ""
    doubtful: bool = False
    slow: bool = False
    crash_at: str = ""

    @property
    def order(self) -> str:
        return self.crash_at or self.name


POINTS = (
    Point(
        "before_claim_commit",
        "before the commit of a claim",
        "rolled back: still SCHEDULED, the next claim takes it",
    ),
    Point(
        "claim_committed",
        "claim committed, acknowledgement lost",
        "the lease lapses, a reclaim sends for the first time",
    ),
    Point("before_send", "before a send", "the lease lapses, a reclaim sends for the first time"),
    Point("after_send", "sent, no answer", "the lease lapses, a reclaim replays the key"),
    Point("answer_in_memory", "answer in memory", "the lease lapses, a reclaim replays the key"),
    Point(
        "before_settle_commit",
        "before the commit of a settlement",
        "rolled back: the lease lapses, a reclaim replays the key",
    ),
    Point(
        "settle_committed",
        "settlement committed, acknowledgement lost",
        "nothing is left to do",
    ),
    Point(
        "in_renewal",
        "in the renewal of leases",
        "the old lease lapses, a reclaim sends or replays",
        slow=True,
    ),
    Point(
        "reclaim_uncommitted",
        "in a reclaim, before its commit",
        "rolled back: still lapsed, the next reclaim takes it",
        prepare="after_send:4",
        crash_at="before_claim_commit",
    ),
    Point(
        "in_reclaim",
        "in a reclaim, committed",
        "the new lease lapses, the next reclaim replays the key",
        prepare="after_send:4",
    ),
    Point(
        "in_inquiry",
        "in an inquiry, answered",
        "the lease lapses, a reclaim asks again",
        doubtful=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Cell:
    point: Point
    outcome: Outcome
    executors: int

    def __str__(self) -> str:
        return f"{self.point.name} x {self.outcome} x {self.executors}"


@dataclass(frozen=True, slots=True)
class CellResult:
    """``problem`` is empty when everything agreed. Times in seconds."""

    cell: Cell
    database: str
    problem: str
    crashes: int = 0
    succeeded: int = 0
    failed: int = 0
    recovery_seconds: float = 0.0
    seconds: float = 0.0


def cells(
    *,
    executors: Sequence[int] = (1, 3),
    outcomes: Sequence[Outcome] = (Outcome.PAID, Outcome.REFUSED, Outcome.LOST),
    points: Sequence[Point] = POINTS,
) -> Iterator[Cell]:
    for point in points:
        for outcome in outcomes:
            for count in executors:
                yield Cell(point, outcome, count)


def run_matrix(
    server: Server, wanted: Sequence[Cell], *, on_result: Callable[[CellResult], None]
) -> list[CellResult]:
    results = []
    for cell in wanted:
        result = run_cell(server, cell)
        results.append(result)
        on_result(result)
    return results


def run_cell(server: Server, cell: Cell) -> CellResult:
    started = time.monotonic()
    latency = 250 if cell.point.slow else 0
    try:
        with world(server, latency_ms=latency) as here:
            return _run(here, cell, started)
    except (BrokenPromiseError, ProofError) as problem:
        seconds = time.monotonic() - started
        return CellResult(cell, server.vendor, str(problem), seconds=seconds)


def _run(here: World, cell: Cell, started: float) -> CellResult:
    _plant(here, cell)
    if cell.point.prepare:
        first = here.executor(crash_at=cell.point.prepare, concurrency=4)
        here.expect(first.wait() == KILLED, f"the scene was not set:\n{first.errors()}")
    crashes = _crash(here, cell)
    recovery = here.drain()
    books = here.check(audit=False)
    _expect_money_of(here, cell)
    return CellResult(
        cell,
        here.database.vendor,
        "",
        crashes=crashes,
        succeeded=books.count("SUCCEEDED"),
        failed=books.count("FAILED"),
        recovery_seconds=recovery,
        seconds=time.monotonic() - started,
    )


def _plant(here: World, cell: Cell) -> None:
    """Two wallets; of each wallet's withdrawals all but the last are covered."""
    half = _WITHDRAWALS // 2
    for _ in range(2):
        wallet = here.wallet(100 * half)
        here.due(wallet, [*(90 + n % 3 for n in range(half)), 1_000])
    if cell.outcome is not Outcome.MIXED:
        _make_bank(here, cell.outcome, doubtful=cell.point.doubtful, match={})
        return
    for amount, outcome in ((91, Outcome.REFUSED), (92, Outcome.LOST)):
        _make_bank(here, outcome, doubtful=cell.point.doubtful, match={"amount": amount})
    if cell.point.doubtful:
        _make_bank(here, Outcome.PAID, doubtful=True, match={"amount": 90})


def _make_bank(here: World, outcome: Outcome, *, doubtful: bool, match: dict[str, int]) -> None:
    """``doubtful``: only an inquiry can tell what became of a transfer."""
    bank = here.bank
    if outcome is Outcome.PAID and doubtful:
        bank.misbehave("reset_after_pay", match=match)
    elif outcome is Outcome.REFUSED and doubtful:
        bank.misbehave("pending_then_failed", 0.05, match=match)
    elif outcome is Outcome.REFUSED:
        bank.misbehave("failed_200", match=match)
    elif outcome is Outcome.LOST and doubtful:
        bank.misbehave("reset_before_pay", match=match)
    elif outcome is Outcome.LOST:
        bank.misbehave("reset_after_pay", match=match)


def _crash(here: World, cell: Cell) -> int:
    """Executors armed to die, until they have, or, of several, until no work is left for them."""
    armed = [
        here.executor(crash_at=cell.point.order, concurrency=_CONCURRENCY)
        for _ in range(cell.executors)
    ]
    until(
        "the executors died, or had nothing left to do",
        lambda: all(one.code is not None for one in armed) or here.open_count() == 0,
    )
    crashed = 0
    for one in armed:
        # Nothing may be left open by an executor that had yet to come to its end.
        code = one.code if one.code is not None else one.end()
        here.expect(code in (0, KILLED), f"an executor ended with {code}:\n{one.errors()}")
        crashed += code == KILLED
    here.expect(crashed > 0, "no executor came to the point")
    return crashed


def _expect_money_of(here: World, cell: Cell) -> None:
    """The bank's answer, and not the crash, decides what became of every withdrawal."""
    counts = here.status_counts()
    unaffordable = 2
    paid = {
        Outcome.PAID: _WITHDRAWALS,
        Outcome.REFUSED: 0,
        Outcome.LOST: 0 if cell.point.doubtful else _WITHDRAWALS,
        Outcome.MIXED: _WITHDRAWALS * (1 if cell.point.doubtful else 2) // 3,
    }[cell.outcome]
    expected = {"SUCCEEDED": paid, "FAILED": _WITHDRAWALS - paid + unaffordable}
    here.expect(counts == {k: v for k, v in expected.items() if v}, f"{counts}, not {expected}")


def tell(result: CellResult) -> None:
    mark = "FAIL" if result.problem else "ok  "
    print(
        f"{mark} {result.cell} on {result.database}: {result.crashes} crashes, "
        f"recovered in {result.recovery_seconds:.1f} s",
        flush=True,
    )
    if result.problem:
        print(result.problem, flush=True)


def main() -> int:
    names = [point.name for point in POINTS]
    parser = argparse.ArgumentParser(prog="python -m proof.crash_matrix")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--point", action="append", choices=names, metavar="POINT")
    parser.add_argument("--outcome", action="append", type=Outcome, choices=list(Outcome))
    parser.add_argument("--executors", action="append", type=int, choices=(1, 3))
    options = parser.parse_args()
    points = [point for point in POINTS if not options.point or point.name in options.point]
    wanted = list(
        cells(
            points=points,
            outcomes=options.outcome or (Outcome.PAID, Outcome.REFUSED, Outcome.LOST),
            executors=options.executors or ((1, 3) if options.database == "postgresql" else (1,)),
        )
    )
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wallet-proof-")))
        server: Server = SqliteServer(scratch)
        if options.database == "postgresql":
            server = stack.enter_context(postgres_server(scratch))
        results = run_matrix(server, wanted, on_result=tell)
    failed = sum(bool(result.problem) for result in results)
    print(f"{len(results) - failed} of {len(results)} cells held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
