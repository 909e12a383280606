"""Payouts: the executor beside bare calls to the same bank, and beside one row at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.books import open_wallets, schedule
from bench.executors import executors, pay_all
from bench.lab import Database, Lab, Subject, free_port, wait_for_http
from bench.results import CaseResult, Measured, Row, Table, Target, Values, ratio
from bench.roundtrips import CountingProxy

NAME = "payouts"
TITLE = "Payouts"

_WALLETS = 1_000
_SLOW = 0.05  # seconds
_ONE, _SEVERAL, _HOT = "service, 1 process", "service, {} processes", "service, one wallet"
_BARE, _PREPARED, _LOOP = "bare requests", "bare requests, prepared once", "one row at a time"


@dataclass(frozen=True, slots=True)
class _Bank:
    name: str
    url: str
    payouts: int


def steps(lab: Lab) -> int:
    return lab.rounds * 6 * 2


def run(lab: Lab) -> CaseResult:
    slow, fast = free_port(), free_port()
    with (
        lab.process("slow-bank", _bank_command(slow, _SLOW)),
        lab.process("fast-bank", _bank_command(fast, 0.0)),
        lab.database(NAME) as database,
    ):
        wait_for_http(slow)
        wait_for_http(fast)
        wallets = open_wallets(database, _WALLETS)
        size = lab.size
        slow_bank = _Bank("bank that takes 50 ms", _url(slow), size.payouts_slow_bank)
        fast_bank = _Bank("bank that answers at once", _url(fast), size.payouts_fast_bank)
        found_slow = lab.interleave(_subjects(lab, database, wallets, slow_bank))
        found_fast = lab.interleave(_subjects(lab, database, wallets, fast_bank))
        trips = _round_trips(lab, database, wallets, slow_bank)
    result = CaseResult(case=NAME, title=TITLE)
    result.tables = [
        _table(lab, slow_bank, found_slow),
        _table(lab, fast_bank, found_fast),
        Table(
            title=f"round trips, {slow_bank.name}",
            columns={"trips": "database round trips for 100 payouts"},
            rows=[Row("service, 1 process", {"trips": Values((trips,))})],
        ),
    ]
    result.targets = [
        *_targets(lab, slow_bank, found_slow, loops=40.0, ceiling=True),
        *_targets(lab, fast_bank, found_fast, loops=8.0, ceiling=False),
        Target("database round trips for 100 payouts", trips, 10.0, at_least=False),
    ]
    result.notes = [
        f"{lab.size.concurrency} threads each; {_WALLETS} wallets. The ceiling is the faster of "
        "the two bare clients, which touch no database.",
        "Every run checks that all were paid and each wallet was debited in the order of "
        "(execute_at, id).",
    ]
    return result


def _bank_command(port: int, delay: float) -> list[str]:
    return ["-m", "bench.subjects.stub_bank", f"--port={port}", f"--delay={delay}"]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _subjects(lab: Lab, database: Database, wallets: Sequence[int], bank: _Bank) -> list[Subject]:
    def service(processes: int, of: Sequence[int]) -> Callable[[], Measured]:
        def measure() -> Measured:
            with executors(lab, database, count=processes, bank=bank.url):
                return {"rate": pay_all(database, of, bank.payouts)}

        return measure

    return [
        Subject(_BARE, lambda: _bare(lab, bank)),
        Subject(_PREPARED, lambda: _bare(lab, bank, "--prepared")),
        Subject(_ONE, service(1, wallets)),
        Subject(_SEVERAL.format(lab.size.processes), service(lab.size.processes, wallets)),
        Subject(_HOT, service(1, wallets[:1])),
        Subject(_LOOP, lambda: _row_loop(lab, database, wallets, bank)),
    ]


def _bare(lab: Lab, bank: _Bank, *options: str) -> Measured:
    numbers = lab.ask(
        "bare_requests",
        f"--url={bank.url}/",
        f"--threads={lab.size.concurrency}",
        f"--calls={bank.payouts}",
        *options,
    )
    return {"rate": numbers["rate"]}


def _row_loop(lab: Lab, database: Database, wallets: Sequence[int], bank: _Bank) -> Measured:
    rows = lab.size.payouts_row_loop
    with database.cursor() as cursor:
        schedule(cursor, list(wallets), rows + 1)
    numbers: Measured = lab.ask(
        "row_loop", f"--url={bank.url}/", f"--rows={rows}", url=database.url
    )
    return numbers


def _round_trips(lab: Lab, database: Database, wallets: Sequence[int], bank: _Bank) -> float:
    with (
        CountingProxy(database) as proxy,
        # Asleep but for the work that is counted.
        executors(lab, database, count=1, bank=bank.url, url=proxy.url, sleep_seconds=1.0),
    ):
        before = proxy.count
        pay_all(database, wallets, bank.payouts)
        return (proxy.count - before) * 100 / bank.payouts


def _table(lab: Lab, bank: _Bank, found: dict[str, list[Measured]]) -> Table:
    return Table(
        title=f"{bank.name}, {bank.payouts} payouts",
        columns={"rate": "payouts/s"},
        rows=[Row.of(name, rounds) for name, rounds in found.items()],
        plot="rate",
    )


def _targets(
    lab: Lab, bank: _Bank, found: dict[str, list[Measured]], *, loops: float, ceiling: bool
) -> list[Target]:
    one = found[_ONE]
    several = found[_SEVERAL.format(lab.size.processes)]
    faster = max(
        (found[_BARE], found[_PREPARED]), key=lambda rounds: median(r["rate"] for r in rounds)
    )
    targets = [
        Target(f"{bank.name}: times one row at a time", ratio(one, found[_LOOP], "rate"), loops),
        Target(
            f"{bank.name}: {lab.size.processes} processes against one",
            ratio(several, one, "rate"),
            1.0,
            unit="%",
        ),
        Target(
            f"{bank.name}: one wallet against all",
            ratio(found[_HOT], one, "rate"),
            0.8,
            unit="%",
        ),
    ]
    if ceiling:
        share = ratio(one, faster, "rate")
        targets.insert(0, Target(f"{bank.name}: share of bare calls", share, 0.9, unit="%"))
    return targets
