"""The audit passes on true books and names each row that is spoilt."""

import json
import threading
from collections.abc import Callable
from io import StringIO
from typing import Any
from unittest import skipUnless

from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import TestCase, TransactionTestCase

from wallets.domain.audit import RULES, Finding, Report, audit
from wallets.domain.audit.guards import expected_triggers
from wallets.domain.audit.snapshot import snapshot
from wallets.migrations import _append_only
from wallets.models import MAX_BALANCE, BankCall, LedgerEntry, StatusChange, Wallet
from wallets.tests import books
from wallets.tests.spoil import (
    drop_constraint,
    drop_trigger,
    sql,
    triggers,
    undone,
    unguarded,
)

POSTGRES = connection.vendor == "postgresql"
ENTRY = "wallets_ledgerentry"
TRANSACTION = "wallets_transaction"
WALLET = "wallets_wallet"
MONEY_CHECKS = (
    (TRANSACTION, "transaction_amount_positive"),
    (ENTRY, "entry_amount_positive"),
    (ENTRY, "entry_balance_not_negative"),
    (WALLET, "wallet_balance_not_negative"),
)


def found(report: Report, rule: str) -> Finding:
    return next(finding for finding in report.findings if finding.rule == rule)


def names(report: Report) -> set[str]:
    return {finding.rule for finding in report.broken}


class TrueBooksTest(TestCase):
    def test_passes_on_an_empty_database(self) -> None:
        self.assertEqual(names(audit()), set())

    def test_passes_on_hundreds_of_random_operations(self) -> None:
        books.random_books(operations=300, seed=20260321)
        report = audit()
        self.assertEqual([f for f in report.findings if not f.holds], [])
        self.assertEqual(len(report.findings), len(RULES))
        checked = found(report, "balance_after_chain").counts["entries"]
        self.assertEqual(checked, LedgerEntry.objects.count())

    def test_counts_and_sums_what_it_checked(self) -> None:
        wallet, euros = books.open_wallet(), books.open_wallet(currency="EUR")
        books.one_of_each(wallet)
        books.deposit(euros, 77)
        report = audit()
        self.assertEqual(found(report, "wallet_balance_equals_entries").counts, {"wallets": 2})
        self.assertEqual(
            found(report, "conservation").sums["IRR"],
            {
                "wallets": 8_300,
                "in_transit": 500,
                "paid_out": 1_600,
                "deposits": 10_000,
                "returns": 400,
            },
        )
        self.assertEqual(found(report, "conservation").sums["EUR"]["wallets"], 77)
        self.assertEqual(
            found(report, "in_transit_equals_processing").sums[""],
            {"in_transit": 500, "processing": 500},
        )

    def test_adds_up_more_money_than_64_bits_hold(self) -> None:
        for _ in range(3):
            wallet = books.open_wallet()
            books.deposit(wallet, MAX_BALANCE)
            books.succeeded(wallet, MAX_BALANCE)
            books.deposit(wallet, MAX_BALANCE)
        report = audit()
        self.assertEqual(names(report), set())
        self.assertEqual(found(report, "conservation").sums["IRR"]["deposits"], 6 * MAX_BALANCE)


