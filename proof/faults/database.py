"""A database that goes away, hangs up, or makes a transaction fail."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg2

from proof.faults.stage import Counts, Stage, fault
from proof.harness.api import ApiServer, pour
from proof.harness.databases import PostgresDatabase, PostgresServer
from proof.harness.processes import until
from proof.harness.proxy import Break, BreakingWire
from proof.harness.world import World, world
from scripts.postgres import EmbeddedPostgres

# Small, so that they can all be taken.
_MAX_CONNECTIONS = 20


@fault(14, "PostgreSQL restarted and killed, cut off in a COMMIT, out of connections")
def database_goes_away(stage: Stage) -> Counts:
    settings = {
        "max_connections": str(_MAX_CONNECTIONS),
        "superuser_reserved_connections": "0",
        "autovacuum": "off",
    }
    with stage.own_postgres(settings) as (postgres, server):
        restarts = _restart(stage, postgres, server)
        broken = _break_commits(stage, server)
        _take_all_connections(stage, server)
    return {"restarts": restarts, "broken_commits": broken, "exhausted": 1}


def _restart(stage: Stage, postgres: EmbeddedPostgres, server: PostgresServer) -> int:
    count = stage.size(90, 3_000)
    stops: Sequence[Callable[[], None]] = (
        postgres.stop,
        lambda: postgres.stop(immediate=True),
        postgres.kill,
    ) * stage.size(1, 3)
    with world(server, latency_ms=60) as here:
        _plant(here, count)
        fleet = [here.executor(concurrency=2) for _ in range(2)]
        for done, stop in enumerate(stops, 1):
            left = count - done * count // (len(stops) + 1)
            here.until_done(left=left)
            _of(here).forget_connection()
            stop()
            time.sleep(0.2)
            postgres.start()
        here.until_done(seconds=120)
        for executor in fleet:
            here.expect(executor.end() == 0, executor.errors())
        here.check()
    return len(stops)


def _break_commits(stage: Stage, server: PostgresServer) -> int:
    """Claims and settlements lose their COMMIT, or the word that it was done."""
    with world(server, latency_ms=20) as here:
        _plant(here, stage.size(60, 1_000))
        wire = BreakingWire(here.database.url)
        times = stage.size(2, 10)
        for marker in ("claimed", "paid"):
            for how in Break:
                wire.break_at(marker, how, times=times)
        through = [here.executor(settings={"DATABASE_URL": wire.url}) for _ in range(2)]
        until("all breaks happened, or all is done", lambda: here.open_count() == 0)
        for executor in through:
            here.expect(executor.end() == 0, executor.errors())
        wire.close()
        here.expect(wire.broken >= 4, f"only {wire.broken} commits were broken")
        here.check()
        return wire.broken


def _take_all_connections(stage: Stage, server: PostgresServer) -> None:
    with world(server, latency_ms=40) as here:
        _plant(here, stage.size(40, 500))
        executor = here.executor(concurrency=2)
        until("it is at work", lambda: "SUCCEEDED" in here.status_counts())
        taken: list[Any] = []

        def refused() -> bool:
            # Whoever is first takes the connection that this frees.
            here.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND application_name = 'wallet'"
            )
            with suppress(psycopg2.OperationalError):
                while True:
                    taken.append(psycopg2.connect(here.database.url))
            return "too many clients" in executor.errors()

        until("it is refused a connection", refused)
        for connection in taken:
            connection.close()
        here.until_done()
        here.expect(executor.end() == 0, executor.errors())
        here.check()


@fault(15, "deadlocks and serialization failures between claims, deposits and refunds")
def deadlocks(stage: Stage) -> Counts:
    """Somebody who keeps no order locks the same ten wallets, under both isolation levels."""
    count = stage.size(60, 1_500)
    repeated = deadlocked = serialized = 0
    for isolation in ("read committed", "serializable"):
        with stage.world() as here:
            name = _of(here).name
            stage.server.admin(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'")
            stage.server.admin(
                f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"
            )
            wallets = here.wallets([100 * count] * 10)
            here.due_in([(wallets[n % 10], 100 + n % 3) for n in range(count)])
            here.bank.misbehave("failed_200", match={"amount": 101})
            nuisance = _Nuisance(here.database.url, wallets)
            with ApiServer(here) as api, nuisance:
                fleet = [here.executor() for _ in range(2)]
                for wallet in wallets[:: stage.size(3, 1)]:
                    repeated += pour(api, wallet, [7] * stage.size(4, 60), threads=4)
                # The nuisance goes on, and of what it disturbs only so much a second gets through.
                here.until_done(seconds=stage.size(300, 1_200))
                until("both kinds of trouble were seen", nuisance.made_enough, seconds=30)
            for executor in fleet:
                here.expect(executor.end() == 0, executor.errors())
            here.check()
            deadlocked += here.database.rows(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )[0][0]
            serialized += here.log().count("could not serialize") + nuisance.serialized
    return {
        "withdrawals": 2 * count,
        "deadlocks": deadlocked,
        "serialization_failures": serialized,
        "repeated_requests": repeated,
    }


class _Nuisance:
    """Touches two wallets at a time, the higher one first, which nobody else does."""

    def __init__(self, url: str, wallets: Sequence[int]) -> None:
        self._url = url
        self._wallets = wallets
        self._stop = threading.Event()
        self.deadlocked = self.serialized = self._rounds = 0
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(3)]

    def made_enough(self) -> bool:
        return self._rounds > 20

    def __enter__(self) -> "_Nuisance":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection = psycopg2.connect(self._url)
        turn = number
        while not self._stop.is_set():
            turn += 1
            high = self._wallets[-1 - turn % 5]
            low = self._wallets[turn % 5]
            # One of them keeps the order, so that they meet each other as well as the service.
            pair = (low, high) if number == 0 else (high, low)
            try:
                with connection, connection.cursor() as cursor:
                    for wallet in pair:
                        cursor.execute(
                            "UPDATE wallets_wallet SET updated_at = updated_at WHERE id = %s",
                            (wallet,),
                        )
                        time.sleep(0.03)
            except psycopg2.errors.DeadlockDetected:
                self.deadlocked += 1
            except psycopg2.errors.SerializationFailure:
                self.serialized += 1
            self._rounds += 1
            time.sleep(0.02)
        connection.close()


def _plant(here: World, count: int) -> None:
    wallets = here.wallets([10**9] * 3)
    here.due_in([(wallets[n % 3], 100 + n % 3) for n in range(count)])
    here.bank.misbehave("failed_200", match={"amount": 101})
    here.bank.misbehave("reset_after_pay", match={"amount": 102}, probability=0.3)


def _of(here: World) -> PostgresDatabase:
    database = here.database
    if not isinstance(database, PostgresDatabase):
        raise TypeError("these faults are PostgreSQL's")
    return database
