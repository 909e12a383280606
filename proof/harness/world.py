"""A small world to break things in: one database, one bank, and executors between them."""

import itertools
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proof.harness.bank import MockBank
from proof.harness.databases import Database, Server
from proof.harness.invariants import Books, broken_promises, read_books
from proof.harness.processes import PATIENCE_SECONDS, Process, own_environment, until

# Short times, so that a lease lapses in a second and a half. The longest call, two tries of 0.6 s
# with their pause, fits the lease; an honest bank on a busy machine answers within one.
QUICK = {
    "WITHDRAWAL_PROCESSING_STALE_SECONDS": "1.5",
    "BANK_TIMEOUT": "0.6",
    "BANK_RETRY_COUNT": "1",
    "BANK_BACKOFF_BASE_SECONDS": "0.01",
    "BANK_BACKOFF_CAP_SECONDS": "0.05",
    "BANK_RETRY_AFTER_CAP_SECONDS": "1",
    "BANK_NOT_FOUND_GRACE_SECONDS": "1.5",
    "BANK_INQUIRY_MIN_SECONDS": "0.1",
    "BANK_INQUIRY_MAX_SECONDS": "0.5",
    # A single fault must not look like an outage, unless a proof is about outages.
    "BANK_BREAKER_FAILURES": "100000",
    "BANK_BREAKER_COOLDOWN_SECONDS": "0.3",
    "WALLET_LOG_LEVEL": "INFO",
}


class BrokenPromiseError(AssertionError):
    """Money was lost, created or paid twice, or a withdrawal did not come to its end."""


@dataclass(frozen=True, slots=True)
class Due:
    """One withdrawal as it was planted."""

    id: int
    wallet_id: int
    amount: int
    key: str


