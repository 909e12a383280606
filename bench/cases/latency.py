"""From the moment a withdrawal is due until the bank has its request."""

import json
import time
import urllib.request
from statistics import quantiles

from bench.books import open_wallets, schedule
from bench.executors import executors
from bench.lab import BenchError, Database, Lab, free_port, wait_for_http, wait_until
from bench.results import CaseResult, Row, Table, Target, Values

NAME = "latency"
TITLE = "Latency of a payout"

_EXECUTORS = 2
_SLEEP = 2.0  # seconds, the command's default
_ALLOWED = 250.0  # ms on top of the sleep
_WALLETS = 1_000
_LEAD = 2.0  # seconds between scheduling and the first due time
_BANK = 0.05  # seconds

_DUE = """
    SELECT idempotency_key::text, extract(epoch FROM execute_at)::float8
    FROM wallets_transaction WHERE id = ANY(%s)
"""


def steps(lab: Lab) -> int:
    return 1


def run(lab: Lab) -> CaseResult:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    bank = ["-m", "bench.subjects.stub_bank", f"--port={port}", f"--delay={_BANK}", "--remember"]
    with lab.process("latency-bank", bank), lab.database(NAME) as database:
        wait_for_http(port)
        wallets = open_wallets(database, _WALLETS)
        with executors(lab, database, count=_EXECUTORS, bank=url, sleep_seconds=_SLEEP):
            late = _measure(lab, database, wallets, url)
    lab.bar.update()
    cuts = quantiles(late, n=100)
    numbers = {"p50": cuts[49], "p99": cuts[98], "most": max(late)}
    bound = _SLEEP * 1_000 + _ALLOWED
    rate, seconds = lab.size.latency_rate, lab.size.latency_seconds
    return CaseResult(
        case=NAME,
        title=TITLE,
        tables=[
            Table(
                title=f"{rate} due a second for {seconds} s, {_EXECUTORS} executors, "
                f"--sleep-seconds {_SLEEP:g}",
                columns={"p50": "p50 ms", "p99": "p99 ms", "most": "most ms"},
                rows=[Row("service", {name: Values((value,)) for name, value in numbers.items()})],
            )
        ],
        targets=[Target("p99, due until called", cuts[98], bound, at_least=False, unit="ms")],
        notes=["The bank notes when a request arrives; one machine, so one clock."],
    )


def _measure(lab: Lab, database: Database, wallets: list[int], url: str) -> list[float]:
    """Milliseconds for each withdrawal."""
    rate, seconds = lab.size.latency_rate, lab.size.latency_seconds
    with database.cursor() as cursor:
        ids = schedule(cursor, wallets, rate * seconds, after=_LEAD, apart=1 / rate)
        cursor.execute(_DUE, (ids,))
        due = dict(cursor.fetchall())
    time.sleep(_LEAD + seconds)
    arrivals: dict[str, float] = {}

    def all_came() -> bool:
        with urllib.request.urlopen(f"{url}/arrivals", timeout=30) as answer:
            arrivals.update(json.load(answer))
        return len(arrivals) >= len(due)

    wait_until(all_came, "the bank was not called for every withdrawal")
    if set(arrivals) != set(due):
        raise BenchError("the bank was called for something else")
    return [(arrivals[key] - due[key]) * 1_000 for key in due]
