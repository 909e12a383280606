"""Guards behind guards: what the database, a lock or a second condition stops by itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.test import TestCase, TransactionTestCase, skipUnlessDBFeature

from wallets.domain import gate, ledger
from wallets.domain.errors import LedgerIntegrityError
from wallets.domain.gate import Closed
from wallets.domain.ledger import LockedWallet
from wallets.domain.outcomes import Verdict
from wallets.domain.scheduling import schedule_withdrawal
from wallets.domain.statements import for_database
from wallets.domain.statements.portable import lock_due
from wallets.domain.statements.rows import BEGINNING, BalanceRow, Batch
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.rows import read
from wallets.models import BankGate, Status, Transaction, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import OTHER_WORKER, WORKER, finish, legs, make_due, make_wallet, take
from wallets.tests.racing import race


class StaleWriteTest(TestCase):
    def test_drops_a_refusal_from_a_worker_that_the_database_forgot(self) -> None:
        """A failover lost the commit of its claim; another worker claimed at the same epoch."""
        wallet = make_wallet(100)
        [pk] = make_due(wallet, 30)
        [claimed] = take(worker=OTHER_WORKER).claimed
        with self.assertLogs("wallets.settle", "WARNING"):
            finish(claimed, Verdict.REFUSED, worker=WORKER)
        self.assertEqual(Transaction.objects.get(pk=pk).status, Status.PROCESSING)
        self.assertEqual(legs(pk), [("WALLET", "IN_TRANSIT", 30)])

    def test_writes_nothing_over_a_row_that_changed_since_it_was_read(self) -> None:
        wallet = make_wallet(100)
        [pk] = make_due(wallet, 30)
        [before] = read(Transaction.objects.filter(pk=pk))
        take()
        end = lifecycle.refused_for_funds(before)
        with self.assertRaises(LedgerIntegrityError), transaction.atomic():
            lifecycle.apply([end], locked={}, worker="other", now=database_now())
        self.assertEqual(Transaction.objects.get(pk=pk).status, Status.PROCESSING)

    def test_writes_nothing_over_another_epoch(self) -> None:
        wallet = make_wallet(100)
        [pk] = make_due(wallet, 30)
        take()
        [row] = read(Transaction.objects.filter(pk=pk))
        Transaction.objects.filter(pk=pk).update(epoch=row.epoch + 1)
        with self.assertRaises(LedgerIntegrityError), transaction.atomic():
            locked = ledger.lock_wallets([wallet])
            end = lifecycle.refused(row, reason="bank_refused")
            lifecycle.apply([end], locked=locked, worker="other", now=database_now())
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 70)

    def test_overdraws_no_wallet_even_when_told_to(self) -> None:
        wallet = make_wallet(50)
        with transaction.atomic():
            moved, _ = for_database().write(
                Batch(balances=[BalanceRow(wallet, before=50, delta=-60)]), database_now()
            )
        self.assertEqual((moved, Wallet.objects.get(pk=wallet).balance), (0, 50))

    def test_moves_no_balance_that_is_not_the_one_that_was_read(self) -> None:
        wallet = make_wallet(50)
        with transaction.atomic():
            moved, _ = for_database().write(
                Batch(balances=[BalanceRow(wallet, before=40, delta=-10)]), database_now()
            )
        self.assertEqual((moved, Wallet.objects.get(pk=wallet).balance), (0, 50))


class HeldElsewhere(TransactionTestCase):
    """Two wallets with a withdrawal each, the second wallet's due first; locks meet on them."""

    def setUp(self) -> None:
        gate.ensure_gate()
        self.first, self.second = make_wallet(100), make_wallet(100)
        # Its last version lies behind the other's in the table: an unordered look finds it last.
        Wallet.objects.filter(pk=self.first).update(updated_at=database_now())
        make_due(self.second, 10, ago=timedelta(minutes=2))
        make_due(self.first, 10, ago=timedelta(minutes=1))

    def ways_to_lock(self) -> dict[str, Callable[[], object]]:
        """Everything that locks both wallets, asked in the opposite order."""
        ids = list(Transaction.objects.order_by("execute_at", "id").values_list("pk", flat=True))
        both = [self.second, self.first]
        return {
            "the writer of money": lambda: ledger.lock_wallets(both),
            "a claim": lambda: for_database().lock_work(
                now=database_now(),
                most=10,
                most_lapsed=10,
                share=0,
                since=BEGINNING,
            ),
            "a settlement": lambda: for_database().lock_results(ids, ids),
            "deposits in bulk": lambda: for_database().lock_open_wallets(ids=both, uuids=[]),
        }


