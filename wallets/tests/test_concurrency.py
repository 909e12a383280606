"""Everything at once: no unit lost, no order broken, no deadlock."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial

from django.db import connection, transaction
from django.db.models import Sum
from django.test import TransactionTestCase, skipUnlessDBFeature

from wallets.domain.deposits import deposit
from wallets.domain.gate import Closed, ensure_gate
from wallets.domain.outcomes import Verdict
from wallets.domain.receipts import ClientRequest, Receipt
from wallets.domain.scheduling import schedule_withdrawal
from wallets.domain.withdrawals.claim import Claimed, claim
from wallets.domain.withdrawals.settle import Result, settle
from wallets.models import Account, LedgerEntry, Status, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import make_due, make_wallet, outcome, policy
from wallets.tests.racing import race


def in_transit() -> int:
    def total(**leg: str) -> int:
        return LedgerEntry.objects.filter(**leg).aggregate(sum=Sum("amount"))["sum"] or 0

    return total(credit_account=Account.IN_TRANSIT) - total(debit_account=Account.IN_TRANSIT)


def drain(worker: uuid.UUID, verdict_of: Callable[[Claimed], Verdict]) -> list[int]:
    """What an executor does, without a bank: claim and settle until nothing is due."""
    rules, source, taken = policy(), random.Random(worker.int), []
    while True:
        batch = claim(worker=worker, wanted=7, policy=rules, random_source=source)
        if batch.permission.closed is Closed.BUSY:
            continue
        results = [
            Result(
                c.id,
                c.epoch,
                outcome(verdict_of(c), reference=str(c.id)),
                brought_at=1.0,
            )
            for c in batch.claimed
        ]
        taken += [c.id for c in batch.claimed]
        if results:
            settle(results, worker=worker, policy=rules, random_source=source)
        if batch.drained and not batch.taken:
            return taken


class DepositRaceTest(TransactionTestCase):
    def test_lands_every_one_of_sixty_deposits_on_six_threads(self) -> None:
        wallet = make_wallet()

        def ten() -> None:
            for _ in range(10):
                deposit(wallet=wallet, amount=7, currency=None, request=None)

        race([ten] * 6)
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 420)
        chain = LedgerEntry.objects.filter(wallet=wallet).order_by("id")
        self.assertEqual(
            list(chain.values_list("balance_after", flat=True)), list(range(7, 421, 7))
        )

    def test_applies_one_key_once_for_twenty_threads(self) -> None:
        wallet = make_wallet()
        request = ClientRequest("same", "f")

        def once() -> Receipt:
            return deposit(wallet=wallet, amount=5, currency=None, request=request)

        receipts = race([once] * 20)
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 5)
        self.assertEqual(sum(not receipt.replayed for receipt in receipts), 1)
        self.assertEqual(len({(r.wallet, r.transaction) for r in receipts}), 1)

    def test_schedules_one_key_once_for_twenty_threads(self) -> None:
        wallet = make_wallet()
        execute_at = database_now().replace(year=2199)

        def once() -> Receipt:
            return schedule_withdrawal(
                wallet=wallet,
                amount=5,
                currency=None,
                execute_at=execute_at,
                request=ClientRequest("same", "f"),
            )

        receipts = race([once] * 20)
        self.assertEqual(Transaction.objects.filter(type=Type.WITHDRAWAL).count(), 1)
        self.assertEqual(sum(not receipt.replayed for receipt in receipts), 1)


class ExecutorRaceTest(TransactionTestCase):
    def setUp(self) -> None:
        ensure_gate()

    def test_takes_disjoint_rows_and_decides_them_as_one_worker_would(self) -> None:
        chance = random.Random(11)
        amounts = {make_wallet(400): [chance.randint(1, 40) for _ in range(40)] for _ in range(5)}
        ids = {wallet: make_due(wallet, *each) for wallet, each in amounts.items()}

        taken = race(
            [partial(drain, uuid.UUID(int=n), lambda _: Verdict.PAID) for n in range(1, 5)]
        )

        flat = [pk for each in taken for pk in each]
        self.assertEqual(len(flat), len(set(flat)))
        for wallet, each in amounts.items():
            left, expected = 400, []
            for amount in each:
                expected.append("SUCCEEDED" if amount <= left else "FAILED")
                left -= amount if amount <= left else 0
            rows = Transaction.objects.in_bulk(ids[wallet])
            self.assertEqual([rows[pk].status for pk in ids[wallet]], expected)
            self.assertEqual(Wallet.objects.get(pk=wallet).balance, left)
        self.assertEqual(in_transit(), 0)

    def test_loses_nothing_with_deposits_and_refunds_in_between(self) -> None:
        wallets = [make_wallet(1_000) for _ in range(4)]
        for wallet in wallets:
            make_due(wallet, *[10] * 40)

        def deposits() -> list[int]:
            for n in range(60):
                deposit(wallet=wallets[n % 4], amount=3, currency=None, request=None)
            return []

        def refuse_odd(claimed: Claimed) -> Verdict:
            return Verdict.REFUSED if claimed.id % 2 else Verdict.PAID

        works: list[Callable[[], list[int]]] = [deposits, deposits]
        works += [partial(drain, uuid.UUID(int=n), refuse_odd) for n in range(1, 4)]
        race(works)

        paid = Transaction.objects.filter(type=Type.WITHDRAWAL, status=Status.SUCCEEDED)
        paid_out = paid.aggregate(sum=Sum("amount"))["sum"] or 0
        balances = Wallet.objects.aggregate(sum=Sum("balance"))["sum"]
        self.assertEqual(balances + paid_out, 4_000 + 2 * 60 * 3)
        self.assertEqual(in_transit(), 0)

    def test_meets_no_deadlock_in_a_thousand_opposite_operations(self) -> None:
        wallets = [make_wallet(10_000) for _ in range(10)]
        for wallet in wallets:
            make_due(wallet, *[1] * 25)
        size = 125 if connection.vendor == "postgresql" else 25

        def deposits(order: list[int]) -> list[int]:
            for n in range(size):
                deposit(wallet=order[n % 10], amount=1, currency=None, request=None)
            return []

        # A deadlock would be an OperationalError and fail the race.
        race(
            [
                *[partial(drain, uuid.UUID(int=n), lambda _: Verdict.REFUSED) for n in (1, 2)],
                *[partial(deposits, wallets) for _ in range(3)],
                *[partial(deposits, wallets[::-1]) for _ in range(3)],
            ]
        )
        balances = Wallet.objects.aggregate(sum=Sum("balance"))["sum"]
        self.assertEqual(balances, 100_000 + 6 * size)

    @skipUnlessDBFeature("has_select_for_update_skip_locked")
    def test_sees_the_head_of_the_queue_although_its_wallet_is_locked(self) -> None:
        wallet = make_wallet(100)
        head = make_due(wallet, 10, 10)
        [tail] = make_due(make_wallet(100), 10)
        locked = threading.Event()

        def hold_the_wallet() -> list[int]:
            with transaction.atomic():
                Wallet.objects.select_for_update(no_key=True).get(pk=wallet)
                locked.set()
                time.sleep(0.3)
            return []

        def claiming() -> list[int]:
            locked.wait()
            batch = claim(
                worker=uuid.UUID(int=1),
                wanted=3,
                policy=policy(),
                random_source=random.Random(1),
            )
            return [claimed.id for claimed in batch.claimed]

        self.assertEqual(race([hold_the_wallet, claiming]), [[], [*head, tail]])
