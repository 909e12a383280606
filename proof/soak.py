"""Minutes of random load and random trouble, then everything heals and all books must agree.

    python -m proof.soak --minutes 3 --seed 7

Clients deposit and schedule over HTTP, three executors are killed, stopped and asked to leave,
PostgreSQL is restarted and killed, and the bank misbehaves in every way its contract allows. The
seed decides what is tried, in which order; the machine decides the exact moments.
"""

import argparse
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proof.crash_matrix import KILLED
from proof.faults.crashes import CRASH_POINTS
from proof.harness.api import ApiServer
from proof.harness.databases import PostgresDatabase, PostgresServer
from proof.harness.processes import Process, ProofError
from proof.harness.world import BrokenPromiseError, World, world
from scripts.postgres import EmbeddedPostgres

_EXECUTORS = 3
_CLIENTS = 4
_LATEST_LANDING = 3.0  # seconds; the grace of "not found" must be longer
_GRACE = "8"
_REPORT_SECONDS = 20.0

# Transfers, and with what argument. Whatever breaks the contract itself, such as saying "failed" of
# what was paid, is not here: no client could survive it.
_TRANSFER_FAULTS: tuple[tuple[str, object], ...] = (
    ("failed_200", None),
    ("failed_503", None),
    ("throttle_429", "0"),
    ("throttle_429", "1"),
    ("error_500", None),
    ("hang", None),
    ("hang_after_pay", None),
    ("late_landing", 0.4),
    ("late_landing", _LATEST_LANDING),
    ("slow", 1.0),
    ("reset_before_pay", None),
    ("reset_after_pay", None),
    ("close_after_pay", None),
    ("truncated_body", None),
    ("garbage_body", None),
    ("empty_body", None),
    ("trickle_body", 0.05),
    ("wrong_amount", None),
    ("wrong_key", None),
    ("pending", 0.5),
    ("pending_then_failed", 0.5),
    ("unknown_word", None),
    ("other_reference", None),
    ("redirect_302", None),
    ("status", {"code": 401}),
    ("status", {"code": 409, "body": {"data": "conflict"}}),
)
_INQUIRY_FAULTS: tuple[tuple[str, object], ...] = (
    ("error_500", None),
    ("hang", None),
    ("throttle_429", "0"),
    ("garbage_body", None),
    ("status", {"code": 401}),
    ("reset_before_pay", None),
)