class SpoiltBooksTest(TestCase):
    """One row is spoilt; ``self.rows`` holds a transaction in every state."""

    def setUp(self) -> None:
        self.other = books.open_wallet()
        books.deposit(self.other, 5_000)
        self.wallet = books.open_wallet()
        self.rows = books.one_of_each(self.wallet)
        self.assertEqual(names(audit()), set(), "the books were wrong before they were spoilt")

    def spoil(self, *statement: Any, without: tuple[tuple[str, str], ...] = ()) -> Report:
        with undone():
            with unguarded(*without):
                sql(*statement)
            return audit()

    def assert_named(self, report: Report, rule: str, **ids: object) -> None:
        shown = found(report, rule).shown
        fits = [each for each in shown if ids.items() <= each.items()]
        self.assertTrue(fits, f"{rule} does not name {ids}: {shown}; broken: {names(report)}")

    def entry(self, state: str, debit: str) -> LedgerEntry:
        return LedgerEntry.objects.get(transaction=self.rows[state], debit_account=debit)

    def test_names_a_wallet_whose_balance_was_changed(self) -> None:
        report = self.spoil(
            f"UPDATE {WALLET} SET balance = balance + 1 WHERE id = %s", self.wallet.pk
        )
        self.assert_named(report, "wallet_balance_equals_entries", wallet_id=self.wallet.pk)
        self.assert_named(report, "conservation", currency="IRR")

    def test_names_the_entry_where_the_chain_breaks(self) -> None:
        entry = self.entry("refused", "WALLET")
        report = self.spoil(
            f"UPDATE {ENTRY} SET balance_after = balance_after + 5 WHERE id = %s", entry.pk
        )
        self.assert_named(
            report, "balance_after_chain", entry_id=entry.pk, balance_after=entry.balance_after + 5
        )
        self.assertEqual(names(report), {"balance_after_chain"})

    def test_names_a_first_entry_that_does_not_start_from_nothing(self) -> None:
        entry = self.entry("deposit", "BANK")
        report = self.spoil(f"UPDATE {ENTRY} SET balance_after = 1 WHERE id = %s", entry.pk)
        self.assert_named(report, "balance_after_chain", entry_id=entry.pk, balance_before=0)

    def test_names_entries_whose_order_was_swapped(self) -> None:
        first, second = self.entry("succeeded", "WALLET"), self.entry("refused", "WALLET")
        report = self.spoil(f"UPDATE {ENTRY} SET id = id + 1000000 WHERE id = %s", first.pk)
        self.assert_named(report, "balance_after_chain", entry_id=first.pk + 1_000_000)
        self.assertGreater(second.pk, first.pk)

    def test_names_a_deleted_entry(self) -> None:
        entry = self.entry("deposit", "BANK")
        report = self.spoil(f"DELETE FROM {ENTRY} WHERE id = %s", entry.pk)
        self.assert_named(report, "wallet_balance_equals_entries", wallet_id=self.wallet.pk)
        self.assert_named(
            report, "entries_fit_status", transaction_id=entry.transaction_id, deposited=0
        )

    def test_names_an_entry_moved_to_another_wallet(self) -> None:
        entry = self.entry("deposit", "BANK")
        report = self.spoil(
            f"UPDATE {ENTRY} SET wallet_id = %s WHERE id = %s", self.other.pk, entry.pk
        )
        self.assert_named(
            report,
            "entries_fit_status",
            transaction_id=entry.transaction_id,
            wallet_id=self.wallet.pk,
            entries_wallet_id=self.other.pk,
        )

    def test_names_a_transaction_whose_amount_was_changed(self) -> None:
        row = self.rows["succeeded"]
        report = self.spoil(f"UPDATE {TRANSACTION} SET amount = 401 WHERE id = %s", row.pk)
        self.assert_named(report, "entries_fit_status", transaction_id=row.pk, amount=401)
        self.assert_named(report, "conservation", currency="IRR")
        self.assert_named(report, "returns_fit", returned_withdrawal_id=row.pk)

    def test_names_every_status_that_was_changed_by_hand(self) -> None:
        # An unclaimed failure that becomes SCHEDULED again needs its reason cleared to be legal.
        for state, status in (
            ("scheduled", "SUCCEEDED"),
            ("scheduled", "PROCESSING"),
            ("processing", "SUCCEEDED"),
            ("processing", "SCHEDULED"),
            ("succeeded", "PROCESSING"),
            ("succeeded", "FAILED"),
            ("refused", "SUCCEEDED"),
            ("failed_for_funds", "SCHEDULED"),
            ("deposit", "PROCESSING"),
            ("returned", "FAILED"),
        ):
            with self.subTest(state=state, status=status):
                row = self.rows[state]
                report = self.spoil(
                    f"UPDATE {TRANSACTION} SET status = %s WHERE id = %s",
                    status,
                    row.pk,
                    without=tuple((TRANSACTION, name) for name in STATUS_CHECKS),
                )
                rule = "history_fits_status" if row.type == "WITHDRAWAL" else "entries_fit_status"
                self.assert_named(report, rule, transaction_id=row.pk, status=status)

    def test_names_a_processing_withdrawal_that_holds_nothing(self) -> None:
        entry = self.entry("processing", "WALLET")
        report = self.spoil(f"DELETE FROM {ENTRY} WHERE id = %s", entry.pk)
        self.assert_named(
            report,
            "in_transit_equals_processing",
            transaction_id=entry.transaction_id,
            in_transit=0,
            processing=200,
        )

    def test_names_money_in_transit_for_nobody(self) -> None:
        entry = self.entry("succeeded", "IN_TRANSIT")
        report = self.spoil(f"DELETE FROM {ENTRY} WHERE id = %s", entry.pk)
        self.assert_named(
            report,
            "in_transit_equals_processing",
            transaction_id=entry.transaction_id,
            in_transit=400,
            processing=0,
        )

    def test_names_a_failure_without_a_claim_that_is_not_about_funds(self) -> None:
        row = self.rows["failed_for_funds"]
        report = self.spoil(
            f"UPDATE {TRANSACTION} SET failure_reason = 'bank_refused' WHERE id = %s", row.pk
        )
        self.assert_named(report, "entries_fit_status", transaction_id=row.pk)

    def test_names_a_movement_between_unknown_places(self) -> None:
        entry = self.entry("deposit", "BANK")
        report = self.spoil(
            f"UPDATE {ENTRY} SET credit_account = 'POCKET' WHERE id = %s",
            entry.pk,
            without=((ENTRY, "entry_leg_known"),),
        )
        self.assert_named(
            report,
            "entries_fit_status",
            transaction_id=entry.transaction_id,
            deposited=0,
            entries=1,
        )

    def test_names_amounts_and_balances_that_no_money_has(self) -> None:
        entry, row = self.entry("succeeded", "WALLET"), self.rows["scheduled"]
        for table, column, value, pk, kind in (
            (WALLET, "balance", -1, self.wallet.pk, "wallet"),
            (TRANSACTION, "amount", 0, row.pk, "transaction"),
            (TRANSACTION, "amount", -(2**63), row.pk, "transaction"),
            (ENTRY, "amount", -(2**63), entry.pk, "entry"),
            (ENTRY, "balance_after", -(2**63), entry.pk, "entry"),
            (ENTRY, "balance_after", 2**63 - 1, entry.pk, None),
        ):
            with self.subTest(table=table, column=column, value=value):
                report = self.spoil(
                    f"UPDATE {table} SET {column} = %s WHERE id = %s",
                    value,
                    pk,
                    without=MONEY_CHECKS,
                )
                if kind:
                    self.assert_named(report, "amounts_are_sane", row_kind=kind, id=pk)
                else:
                    self.assert_named(report, "balance_after_chain", entry_id=pk)

    @skipUnless(not POSTGRES, "PostgreSQL stores nothing but whole numbers there")
    def test_names_a_balance_that_is_no_whole_number(self) -> None:
        for value in ("12,5", 12.5):
            with self.subTest(value=value):
                report = self.spoil(
                    f"UPDATE {WALLET} SET balance = %s WHERE id = %s", value, self.wallet.pk
                )
                self.assert_named(report, "amounts_are_sane", id=self.wallet.pk, balance=value)

    def test_names_a_bank_reference_used_twice(self) -> None:
        first, second = self.rows["succeeded"], self.rows["succeeded_after_doubt"]
        report = self.spoil(
            f"UPDATE {TRANSACTION} SET bank_reference = %s WHERE id = %s",
            first.bank_reference,
            second.pk,
        )
        self.assert_named(
            report, "key_used_once", key=first.bank_reference, first_id=first.pk, last_id=second.pk
        )

    def test_names_a_request_key_used_twice(self) -> None:
        first = books.deposit(self.wallet, 1, request_key="salary")
        second = books.deposit(self.wallet, 1, request_key="salary-2")
        report = self.spoil(
            f"UPDATE {TRANSACTION} SET request_key = 'salary' WHERE id = %s",
            second.pk,
            without=((TRANSACTION, "transaction_request_key_unique"),),
        )
        self.assert_named(
            report, "key_used_once", key_kind="request_key", first_id=first.pk, last_id=second.pk
        )

    @skipUnless(POSTGRES, "SQLite cannot drop the unique constraint of a column")
    def test_names_a_bank_key_used_twice(self) -> None:
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, TRANSACTION)
        unique = [n for n, c in constraints.items() if c["columns"] == ["idempotency_key"]]
        first, second = self.rows["succeeded"], self.rows["scheduled"]
        report = self.spoil(
            f"UPDATE {TRANSACTION} SET idempotency_key = %s WHERE id = %s",
            first.idempotency_key,
            second.pk,
            without=tuple((TRANSACTION, name) for name in unique),
        )
        self.assert_named(
            report, "key_used_once", key=str(first.idempotency_key), first_id=second.pk, uses=2
        )

    def test_names_a_gap_in_the_history(self) -> None:
        step = StatusChange.objects.filter(
            transaction=self.rows["succeeded"], to_status="PROCESSING"
        ).get()
        report = self.spoil("DELETE FROM wallets_statuschange WHERE id = %s", step.pk)
        self.assert_named(report, "history_fits_status", transaction_id=step.transaction_id)

    def test_names_an_illegal_step(self) -> None:
        step = StatusChange.objects.get(
            transaction=self.rows["failed_for_funds"], to_status="FAILED"
        )
        report = self.spoil(
            "UPDATE wallets_statuschange SET from_status = 'PROCESSING' WHERE id = %s", step.pk
        )
        self.assert_named(report, "history_fits_status", first_wrong_status_change_id=step.pk)

    def test_names_a_withdrawal_or_return_without_a_history(self) -> None:
        for state in ("scheduled", "returned"):
            with self.subTest(state=state):
                row = self.rows[state]
                report = self.spoil(
                    "DELETE FROM wallets_statuschange WHERE transaction_id = %s", row.pk
                )
                self.assert_named(report, "history_fits_status", transaction_id=row.pk, steps=0)

    def test_names_a_history_that_begins_in_the_middle(self) -> None:
        row = self.rows["succeeded"]
        with undone():
            with unguarded():
                sql(
                    "DELETE FROM wallets_statuschange WHERE transaction_id = %s AND "
                    "to_status <> 'SUCCEEDED'",
                    row.pk,
                )
                sql(
                    "UPDATE wallets_statuschange SET from_status = '' WHERE transaction_id = %s",
                    row.pk,
                )
            report = audit()
        self.assert_named(
            report, "history_fits_status", transaction_id=row.pk, first_step="SUCCEEDED"
        )

    def test_names_a_payment_without_proof(self) -> None:
        row = self.rows["succeeded"]
        report = self.spoil("DELETE FROM wallets_bankcall WHERE transaction_id = %s", row.pk)
        self.assert_named(report, "bank_calls_fit", transaction_id=row.pk, paid_calls=0)
        self.assertEqual(names(report), {"bank_calls_fit"})

    def test_names_a_refund_of_what_the_bank_paid(self) -> None:
        call = BankCall.objects.get(transaction=self.rows["refused"])
        report = self.spoil("UPDATE wallets_bankcall SET verdict = 'paid' WHERE id = %s", call.pk)
        self.assert_named(
            report,
            "bank_calls_fit",
            transaction_id=call.transaction_id,
            status="FAILED",
            last_paid_bank_call_id=call.pk,
        )

    def test_names_an_ending_that_contradicts_what_a_person_decided(self) -> None:
        for state, verdict in (("decided_paid", "not_paid"), ("decided_not_paid", "paid")):
            with self.subTest(state=state):
                row = self.rows[state]
                report = self.spoil(
                    "UPDATE wallets_resolution SET verdict = %s WHERE transaction_id = %s",
                    verdict,
                    row.pk,
                )
                self.assert_named(report, "bank_calls_fit", transaction_id=row.pk)

    def test_names_a_return_that_is_not_what_was_paid_out(self) -> None:
        row = self.rows["returned"]
        report = self.spoil(f"UPDATE {TRANSACTION} SET amount = 399 WHERE id = %s", row.pk)
        self.assert_named(
            report, "returns_fit", transaction_id=row.pk, amount=399, withdrawal_amount=400
        )

    def test_names_rows_that_lost_what_they_belong_to(self) -> None:
        row = self.rows["succeeded_after_doubt"]
        report = self.spoil(f"DELETE FROM {TRANSACTION} WHERE id = %s", row.pk)
        kinds = {each["row_kind"] for each in found(report, "rows_belong_together").shown}
        self.assertEqual(kinds, {"entry", "status_change", "bank_call"})
        self.assert_named(report, "rows_belong_together", transaction_id=row.pk)

    def test_names_transactions_whose_wallet_is_gone(self) -> None:
        report = self.spoil(f"DELETE FROM {WALLET} WHERE id = %s", self.wallet.pk)
        self.assert_named(
            report, "rows_belong_together", row_kind="transaction", wallet_id=self.wallet.pk
        )

    def test_names_fewer_violations_than_it_counts_when_asked_to(self) -> None:
        with undone():
            with unguarded():
                sql(f"UPDATE {ENTRY} SET balance_after = balance_after + 1")
            finding = found(audit(limit=1), "balance_after_chain")
            none = found(audit(limit=0), "balance_after_chain")
        # The first entry of each of the two wallets; the others still follow from those.
        self.assertEqual((finding.violations, len(finding.shown)), (2, 1))
        self.assertEqual((none.violations, none.shown), (2, ()))