class World:
    def __init__(
        self,
        database: Database,
        bank: MockBank,
        directory: Path,
        settings: Mapping[str, str],
        *,
        audits: bool,
    ) -> None:
        self.database = database
        self.bank = bank
        self.directory = directory
        self._settings = dict(settings)
        self._audits = audits
        self._numbers = itertools.count(1)
        self._executors: list[Process] = []

    # --- Planting --------------------------------------------------------------------------------

    def wallet(self, balance: int = 0, *, currency: str = "IRR") -> int:
        return self.wallets([balance], currency=currency)[0]

    def wallets(self, balances: Sequence[int], *, currency: str = "IRR") -> list[int]:
        """Wallets that got their balance in one deposit each."""
        now = _now()
        ids = self.database.insert(
            "wallets_wallet",
            ("uuid", "currency", "balance", "created_at", "updated_at"),
            [(self._uuid(), currency, balance, now, now) for balance in balances],
        )
        filled = [(pk, balance) for pk, balance in zip(ids, balances, strict=True) if balance]
        deposits = self.database.insert(
            "wallets_transaction",
            ("wallet_id", "type", "status", "amount", "epoch", "maybe_sent", *_TIMES),
            [(pk, "DEPOSIT", "SUCCEEDED", amount, 0, False, now, now) for pk, amount in filled],
        )
        self.database.insert(
            "wallets_ledgerentry",
            (
                *("transaction_id", "wallet_id", "debit_account", "credit_account"),
                *("amount", "balance_after", "created_at"),
            ),
            [
                (deposit, pk, "BANK", "WALLET", amount, amount, now)
                for deposit, (pk, amount) in zip(deposits, filled, strict=True)
            ],
        )
        return ids

    def due(self, wallet_id: int, amounts: Sequence[int]) -> list[Due]:
        return self.due_in((wallet_id, amount) for amount in amounts)

    def due_in(self, plan: "Iterator[tuple[int, int]] | Sequence[tuple[int, int]]") -> list[Due]:
        """Withdrawals, due since a minute, from (wallet, amount) pairs, in this order."""
        wanted = list(plan)
        now = _now()
        execute_at = now - timedelta(minutes=1)
        keys = [self._uuid() for _ in wanted]
        ids = self.database.insert(
            "wallets_transaction",
            (
                *("wallet_id", "type", "status", "amount", "execute_at", "idempotency_key"),
                *("epoch", "maybe_sent", *_TIMES),
            ),
            [
                (pk, "WITHDRAWAL", "SCHEDULED", amount, execute_at, key, 0, False, now, now)
                for (pk, amount), key in zip(wanted, keys, strict=True)
            ],
        )
        self.database.insert(
            "wallets_statuschange",
            ("transaction_id", "from_status", "to_status", "reason", "worker", "created_at"),
            [(pk, "", "SCHEDULED", "scheduled", "", now) for pk in ids],
        )
        return [
            Due(pk, wallet_id, amount, str(uuid.UUID(key)))
            for pk, (wallet_id, amount), key in zip(ids, wanted, keys, strict=True)
        ]

    def _uuid(self) -> str:
        fresh = uuid.uuid4()
        return str(fresh) if self.database.vendor == "postgresql" else fresh.hex

    # --- Processes -------------------------------------------------------------------------------

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return (
            own_environment()
            | {"DATABASE_URL": self.database.url, "BANK_BASE_URL": self.bank.url}
            | self._settings
            | dict(settings)
        )

    def executor(
        self,
        *flags: str,
        crash_at: str = "",
        loop: bool = True,
        concurrency: int = 4,
        settings: Mapping[str, str] | None = None,
    ) -> Process:
        """``settings`` are environment variables of this executor alone."""
        idle = ["--loop", "--sleep-seconds", "0.05"] if loop else []
        process = Process(
            [
                *("manage.py", "run_withdrawal_executor", *idle),
                *("--concurrency", str(concurrency), *flags),
            ],
            log=self.directory / f"executor-{next(self._numbers)}",
            environment=self.environment({"EXECUTOR_CRASH_AT": crash_at} | dict(settings or {})),
            ready="executor started",
        )
        self._executors.append(process)
        return process

    def manage(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Process:
        """Run a management command to its end."""
        process = Process(
            ["manage.py", *arguments],
            log=self.directory / f"{arguments[0]}-{next(self._numbers)}",
            environment=self.environment(settings or {}),
        )
        process.wait()
        return process

    # --- Ending ----------------------------------------------------------------------------------

    def open_count(self) -> int:
        """Withdrawals that are due or being processed."""
        (count,) = self.database.rows(
            "SELECT count(*) FROM wallets_transaction"
            " WHERE status IN ('SCHEDULED', 'PROCESSING') AND execute_at <= %s",
            _now(),
        )[0]
        return int(count)

    def status_counts(self) -> dict[str, int]:
        return dict(
            self.database.rows(
                "SELECT status, count(*) FROM wallets_transaction"
                " WHERE type = 'WITHDRAWAL' GROUP BY status"
            )
        )

    def until_done(self, *, left: int = 0, seconds: float = PATIENCE_SECONDS) -> None:
        until(
            f"no more than {left} withdrawals open",
            lambda: self.open_count() <= left,
            seconds=seconds,
        )

    def drain(
        self,
        *,
        executors: int = 1,
        left: int = 0,
        seconds: float = PATIENCE_SECONDS,
        concurrency: int = 4,
        settings: Mapping[str, str] | None = None,
    ) -> float:
        """Fresh executors until all is done; return how long it took, in seconds."""
        started = time.monotonic()
        fresh = [
            self.executor(concurrency=concurrency, settings=settings) for _ in range(executors)
        ]
        self.until_done(left=left, seconds=seconds)
        took = time.monotonic() - started
        for executor in fresh:
            self.expect(executor.end() == 0, f"the executor ended badly:\n{executor.errors()}")
        return took

    def log(self) -> str:
        """What all executors logged."""
        return "".join(executor.errors() for executor in self._executors)

    def books(self) -> Books:
        return read_books(self.database, self.bank)

    def check(
        self,
        *,
        waiting: Sequence[Due] = (),
        lied_about: Sequence[Due] = (),
        references_change: bool = False,
        audit: bool | None = None,
    ) -> Books:
        """Compare wallets, ledger and the bank's book. Raises ``BrokenPromiseError``.

        ``waiting``: those that may wait for a person. ``lied_about``: those for which the bank
        said in plain words that it had not paid and had. ``references_change``: the bank answers
        repeated keys with new references. ``audit``: run the service's own audit as well.
        """
        books = self.books()
        broken = broken_promises(
            books,
            waiting={due.id for due in waiting},
            lied_about={due.key for due in lied_about},
            references_change=references_change,
        )
        self.expect(not broken, "\n".join(broken))
        if self._audits if audit is None else audit:
            audited = self.manage("audit_ledger")
            self.expect(audited.code == 0, audited.output() + audited.errors())
        return books

    def statuses(self, due: Sequence[Due]) -> set[str]:
        statuses = self.books().statuses
        return {statuses[one.id] for one in due}

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise BrokenPromiseError(what)

    def close(self) -> None:
        for executor in self._executors:
            if executor.code is None:
                executor.signal(signal.SIGCONT)
                executor.kill()
        self.bank.kill()
        self.database.close()


_TIMES = ("created_at", "updated_at")


@contextmanager
def world(
    server: Server, *, latency_ms: int = 0, audits: bool = True, **settings: str
) -> Iterator[World]:
    """``settings`` are environment variables on top of the quick ones; ``audits``: whether checks
    run the service's own audit, unless told otherwise."""
    directory = Path(tempfile.mkdtemp(prefix="wallet-proof-"))
    bank = MockBank(directory, latency_ms=latency_ms)
    made = World(server.fresh(), bank, directory, QUICK | settings, audits=audits)
    try:
        yield made
    finally:
        made.close()
        if os.environ.get("PROOF_KEEP"):
            print(f"kept {directory}", flush=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _now() -> datetime:
    return datetime.now(UTC)
