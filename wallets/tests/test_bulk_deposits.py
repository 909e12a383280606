"""Many deposits at once: what one after the other would have made, and nothing in between."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings, strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase

from wallets.domain.bulk_deposits import MOST_ITEMS, BulkItem, deposit_many
from wallets.domain.deposits import deposit
from wallets.domain.errors import (
    BalanceLimitExceeded,
    CurrencyMismatch,
    DomainError,
    IdempotencyKeyReused,
    WalletNotFound,
)
from wallets.domain.limits import NO_LIMITS, Limits
from wallets.domain.opening import open_wallet
from wallets.domain.receipts import ClientRequest, Receipt
from wallets.domain.wallets import WalletRef
from wallets.models import MAX_BALANCE, LedgerEntry, Transaction, Wallet
from wallets.tests.racing import race

Outcome = Receipt | DomainError | None


NO_TIME = datetime.min.replace(tzinfo=UTC)


def item(
    wallet: int | uuid.UUID | WalletRef,
    amount: int = 5,
    *,
    key: str | None = None,
    currency: str | None = None,
    fingerprint: str = "f",
) -> BulkItem:
    request = ClientRequest(key, fingerprint) if key else None
    return BulkItem(wallet, amount, currency, request)


def one_by_one(
    items: Sequence[BulkItem], *, all_or_nothing: bool, limits: Limits = NO_LIMITS
) -> list[Outcome]:
    """The same by single deposits, which are rolled back if need be."""
    results: list[Outcome] = []
    with transaction.atomic():
        for each in items:
            try:
                results.append(
                    deposit(
                        wallet=each.wallet,
                        amount=each.amount,
                        currency=each.currency,
                        request=each.request,
                        limits=limits,
                    )
                )
            except DomainError as refusal:
                results.append(refusal)
        if all_or_nothing and any(isinstance(each, DomainError) for each in results):
            transaction.set_rollback(True)
    return results


@dataclass(frozen=True)
class Asked:
    wallet: int  # which of two, or neither
    by_uuid: bool
    amount: int
    currency: str | None
    key: str | None
    fingerprint: str


asked = st.builds(
    Asked,
    wallet=st.sampled_from([0, 0, 0, 1, 1, 1, 2]),
    by_uuid=st.booleans(),
    amount=st.one_of(
        st.integers(1, 1_000), st.sampled_from([MAX_BALANCE, MAX_BALANCE // 2, MAX_BALANCE + 1])
    ),
    currency=st.sampled_from([None, "IRR", "IRR", "USD"]),
    key=st.sampled_from([None, "a", "b"]),
    fingerprint=st.sampled_from(["f", "f", "g"]),
)


class _Books:
    """Two wallets and what is told about them, with ids, UUIDs and times made comparable."""

    def __init__(self) -> None:
        self.wallets = [open_wallet(currency="IRR", request=None).wallet for _ in range(2)]

    def item(self, one: Asked) -> BulkItem:
        ref: int | uuid.UUID = uuid.UUID(int=0) if one.by_uuid else 2**70
        if one.wallet < 2:
            wallet = self.wallets[one.wallet]
            ref = wallet.uuid if one.by_uuid else wallet.id
        return item(
            ref, one.amount, key=one.key, currency=one.currency, fingerprint=one.fingerprint
        )

    def told(self, results: Sequence[Outcome]) -> list[object]:
        seen: dict[int, int] = {}
        return [self._plain(result, seen) for result in results]

    def _plain(self, result: Outcome, seen: dict[int, int]) -> object:
        if isinstance(result, DomainError):
            return type(result), {k: v for k, v in result.details.items() if k != "first_used_at"}
        if result is None:
            return None
        made = result.transaction
        assert made is not None
        place = [wallet.id for wallet in self.wallets].index(result.wallet.id)
        assert result.wallet.uuid == self.wallets[place].uuid
        assert result.wallet.updated_at == made.created_at == made.updated_at
        # The same deposit has the same number every time it is told.
        number = seen.setdefault(made.id, len(seen))
        plain = replace(made, id=number, wallet_id=place, created_at=NO_TIME, updated_at=NO_TIME)
        return plain, result.wallet.balance, result.wallet.currency, result.replayed

    def rows(self) -> list[object]:
        return [self._rows_of(wallet.id) for wallet in self.wallets]

    def _rows_of(self, wallet_id: int) -> object:
        made = Transaction.objects.filter(wallet=wallet_id).order_by("pk")
        entries = LedgerEntry.objects.filter(wallet=wallet_id).order_by("pk")
        assert [row.transaction_id for row in entries] == [row.pk for row in made]
        return (
            Wallet.objects.get(pk=wallet_id).balance,
            [(row.amount, row.request_key, row.request_fingerprint) for row in made],
            [(row.amount, row.balance_after, row.debit_account) for row in entries],
        )


class SameAsOneByOneTest(HypothesisTestCase):
    @settings(deadline=None, max_examples=60)
    @given(
        earlier=st.lists(asked, max_size=4),
        batch=st.lists(asked, max_size=10),
        all_or_nothing=st.booleans(),
        limits=st.sampled_from([NO_LIMITS, NO_LIMITS, Limits(balance=1_500)]),
    )
    def test_answers_and_writes_what_single_deposits_would(
        self, earlier: list[Asked], batch: list[Asked], all_or_nothing: bool, limits: Limits
    ) -> None:
        many, single = _Books(), _Books()
        for books in (many, single):
            one_by_one([books.item(one) for one in earlier], all_or_nothing=False)
        made = deposit_many(
            items=[many.item(one) for one in batch], all_or_nothing=all_or_nothing, limits=limits
        )
        expected = one_by_one(
            [single.item(one) for one in batch], all_or_nothing=all_or_nothing, limits=limits
        )
        if None in made:
            # What was rolled back is told by neither side in the same way: compare the rest.
            self.assertEqual(
                [isinstance(each, DomainError) for each in made],
                [isinstance(each, DomainError) for each in expected],
            )
        else:
            self.assertEqual(many.told(made), single.told(expected))
        self.assertEqual(many.rows(), single.rows())


class BulkDepositTest(TestCase):
    def setUp(self) -> None:
        self.wallet = open_wallet(currency="IRR", request=None).wallet.id

    def balance(self) -> int:
        return Wallet.objects.get(pk=self.wallet).balance

    def test_writes_nothing_when_one_of_all_is_refused(self) -> None:
        items = [item(self.wallet), item(self.wallet, currency="USD"), item(self.wallet)]
        first, second, third = deposit_many(items=items, all_or_nothing=True)
        self.assertIsInstance(second, CurrencyMismatch)
        self.assertEqual((first, third, self.balance()), (None, None, 0))

    def test_goes_past_what_is_refused_otherwise(self) -> None:
        items = [item(self.wallet), item(2**40), item(self.wallet)]
        results = deposit_many(items=items, all_or_nothing=False)
        self.assertIsInstance(results[1], WalletNotFound)
        self.assertEqual(self.balance(), 10)

    def test_replays_a_key_that_comes_twice_in_one_batch(self) -> None:
        items = [item(self.wallet, key="a"), item(self.wallet), item(self.wallet, key="a")]
        first, _, again = deposit_many(items=items, all_or_nothing=True)
        assert isinstance(first, Receipt)
        self.assertEqual(again, replace(first, replayed=True))
        self.assertEqual(self.balance(), 10)

    def test_refuses_a_key_that_comes_twice_with_different_requests(self) -> None:
        items = [item(self.wallet, key="a"), item(self.wallet, key="a", fingerprint="g")]
        _, second = deposit_many(items=items, all_or_nothing=False)
        self.assertIsInstance(second, IdempotencyKeyReused)

    def test_replays_a_whole_batch_to_the_byte(self) -> None:
        items = [item(self.wallet, n, key=str(n)) for n in range(1, 6)]
        first = deposit_many(items=items, all_or_nothing=True)
        again = deposit_many(items=items, all_or_nothing=True)
        self.assertEqual(again, [replace(r, replayed=True) for r in first if r])  # type: ignore[type-var]
        self.assertEqual(self.balance(), 15)

    def test_counts_the_batch_itself_towards_a_limit(self) -> None:
        items = [item(self.wallet, 60), item(self.wallet, 60), item(self.wallet, 40)]
        results = deposit_many(items=items, all_or_nothing=False, limits=Limits(balance=100))
        self.assertIsInstance(results[1], BalanceLimitExceeded)
        self.assertEqual(self.balance(), 100)

    def test_does_not_find_the_wallet_of_another_account(self) -> None:
        items = [item(WalletRef(self.wallet, tenant_id=7))]
        self.assertIsInstance(deposit_many(items=items, all_or_nothing=False)[0], WalletNotFound)

    def test_takes_an_empty_batch(self) -> None:
        self.assertEqual(deposit_many(items=[], all_or_nothing=True), [])

    def test_takes_no_more_than_the_most(self) -> None:
        with self.assertRaises(ValueError):
            deposit_many(items=[item(self.wallet)] * (MOST_ITEMS + 1), all_or_nothing=False)

    def test_takes_as_many_statements_for_many_as_for_one(self) -> None:
        wallets = [open_wallet(currency="IRR", request=None).wallet.id for _ in range(20)]
        counts = []
        for size in (1, 200):
            items = [item(wallets[n % 20], key=f"{size}-{n}") for n in range(size)]
            with CaptureQueriesContext(connection) as queries:
                deposit_many(items=items, all_or_nothing=True)
            counts.append(sum("PREPARE" not in query["sql"] for query in queries))
        if connection.vendor == "postgresql":
            self.assertEqual(counts[0], counts[1])
            self.assertLessEqual(counts[1], 6)


class BulkDepositRaceTest(TransactionTestCase):
    def test_loses_nothing_among_single_deposits_and_batches_in_other_orders(self) -> None:
        wallets = [open_wallet(currency="IRR", request=None).wallet.id for _ in range(8)]

        def batches(order: list[int]) -> None:
            for number in range(5):
                items = [item(wallet, 1, key=f"k{number}") for wallet in order * 5]
                deposit_many(items=items, all_or_nothing=True)

        def singles() -> None:
            for number in range(40):
                wallet = wallets[number % 8]
                request = ClientRequest(f"k{number // 8}", "f")
                deposit(wallet=wallet, amount=1, currency=None, request=request)

        race([lambda: batches(wallets), lambda: batches(wallets[::-1]), singles, singles])
        # Five keys a wallet, whoever came first with each.
        balances = set(Wallet.objects.values_list("balance", flat=True))
        self.assertEqual(balances, {5})
        self.assertEqual(LedgerEntry.objects.count(), 40)