@skipUnlessDBFeature("has_select_for_update_nowait")
class LockTest(HeldElsewhere):
    def test_takes_wallets_in_the_order_of_their_ids_whoever_asks(self) -> None:
        """Two who take them in different orders would wait for each other."""
        for name, lock in self.ways_to_lock().items():
            if name == "a settlement":
                take()
            with self.subTest(name):
                self.assertEqual(self.locked_while_the_first_is_held(lock), [])

    def locked_while_the_first_is_held(self, lock: Callable[[], object]) -> list[int]:
        """Which other wallets ``lock`` has by the time it waits for the first."""
        held = threading.Event()

        def hold_the_first() -> list[int]:
            with transaction.atomic():
                Wallet.objects.select_for_update(no_key=True).get(pk=self.first)
                held.set()
                wait_for_a_waiter()
                try:
                    with transaction.atomic():
                        wallets = Wallet.objects.select_for_update(no_key=True, nowait=True)
                        wallets.get(pk=self.second)
                except OperationalError:
                    return [self.second]
                return []

        def lock_both() -> list[int]:
            held.wait()
            with transaction.atomic():
                lock()
            return []

        return race([hold_the_first, lock_both])[0]

    def test_lets_withdrawals_be_scheduled_for_a_wallet_that_is_locked(self) -> None:
        for name, lock in self.ways_to_lock().items():
            if name == "a settlement":
                take()
            with self.subTest(name):
                self.assertTrue(self.schedules_while_held(lock))

    def schedules_while_held(self, lock: Callable[[], object]) -> bool:
        held, tried = threading.Event(), threading.Event()

        def hold() -> bool:
            with transaction.atomic():
                lock()
                held.set()
                return tried.wait(timeout=10)

        def schedule() -> bool:
            held.wait()
            try:
                with patience(milliseconds=1_000):
                    schedule_withdrawal(
                        wallet=self.first,
                        amount=1,
                        currency=None,
                        execute_at=database_now() + timedelta(days=1),
                        request=None,
                    )
            except OperationalError:
                return False
            finally:
                tried.set()
            return True

        return all(race([hold, schedule]))

    def test_decides_nothing_while_another_claim_holds_an_earlier_withdrawal(self) -> None:
        """It would pass over the locked row, and pay a later one of its wallet first."""
        [later] = make_due(self.second, 5, ago=timedelta(seconds=1))
        holding, tried = threading.Event(), threading.Event()

        def half_a_claim() -> Closed | None:
            with transaction.atomic():
                gate.enter()
                lock_due(1, database_now())
                holding.set()
                tried.wait(timeout=10)
            return None

        def another_claim() -> Closed | None:
            holding.wait()
            try:
                return take(worker=OTHER_WORKER).permission.closed
            finally:
                tried.set()

        self.assertEqual(race([half_a_claim, another_claim]), [None, Closed.BUSY])
        self.assertEqual(Transaction.objects.get(pk=later).status, Status.SCHEDULED)

    def test_probes_with_the_head_of_the_queue_although_its_wallet_is_locked(self) -> None:
        past = database_now() - timedelta(seconds=1)
        BankGate.objects.update(
            breaker=BankGate.Breaker.OPEN, retry_at=past, consecutive_failures=10
        )
        head = Transaction.objects.filter(status=Status.SCHEDULED).earliest("execute_at").pk
        locked = threading.Event()

        def a_slow_deposit() -> list[int]:
            with transaction.atomic():
                Wallet.objects.select_for_update(no_key=True).get(pk=self.second)
                locked.set()
                wait_for_a_waiter(at_most=1.0)
            return []

        def probe() -> list[int]:
            locked.wait()
            return [claimed.id for claimed in take().claimed]

        self.assertEqual(race([a_slow_deposit, probe]), [[], [head]])


def wait_for_a_waiter(at_most: float = 10.0) -> None:
    """Until somebody waits for a lock of the open transaction, or for ``at_most`` seconds."""
    polled = threading.Event()
    for _ in range(int(at_most / 0.02)):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks"
                " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
        polled.wait(0.02)


@contextmanager
def patience(*, milliseconds: int) -> Iterator[None]:
    """Wait for no lock for longer, in what is done inside."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {milliseconds:d}")
    yield


class NoTransactionTest(TransactionTestCase):
    def test_moves_no_money_outside_a_transaction(self) -> None:
        wallet = make_wallet(50)
        state = Wallet.objects.get(pk=wallet)
        locked = {wallet: LockedWallet(wallet, state.uuid, state.currency, state.balance)}
        with self.assertRaises(LedgerIntegrityError):
            ledger.post([], locked=locked, now=database_now())