@dataclass
class SoakResult:
    """``problem`` is empty when everything agreed."""

    seed: int
    minutes: float
    problem: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Clients:
    """Threads that deposit and schedule, and remember what they were promised."""

    def __init__(self, api: ApiServer, wallets: list[int], seed: int, counts: Counter[str]) -> None:
        self._api = api
        self._wallets = wallets
        self._counts = counts
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.promised: dict[int, int] = {}
        self.problems: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + n),))
            for n in range(_CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        try:
            while not self._stop.is_set():
                self._ask_for_something(chance)
                time.sleep(chance.uniform(0.02, 0.2))
        except ProofError as problem:
            self.problems.append(str(problem))

    def _ask_for_something(self, chance: random.Random) -> None:
        wallet = chance.choice(self._wallets)
        amount = chance.randint(1, 1_000)
        if chance.random() < 0.4:
            path, what = "deposit", "deposits"
            body: dict[str, object] = {"amount": amount}
        else:
            when = datetime.now(UTC) + timedelta(seconds=chance.uniform(0.5, 3))
            # One in twenty asks for more than any wallet has.
            amount = 10**12 if chance.random() < 0.05 else amount
            path, body = "withdrawals", {"amount": amount, "execute_at": when.isoformat()}
            what = "withdrawals"
        status, envelope, asked = self._api.insist(f"/api/wallets/{wallet}/{path}/", body)
        with self._lock:
            self._counts["requests"] += asked
            if status == 201:
                self._counts[what] += 1
                self.promised[envelope["data"]["transaction"]["id"]] = amount
            elif not _came_too_late(status, envelope):
                self.problems.append(f"{path} was answered {status}: {envelope}")


def _came_too_late(status: int, envelope: Any) -> bool:
    """A request that waited for a database, or was repeated, until its own execute_at had passed.

    Then none before it had arrived either, for the key would have been answered first.
    """
    return status == 400 and envelope["data"]["code"] == "execute_at_not_in_future"


class Monkey:
    """Does one piece of mischief after the other, and undoes all of it in the end."""

    def __init__(
        self, here: World, postgres: EmbeddedPostgres, chance: random.Random, counts: Counter[str]
    ) -> None:
        self._here = here
        self._postgres = postgres
        self._chance = chance
        self._counts = counts
        self._fleet: list[Process] = []
        self._asked_to_leave: set[Process] = set()
        self._continue_at: dict[Process, float] = {}
        self._bank_resumes_at: float | None = None
        self._pranks: tuple[tuple[int, Callable[[], None]], ...] = (
            (5, self._kill),
            (4, self._ask_to_leave),
            (4, self._stand_still),
            (10, self._spoil_the_bank),
            (4, self._bank_behaves),
            (1, self._restart_bank),
            (1, self._pause_bank),
            (2, self._restart_database),
        )

    def play(self, until: float) -> None:
        told = time.monotonic()
        while time.monotonic() < until:
            self._keep_fleet()
            self._let_go_on()
            weights = [weight for weight, _ in self._pranks]
            self._chance.choices(self._pranks, weights)[0][1]()
            time.sleep(self._chance.uniform(0.1, 1.2))
            if time.monotonic() - told > _REPORT_SECONDS:
                told = time.monotonic()
                left = until - told
                print(f"  {left:.0f} s to go: {dict(self._counts)}", flush=True)

    def heal(self) -> None:
        self._let_go_on(now=True)
        self._here.bank.behave()
        for one in self._fleet:
            if one.code is None and one not in self._asked_to_leave:
                self._send_away(one)
        for one in self._fleet:
            one.wait()
        self._bury()

    def _keep_fleet(self) -> None:
        self._bury()
        while len(self._fleet) < _EXECUTORS:
            crash_at = ""
            if self._chance.random() < 0.5:
                crash_at = f"{self._chance.choice(CRASH_POINTS)}:{self._chance.randint(1, 20)}"
            self._fleet.append(self._here.executor(crash_at=crash_at, concurrency=8))

    def _bury(self) -> None:
        for one in [one for one in self._fleet if one.code is not None]:
            self._fleet.remove(one)
            self._continue_at.pop(one, None)
            self._counts["executors_died"] += one.code == KILLED
            # Asked to leave while the database was away: it waits for one lease.
            away = one.code == 1 and one in self._asked_to_leave and "stayed away" in one.errors()
            # Started while it was away: whoever started it starts another.
            away = away or (one.code == 1 and "cannot be reached" in one.errors())
            fine = one.code == KILLED or away or (one.code == 0 and one in self._asked_to_leave)
            self._here.expect(fine, f"an executor ended with {one.code}:\n{one.errors()[-3000:]}")

    def _let_go_on(self, *, now: bool = False) -> None:
        for one, at in list(self._continue_at.items()):
            if now or time.monotonic() >= at:
                one.signal(signal.SIGCONT)
                del self._continue_at[one]
        if self._bank_resumes_at is not None and (now or time.monotonic() >= self._bank_resumes_at):
            self._resume_bank()

    def _awake(self) -> list[Process]:
        return [
            one
            for one in self._fleet
            if one.code is None and one not in self._continue_at and one not in self._asked_to_leave
        ]

    def _kill(self) -> None:
        if self._fleet:
            self._chance.choice(self._fleet).kill()
            self._counts["executors_killed"] += 1

    def _ask_to_leave(self) -> None:
        if awake := self._awake():
            self._send_away(self._chance.choice(awake))

    def _send_away(self, one: Process) -> None:
        # Before its own handlers are there, Python's would end it with another code.
        if "executor started" not in one.errors():
            one.kill()
            return
        one.signal(signal.SIGTERM)
        self._asked_to_leave.add(one)
        self._counts["executors_asked_to_leave"] += 1

    def _stand_still(self) -> None:
        if awake := self._awake():
            one = self._chance.choice(awake)
            one.signal(signal.SIGSTOP)
            self._continue_at[one] = time.monotonic() + self._chance.uniform(0.3, 5)
            self._counts["executors_stopped"] += 1

    def _spoil_the_bank(self) -> None:
        self._resume_bank()
        on = "transfer" if self._chance.random() < 0.8 else "inquiry"
        faults = _TRANSFER_FAULTS if on == "transfer" else _INQUIRY_FAULTS
        fault, arg = self._chance.choice(faults)
        self._here.bank.misbehave(
            fault,
            arg,
            on=on,
            probability=self._chance.choice((0.05, 0.2, 0.5)),
            times=self._chance.randint(1, 200),
        )
        self._counts["bank_faults"] += 1

    def _bank_behaves(self) -> None:
        self._resume_bank()
        self._here.bank.behave()

    def _restart_bank(self) -> None:
        self._bank_resumes_at = None
        self._here.bank.kill()
        time.sleep(self._chance.uniform(0, 2))
        self._here.bank.start()
        self._counts["bank_kills"] += 1

    def _pause_bank(self) -> None:
        """For less than the grace: what waits in its sockets lands when it goes on."""
        self._here.bank.pause()
        self._bank_resumes_at = time.monotonic() + self._chance.uniform(0.3, _LATEST_LANDING)
        self._counts["bank_pauses"] += 1

    def _resume_bank(self) -> None:
        if self._bank_resumes_at is not None:
            self._here.bank.resume()
            self._bank_resumes_at = None

    def _restart_database(self) -> None:
        how = self._chance.choice(("in_order", "at_once", "kill"))
        if how == "kill":
            self._postgres.kill()
        else:
            self._postgres.stop(immediate=how == "at_once")
        time.sleep(self._chance.uniform(0, 1.5))
        self._postgres.start()
        self._counts["database_restarts"] += 1


def soak(*, minutes: float, seed: int, scratch: Path) -> SoakResult:
    result = SoakResult(seed=seed, minutes=minutes)
    started = time.monotonic()
    try:
        with EmbeddedPostgres(durable=True) as postgres:
            server = PostgresServer(postgres.dsn, scratch)
            with world(
                server,
                latency_ms=10,
                BANK_NOT_FOUND_GRACE_SECONDS=_GRACE,
                BANK_BREAKER_FAILURES="30",
                WALLET_LOG_LEVEL="INFO",
            ) as here:
                _play(here, postgres, result)
    except (BrokenPromiseError, ProofError) as problem:
        first = problem.__context__
        result.problem = f"{problem}\n{f'after: {first!r}' if first else ''}"
    result.seconds = time.monotonic() - started
    return result


def _play(here: World, postgres: EmbeddedPostgres, result: SoakResult) -> None:
    chance = random.Random(result.seed)
    wallets = here.wallets([chance.randint(0, 50_000) for _ in range(20)])
    _forget_connection(here)
    monkey = Monkey(here, postgres, chance, result.counts)
    with ApiServer(here) as api:
        clients = Clients(api, wallets, result.seed, result.counts)
        clients.start()
        try:
            monkey.play(time.monotonic() + result.minutes * 60)
        finally:
            monkey.heal()
            clients.stop()
    print("  healed; draining", flush=True)
    time.sleep(_LATEST_LANDING + 0.5)
    _forget_connection(here)
    result.counts["drain_ms"] = round(1000 * here.drain(executors=2, concurrency=16, seconds=300))
    here.expect(not clients.problems, "\n".join(clients.problems[:20]))
    books = here.check(references_change=True)
    amounts = {row.id: row.amount for row in books.rows}
    for pk, amount in clients.promised.items():
        here.expect(amounts.get(pk) == amount, f"transaction {pk} was promised and is not there")
    result.counts["succeeded"] = books.count("SUCCEEDED")
    result.counts["failed"] = books.count("FAILED")
    result.counts["bank_payments"] = len(books.payments)


def _forget_connection(here: World) -> None:
    if isinstance(here.database, PostgresDatabase):
        here.database.forget_connection()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.soak")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    print(f"soak of {options.minutes:g} minutes, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wallet-proof-") as scratch:
        result = soak(minutes=options.minutes, seed=options.seed, scratch=Path(scratch))
    told = " ".join(f"{name}={count:,}" for name, count in sorted(result.counts.items()))
    print(f"{'FAIL' if result.problem else 'ok'}  {result.seconds:.0f} s  {told}")
    if result.problem:
        print(result.problem)
    return 1 if result.problem else 0


if __name__ == "__main__":
    sys.exit(main())