STATUS_CHECKS = (
    "transaction_columns_fit_type",
    "transaction_lease_fits_status",
    "transaction_scheduled_is_untouched",
    "transaction_reason_iff_failed",
    "transaction_paid_out_was_claimed",
    "transaction_reference_iff_succeeded",
)


class GuardsTest(TestCase):
    def test_expects_the_triggers_that_the_migration_installs(self) -> None:
        installed = {
            pair
            for pair in _append_only._names()
            if POSTGRES or not pair[1].endswith("_no_truncate")
        }
        self.assertEqual(set(expected_triggers()), installed)
        self.assertEqual(set(triggers()), installed)

    def test_names_each_missing_trigger(self) -> None:
        for table, trigger in expected_triggers():
            with self.subTest(trigger=trigger), undone():
                drop_trigger(table, trigger)
                finding = found(audit(), "triggers_present")
                self.assertEqual(finding.shown, ({"table": table, "trigger": trigger},))

    @skipUnless(POSTGRES, "only PostgreSQL can disable a trigger")
    def test_names_a_disabled_trigger(self) -> None:
        with undone():
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE {ENTRY} DISABLE TRIGGER {ENTRY}_no_update")
            finding = found(audit(), "triggers_present")
        self.assertEqual(finding.shown, ({"table": ENTRY, "trigger": f"{ENTRY}_no_update"},))

    def test_names_a_missing_constraint(self) -> None:
        name = "transaction_request_key_unique"
        with undone():
            drop_constraint(TRANSACTION, name)
            finding = found(audit(), "constraints_present")
        self.assertEqual(finding.shown, ({"table": TRANSACTION, "constraint": name},))

    @skipUnless(POSTGRES, "SQLite cannot drop a CHECK")
    def test_names_a_missing_check(self) -> None:
        with undone():
            drop_constraint(WALLET, "wallet_balance_not_negative")
            finding = found(audit(), "constraints_present")
        self.assertEqual(
            finding.shown, ({"table": WALLET, "constraint": "wallet_balance_not_negative"},)
        )


