"""How PostgreSQL runs the hot queries over a table of some size: by their indexes, unsorted."""

import importlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import skipUnless

from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from wallets.api.cursors import Cursor
from wallets.api.reads import recent_transactions, transactions_page
from wallets.domain.deposits import deposit, deposit_step_by_step
from wallets.domain.gate import ensure_gate
from wallets.domain.outcomes import Verdict
from wallets.domain.past import balance_at, statement
from wallets.domain.receipts import ClientRequest
from wallets.domain.withdrawals.agenda import look_ahead
from wallets.domain.withdrawals.claim import claim
from wallets.domain.withdrawals.settle import Result, settle
from wallets.models import Status, Transaction, Wallet
from wallets.tests.money import RANDOM, WORKER, outcome, policy

_TRANSACTIONS = 100_000
_WALLETS = 2_000
# Rows a sort may have: those of a batch, put in the order of their locks.
_BATCH = 1_000

# The first wallet has the oldest tenth of the rows.
_FILL = """
    INSERT INTO wallets_wallet (uuid, currency, balance, created_at, updated_at)
    SELECT gen_random_uuid(), 'IRR', 1000000, now(), now() FROM generate_series(1, {wallets});

    WITH w AS (SELECT min(id) AS first FROM wallets_wallet)
    INSERT INTO wallets_transaction
        (wallet_id, type, status, amount, execute_at, idempotency_key, request_key,
         request_fingerprint, epoch, maybe_sent, created_at, updated_at)
    SELECT w.first + CASE WHEN n <= {transactions} / 10 THEN 0 ELSE n % {wallets} END,
           CASE WHEN kind THEN 'WITHDRAWAL' ELSE 'DEPOSIT' END,
           CASE WHEN n % 50 = 0 THEN 'SCHEDULED' ELSE 'SUCCEEDED' END, 1,
           CASE WHEN kind THEN now() + make_interval(secs => n / 10 - 6000) END,
           CASE WHEN kind THEN gen_random_uuid() END,
           CASE WHEN kind THEN NULL ELSE 'key-' || n END,
           CASE WHEN kind THEN NULL ELSE repeat('0', 64) END,
           CASE WHEN kind AND n % 50 <> 0 THEN 1 ELSE 0 END, false, now(), now()
    FROM w, (SELECT n, n % 5 = 0 AS kind FROM generate_series(1, {transactions}) AS n) AS rows;

    INSERT INTO wallets_ledgerentry
        (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
         created_at)
    SELECT id, wallet_id, 'BANK', 'WALLET', 1, 1000000, now() FROM wallets_transaction
    WHERE type = 'DEPOSIT';

    INSERT INTO wallets_statuschange
        (transaction_id, from_status, to_status, reason, worker, created_at)
    SELECT id, '', status, 'scheduled', '', now() FROM wallets_transaction
    WHERE type = 'WITHDRAWAL';
"""


