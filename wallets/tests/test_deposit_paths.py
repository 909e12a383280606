"""The deposit in one statement beside the one step by step: the same answers and the same rows."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from unittest import mock, skipUnless

from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings, strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase

from wallets.domain.deposits import deposit, deposit_step_by_step
from wallets.domain.errors import DomainError
from wallets.domain.opening import open_wallet
from wallets.domain.receipts import ClientRequest, Receipt
from wallets.domain.statements import postgres
from wallets.models import MAX_BALANCE, LedgerEntry, Transaction, Wallet
from wallets.tests.racing import race

only_postgres = skipUnless(connection.vendor == "postgresql", "one statement on PostgreSQL only")
Deposit = Callable[..., Receipt]


NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    amount: int
    currency: str | None
    key: str | None
    fingerprint: str
    by_uuid: bool
    wallet_exists: bool

    def of(self, make: Deposit, wallet: Wallet) -> Receipt:
        ref: int | uuid.UUID = wallet.uuid if self.by_uuid else wallet.pk
        if not self.wallet_exists:
            ref = uuid.UUID(int=0) if self.by_uuid else 2**70
        request = ClientRequest(self.key, self.fingerprint) if self.key else None
        return make(wallet=ref, amount=self.amount, currency=self.currency, request=request)


asked = st.builds(
    Asked,
    amount=st.one_of(
        st.integers(1, 1_000),
        st.sampled_from([MAX_BALANCE, MAX_BALANCE - 1, MAX_BALANCE // 2, MAX_BALANCE + 1]),
    ),
    currency=st.sampled_from([None, "IRR", "IRR", "USD"]),
    key=st.sampled_from([None, "a", "b", "c"]),
    fingerprint=st.sampled_from(["f", "f", "g"]),
    by_uuid=st.booleans(),
    wallet_exists=st.sampled_from([True] * 9 + [False]),
)


class _Told:
    """What one wallet's caller and its rows tell, with ids, UUIDs and times made comparable."""

    def __init__(self, make: Deposit) -> None:
        self._make = make
        opened = open_wallet(currency="IRR", request=None).wallet
        self._wallet = Wallet.objects.get(pk=opened.id)
        self._made: list[int] = []

    def answer(self, one: Asked) -> object:
        try:
            receipt = one.of(self._make, self._wallet)
        except DomainError as refusal:
            details = {k: v for k, v in refusal.details.items() if k != "first_used_at"}
            return type(refusal), details
        return self._plain(receipt)

    def _plain(self, receipt: Receipt) -> object:
        made = receipt.transaction
        assert made is not None
        assert receipt.wallet.id == made.wallet_id == self._wallet.pk
        assert receipt.wallet.uuid == self._wallet.uuid
        assert receipt.wallet.created_at == self._wallet.created_at
        # One moment for all that a deposit writes, the first time and in every replay.
        assert receipt.wallet.updated_at == made.created_at == made.updated_at
        if not receipt.replayed:
            self._made.append(made.id)
        wallet = (receipt.wallet.currency, receipt.wallet.balance)
        plain = replace(
            made,
            id=self._made.index(made.id),
            wallet_id=0,
            created_at=NO_TIME,
            updated_at=NO_TIME,
        )
        return plain, (wallet, receipt.replayed)

    def rows(self) -> object:
        wallet = Wallet.objects.get(pk=self._wallet.pk)
        made = Transaction.objects.filter(wallet=wallet).order_by("pk")
        entries = LedgerEntry.objects.filter(wallet=wallet).order_by("pk")
        times = [row.created_at for row in entries]
        assert times == sorted(times) == [row.created_at for row in made]
        assert [row.transaction_id for row in entries] == [row.pk for row in made] == self._made
        if times:
            assert wallet.updated_at == times[-1]
        hidden = ("id", "wallet_id", "transaction_id", "created_at", "updated_at")
        return wallet.balance, [
            [(k, v) for k, v in vars(row).items() if k not in hidden and k != "_state"]
            for row in (*made, *entries)
        ]