class CommandTest(TransactionTestCase):
    def run_audit(self, *options: str) -> tuple[int, str]:
        out = StringIO()
        try:
            call_command("audit_ledger", *options, stdout=out)
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue()
        return 0, out.getvalue()

    def spoil_balance(self, wallet: Wallet) -> None:
        # No guard is in the way of this one: a balance may change, only not by itself.
        sql(f"UPDATE {WALLET} SET balance = balance + 1 WHERE id = %s", wallet.pk)

    def test_prints_a_line_for_each_rule_and_one_verdict(self) -> None:
        books.one_of_each(books.open_wallet())
        code, out = self.run_audit()
        lines = out.strip().splitlines()
        self.assertEqual(code, 0, out)
        self.assertEqual([line.split()[1] for line in lines if line.startswith("ok ")], [*RULES])
        self.assertEqual(lines[-1], f"verdict: the books are right: {len(RULES)} rules hold")
        self.assertIn("IRR: wallets=8300 in_transit=500 paid_out=1600 deposits=10000", out)

    def test_exits_with_1_and_names_the_row_when_the_books_are_wrong(self) -> None:
        wallet = books.open_wallet()
        books.deposit(wallet, 100)
        self.spoil_balance(wallet)
        code, out = self.run_audit()
        self.assertEqual(code, 1)
        self.assertIn(
            f"violation wallet_id={wallet.pk} currency=IRR balance=101 entries_total=100", out
        )
        self.assertIn("THE BOOKS ARE WRONG: 2 violations of 2 of", out.splitlines()[-1])

    def test_prints_one_json_object_when_asked(self) -> None:
        wallet = books.open_wallet()
        books.deposit(wallet, 100)
        self.spoil_balance(wallet)
        code, out = self.run_audit("--json")
        told = json.loads(out)
        rules = {rule["rule"]: rule for rule in told["rules"]}
        self.assertEqual((code, told["right"], told["violations"]), (1, False, 2))
        self.assertEqual([*rules], [*RULES])
        self.assertEqual(
            rules["wallet_balance_equals_entries"]["shown"],
            [{"wallet_id": wallet.pk, "currency": "IRR", "balance": 101, "entries_total": 100}],
        )

    def test_ends_with_2_on_a_bad_option(self) -> None:
        for value in ("-1", "100001"):
            with self.assertRaises(CommandError) as raised:
                call_command("audit_ledger", "--limit-violations", value)
            self.assertEqual(raised.exception.returncode, 2)
            self.assertIn("from 0 to 100000", str(raised.exception))

    def test_ends_with_2_when_the_database_cannot_be_read(self) -> None:
        refused = self.run_without_wallets()
        self.assertEqual(refused.returncode, 2)
        self.assertNotIn("migrat", str(refused))

    def test_says_so_when_a_migration_is_missing(self) -> None:
        last = MigrationLoader(connection).graph.leaf_nodes("wallets")[0]
        applied = MigrationRecorder(connection)
        applied.record_unapplied(*last)
        try:
            refused = self.run_without_wallets()
        finally:
            applied.record_applied(*last)
        self.assertEqual(refused.returncode, 2)
        self.assertIn(f"lacks the migration wallets.{last[1]}", str(refused))
        self.assertIn("manage.py migrate", str(refused))

    def run_without_wallets(self) -> CommandError:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {WALLET} RENAME TO elsewhere")
        try:
            with self.assertRaises(CommandError) as raised:
                self.run_audit()
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE elsewhere RENAME TO {WALLET}")
        return raised.exception


class SnapshotTest(TransactionTestCase):
    def test_sees_one_moment_while_others_commit(self) -> None:
        wallet = books.open_wallet()
        books.deposit(wallet, 100)
        with snapshot():
            before = LedgerEntry.objects.count()
            on_another_connection(lambda: books.deposit(Wallet.objects.get(), 50))
            self.assertEqual(LedgerEntry.objects.count(), before)
        self.assertEqual(LedgerEntry.objects.count(), before + 1)

    def test_cannot_write(self) -> None:
        wallet = books.open_wallet()
        with self.assertRaises(DatabaseError), snapshot():
            Wallet.objects.filter(pk=wallet.pk).update(currency="EUR")
        books.deposit(wallet, 1)  # and leaves the connection able to

    @skipUnless(POSTGRES, "SQLite has no statement timeout")
    def test_lifts_the_statement_timeout_for_its_own_transaction_only(self) -> None:
        def timeout() -> str:
            with connection.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                return str(cursor.fetchone()[0])

        usual = timeout()
        with snapshot():
            self.assertEqual(timeout(), "0")
        self.assertEqual(timeout(), usual)
        self.assertNotEqual(usual, "0")


def on_another_connection(work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