@skipUnless(connection.vendor == "postgresql", "plans are PostgreSQL's")
class PlanTest(TestCase):
    wallet: Wallet

    @classmethod
    def setUpTestData(cls) -> None:
        ensure_gate()
        with connection.cursor() as cursor:
            cursor.execute(_FILL.format(wallets=_WALLETS, transactions=_TRANSACTIONS))
            cursor.execute("ANALYZE")
        cls.wallet = Wallet.objects.earliest("pk")

    def nodes(self, work: Callable[[], object]) -> list[dict[str, Any]]:
        """The nodes of the plans of all the statements that ``work`` runs."""
        with CaptureQueriesContext(connection) as queries:
            work()
        found: list[dict[str, Any]] = []
        for query in queries:
            if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "PREPARE")):
                found += self._explained(query["sql"])
        self.assertTrue(found)
        return found

    def _explained(self, sql: str) -> Iterator[dict[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (FORMAT JSON) " + sql.replace("%", "%%"), ())
            plan = cursor.fetchone()[0]
        plans = json.loads(plan) if isinstance(plan, str) else plan
        return _walk(plans[0]["Plan"])

    def assert_hot(self, work: Callable[[], object], *indexes: str) -> None:
        """It reads no table from end to end, sorts no more than a batch, and uses the indexes."""
        nodes = self.nodes(work)
        scanned = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
        # One row each: the gate.
        self.assertLessEqual(set(scanned), {"wallets_bankgate"})
        for node in nodes:
            if "Sort" in node["Node Type"]:
                self.assertLessEqual(node["Plan Rows"], _BATCH, node)
        self.assertLessEqual(set(indexes), {node.get("Index Name") for node in nodes})

    def assert_unsorted(self, work: Callable[[], object], *indexes: str) -> None:
        self.assert_hot(work, *indexes)
        kinds = {node["Node Type"] for node in self.nodes(work)}
        self.assertFalse({"Sort", "Incremental Sort"} & kinds)

    def test_looks_ahead_by_both_queues(self) -> None:
        self.assert_unsorted(look_ahead, "transaction_due", "transaction_lease")

    def test_claims_from_the_heads_of_the_queues(self) -> None:
        def take() -> None:
            claim(worker=WORKER, wanted=100, policy=policy(), random_source=RANDOM)

        self.assert_hot(take, "transaction_due", "transaction_lease", "wallets_wallet_pkey")

    def test_takes_the_due_rows_in_their_order_without_a_sort_below_the_limit(self) -> None:
        nodes = self.nodes(
            lambda: claim(worker=WORKER, wanted=100, policy=policy(), random_source=RANDOM)
        )
        limits = [node for node in nodes if node["Node Type"] == "Limit"]
        below = [each["Node Type"] for limit in limits for each in _walk(limit)]
        self.assertIn("LockRows", below)
        self.assertNotIn("Sort", below)

    def test_settles_by_primary_keys(self) -> None:
        batch = claim(worker=WORKER, wanted=100, policy=policy(), random_source=RANDOM)
        results = [
            Result(each.id, each.epoch, outcome(Verdict.PAID), brought_at=1.0)
            for each in batch.claimed
        ]
        self.assertEqual(len(results), 100)
        self.assert_hot(
            lambda: settle(results, worker=WORKER, policy=policy(), random_source=RANDOM),
            "wallets_transaction_pkey",
            "wallets_wallet_pkey",
        )

    def test_settles_by_primary_keys_also_with_statistics_that_know_no_processing_row(self) -> None:
        # ANALYZE ran before anything was claimed: by the statistics PROCESSING does not occur.
        batch = claim(worker=WORKER, wanted=10, policy=policy(), random_source=RANDOM)
        [first, *_] = batch.claimed
        result = Result(first.id, first.epoch, outcome(Verdict.PAID), brought_at=1.0)
        nodes = self.nodes(
            lambda: settle([result], worker=WORKER, policy=policy(), random_source=RANDOM)
        )
        self.assertNotIn("transaction_lease", {node.get("Index Name") for node in nodes})

    def test_deposits_by_unique_keys(self) -> None:
        for ref in (self.wallet.pk, self.wallet.uuid):
            for make in (deposit, deposit_step_by_step):
                request = ClientRequest(str(uuid.uuid4()), "f")
                self.assert_hot(
                    lambda make=make, ref=ref, request=request: make(  # type: ignore[misc]
                        wallet=ref, amount=1, currency=None, request=request
                    ),
                    "transaction_request_key_unique",
                )

    def test_reads_the_newest_transactions_of_a_wallet_that_has_been_quiet(self) -> None:
        self.assert_unsorted(lambda: recent_transactions(self.wallet.pk), "transaction_wallet_page")

    def test_pages_through_a_wallet_in_both_directions(self) -> None:
        deep = Transaction.objects.filter(wallet=self.wallet).order_by("pk")[5_000].pk
        for cursor in (None, Cursor(older=True, id=deep), Cursor(older=False, id=deep)):
            for filters in ({}, {"status": Status.SUCCEEDED}):
                # PostgreSQL 18 sorts what the index gave for some of these, a batch at the most.
                self.assert_hot(
                    lambda cursor=cursor, filters=filters: transactions_page(  # type: ignore[misc]
                        self.wallet.pk, filters=filters, cursor=cursor, limit=50
                    ),
                    "transaction_wallet_page",
                )

    def test_finds_a_wallets_balance_at_a_moment_by_its_entries(self) -> None:
        at = self.wallet.created_at
        self.assert_hot(lambda: balance_at(wallet=self.wallet, at=at), "entry_wallet_order")

    def test_states_an_account_by_its_entries(self) -> None:
        made = statement(wallet=self.wallet, since=None, until=None)
        self.assert_unsorted(lambda: made.lines(most=100), "entry_wallet_order")

    def test_keeps_the_vacuum_settings_of_the_migration(self) -> None:
        module = importlib.import_module("wallets.migrations.0007_vacuum_settings")
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL")
            found = {
                table: dict(each.split("=") for each in options)
                for table, options in cursor.fetchall()
            }
        for table, settings in module.SETTINGS.items():
            self.assertEqual(found[table], settings)


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _walk(child)