@only_postgres
class SameDepositTest(HypothesisTestCase):
    @settings(deadline=None)
    @given(st.lists(asked, min_size=1, max_size=12))
    def test_answers_and_writes_the_same_on_both_paths(self, sequence: list[Asked]) -> None:
        at_once, step_by_step = _Told(deposit), _Told(deposit_step_by_step)
        for one in sequence:
            self.assertEqual(at_once.answer(one), step_by_step.answer(one))
        self.assertEqual(at_once.rows(), step_by_step.rows())


@only_postgres
class OneRoundTripTest(TransactionTestCase):
    def setUp(self) -> None:
        self.wallet = open_wallet(currency="IRR", request=None).wallet.id
        self.deposit(None)  # prepares

    def deposit(self, key: str | None) -> Receipt:
        request = ClientRequest(key, "f") if key else None
        return deposit(wallet=self.wallet, amount=5, currency="IRR", request=request)

    def test_takes_one_statement_without_begin_and_commit(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            self.deposit("a")
        self.assertEqual(len(queries), 1)
        self.assertTrue(queries[0]["sql"].startswith("EXECUTE"))

    def test_replays_the_first_answer_to_the_byte(self) -> None:
        first = self.deposit("a")
        self.deposit("b")
        again = self.deposit("a")
        self.assertEqual(again, replace(first, replayed=True))

    def test_leaves_nothing_behind_in_a_transaction_that_rolls_back(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            self.deposit("a")
            raise ZeroDivisionError
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 5)
        self.assertFalse(self.deposit("a").replayed)

    def test_prepares_again_on_a_new_connection(self) -> None:
        connection.close()
        with CaptureQueriesContext(connection) as queries:
            self.deposit("a")
            self.deposit("b")
        self.assertEqual(
            [query["sql"].split()[0] for query in queries], ["PREPARE", "EXECUTE", "EXECUTE"]
        )

    def test_sends_the_text_each_time_behind_a_transaction_pooler(self) -> None:
        pooled = mock.patch.dict(connection.settings_dict, {"DISABLE_SERVER_SIDE_CURSORS": True})
        with pooled, CaptureQueriesContext(connection) as queries:
            self.deposit("a")
        self.assertEqual([query["sql"].split()[0] for query in queries], ["WITH"])

    def test_works_on_when_the_server_has_forgotten_the_statement(self) -> None:
        for_others = mock.patch.object(postgres._DEPOSIT_BY_ID, "_forgotten", False)
        for_others.start()
        self.addCleanup(for_others.stop)
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        self.assertFalse(self.deposit("a").replayed)
        self.assertTrue(self.deposit("a").replayed)
        with transaction.atomic():
            self.deposit("b")
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 15)

    def test_passes_on_what_is_no_refusal(self) -> None:
        locked, done = threading.Event(), threading.Event()

        def hold_the_wallet() -> None:
            with transaction.atomic():
                Wallet.objects.select_for_update(no_key=True).get(pk=self.wallet)
                locked.set()
                done.wait()

        def deposit_meanwhile() -> None:
            locked.wait()
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20ms'")
            try:
                with self.assertRaises(OperationalError):
                    self.deposit("a")
            finally:
                done.set()

        race([hold_the_wallet, deposit_meanwhile])
        self.assertFalse(self.deposit("a").replayed)

    def deposit_25(self, number: int) -> None:
        for each in range(25):
            self.deposit(f"{number}-{each}")

    def test_keeps_a_hot_wallets_times_in_the_order_of_its_entries(self) -> None:
        race([partial(self.deposit_25, n) for n in range(6)])
        entries = LedgerEntry.objects.filter(wallet=self.wallet).order_by("id")
        times = list(entries.values_list("created_at", flat=True))
        self.assertEqual(len(times), 151)
        self.assertEqual(times, sorted(times))
