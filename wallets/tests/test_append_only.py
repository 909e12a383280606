"""What the database itself refuses, tried with raw SQL; each refusal has a twin it accepts."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import skipIf, skipUnless

from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import Model, UniqueConstraint
from django.test import TestCase

from wallets.models import (
    ApiKey,
    BankCall,
    BankGate,
    BulkRequest,
    LedgerEntry,
    PayoutPause,
    PlanRequest,
    Resolution,
    StatusChange,
    Tenant,
    Transaction,
    Wallet,
)
from wallets.tests import books
from wallets.tests.books import AT

POSTGRES = connection.vendor == "postgresql"
APPEND_ONLY = (
    LedgerEntry,
    StatusChange,
    BankCall,
    Resolution,
    PayoutPause,
    PlanRequest,
    BulkRequest,
)
NEVER_DELETED = (*APPEND_ONLY, Transaction, Wallet, BankGate)
REFUSED = "history is append-only"


def run(statement: str, *params: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)


def insert(row: Model) -> None:
    """A plain INSERT of a model that was never saved, past everything that Django checks."""
    columns = {
        str(field.column): field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in row._meta.concrete_fields
        if not (field.primary_key and row.pk is None)
    }
    places = ", ".join(["%s"] * len(columns))
    run(
        f"INSERT INTO {row._meta.db_table} ({', '.join(columns)}) VALUES ({places})",
        *columns.values(),
    )


def bulk_request(tenant: Tenant | None = None) -> BulkRequest:
    return BulkRequest(
        tenant=tenant,
        request_key="key",
        mode="each",
        items_fingerprint="print",
        refused="[]",
        created_at=AT,
    )


class DatabaseTestCase(TestCase):
    def setUp(self) -> None:
        self.wallet = books.open_wallet()
        self.rows = books.one_of_each(self.wallet)
        gate = books.open_gate()
        PayoutPause.objects.create(gate=gate, step="paused", reason="test", by="me", created_at=AT)
        bulk_request().save()

    def assert_refused(self, *statement: Any, because: str = REFUSED) -> None:
        with (
            self.subTest(statement),
            self.assertRaisesRegex(IntegrityError, because),
            transaction.atomic(),
        ):
            run(*statement)

    def assert_accepted(self, *statement: Any) -> None:
        with self.subTest(statement), transaction.atomic():
            self.assertEqual(run(*statement), 1)
            transaction.set_rollback(True)


class AppendOnlyTest(DatabaseTestCase):
    def test_refuses_to_change_any_column_of_what_happened(self) -> None:
        for model in APPEND_ONLY:
            table = model._meta.db_table
            for field in model._meta.concrete_fields:
                self.assert_refused(f"UPDATE {table} SET {field.column} = {field.column}")

    def test_refuses_to_delete_anything(self) -> None:
        for model in NEVER_DELETED:
            self.assert_refused(f"DELETE FROM {model._meta.db_table}")

    def test_refuses_to_change_many_rows_at_once_or_through_a_join(self) -> None:
        self.assert_refused(
            "UPDATE wallets_ledgerentry SET amount = 1 WHERE transaction_id IN "
            "(SELECT id FROM wallets_transaction WHERE status = 'SUCCEEDED')"
        )

    def test_refuses_to_change_a_row_by_inserting_it_again(self) -> None:
        entry = LedgerEntry.objects.latest("pk")
        self.assert_refused(
            "INSERT INTO wallets_ledgerentry (id, transaction_id, wallet_id, debit_account, "
            "credit_account, amount, balance_after, created_at) "
            "SELECT id, transaction_id, wallet_id, debit_account, credit_account, amount, 0, "
            "created_at FROM wallets_ledgerentry WHERE id = %s "
            "ON CONFLICT (id) DO UPDATE SET balance_after = 0",
            entry.pk,
        )

    @skipIf(POSTGRES, "only SQLite has REPLACE")
    def test_refuses_to_replace_a_row(self) -> None:
        for model in NEVER_DELETED:
            table = model._meta.db_table
            self.assert_refused(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")

    @skipUnless(POSTGRES, "SQLite has no TRUNCATE")
    def test_refuses_to_empty_a_table(self) -> None:
        run("SET CONSTRAINTS ALL IMMEDIATE")
        for model in NEVER_DELETED:
            self.assert_refused(f"TRUNCATE {model._meta.db_table} CASCADE")

    def test_accepts_more_of_each(self) -> None:
        for model in APPEND_ONLY:
            before = model.objects.count()
            row = model.objects.latest("pk")
            row.pk = None
            if isinstance(row, LedgerEntry):
                row.transaction = books.scheduled(self.wallet, 1)
            if isinstance(row, PlanRequest | BulkRequest):
                row.request_key = "another"
            insert(row)
            self.assertEqual(model.objects.count(), before + 1)


class TransactionRowTest(DatabaseTestCase):
    def test_refuses_every_change_of_what_has_ended(self) -> None:
        for row in self.rows.values():
            if row.status not in ("SUCCEEDED", "FAILED", "CANCELLED"):
                continue
            for field in Transaction._meta.concrete_fields:
                self.assert_refused(
                    f"UPDATE wallets_transaction SET {field.column} = {field.column} WHERE id = %s",
                    row.pk,
                )

    def test_refuses_to_bring_back_what_has_ended(self) -> None:
        for state in ("succeeded", "refused", "failed_for_funds", "cancelled"):
            for status in ("SCHEDULED", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELLED"):
                self.assert_refused(
                    "UPDATE wallets_transaction SET status = %s WHERE id = %s",
                    status,
                    self.rows[state].pk,
                )

    def test_refuses_steps_that_skip_or_go_back(self) -> None:
        for state, change in (
            ("scheduled", "status = 'SUCCEEDED', epoch = 1"),
            (
                "processing",
                "status = 'SCHEDULED', lease_owner = NULL, lease_expires_at = NULL",
            ),
            ("processing", f"status = 'CANCELLED', {NO_LEASE}"),
            ("in_doubt", f"status = 'CANCELLED', in_doubt_since = NULL, {NO_LEASE}"),
            ("processing", "epoch = epoch - 1"),
            ("in_doubt", "maybe_sent = NOT maybe_sent"),
        ):
            self.assert_refused(
                f"UPDATE wallets_transaction SET {change} WHERE id = %s", self.rows[state].pk
            )

    def test_accepts_legal_steps(self) -> None:
        for state, change in (
            ("scheduled", "status = 'PROCESSING', epoch = 1, lease_expires_at = execute_at"),
            ("scheduled", "status = 'FAILED', failure_reason = 'insufficient_funds'"),
            ("scheduled", "status = 'CANCELLED'"),
            ("scheduled", "execute_at = created_at"),
            ("processing", f"status = 'SUCCEEDED', {NO_LEASE}"),
            ("processing", f"status = 'FAILED', failure_reason = 'bank_refused', {NO_LEASE}"),
            ("processing", "epoch = epoch + 1"),
            ("processing", "maybe_sent = NOT maybe_sent"),
        ):
            self.assert_accepted(
                f"UPDATE wallets_transaction SET {change} WHERE id = %s", self.rows[state].pk
            )

    def test_refuses_to_change_what_was_asked_for(self) -> None:
        other = books.open_wallet()
        changes: dict[str, Any] = {
            "id": 10**9,
            "wallet_id": other.pk,
            "type": "DEPOSIT",
            "amount": 1,
            "idempotency_key": uuid.uuid4().hex,
            "request_key": "another",
            "request_fingerprint": "another",
            "created_at": str(AT - timedelta(days=1)),
        }
        for state in ("scheduled", "processing", "in_doubt"):
            for column, value in changes.items():
                self.assert_refused(
                    f"UPDATE wallets_transaction SET {column} = %s WHERE id = %s",
                    value,
                    self.rows[state].pk,
                )

    def test_refuses_to_move_the_time_of_what_has_begun(self) -> None:
        self.assert_refused(
            "UPDATE wallets_transaction SET execute_at = created_at WHERE id = %s",
            self.rows["processing"].pk,
        )


NO_LEASE = "lease_owner = NULL, lease_expires_at = NULL"


class WalletRowTest(DatabaseTestCase):
    def test_refuses_to_change_whose_money_it_is(self) -> None:
        changes = {
            "id": 10**9,
            "uuid": uuid.uuid4().hex,
            "currency": "EUR",
            "request_key": "another",
            "request_fingerprint": "another",
            "created_at": str(AT - timedelta(days=1)),
        }
        for column, value in changes.items():
            self.assert_refused(
                f"UPDATE wallets_wallet SET {column} = %s WHERE id = %s", value, self.wallet.pk
            )

    def test_gives_a_wallet_of_nobody_to_an_account_and_takes_none_away(self) -> None:
        ours, theirs = (
            Tenant.objects.create(name=name, created_at=AT) for name in ("ours", "theirs")
        )
        give = "UPDATE wallets_wallet SET tenant_id = %s WHERE id = %s"
        self.assert_accepted(give, ours.pk, self.wallet.pk)
        run(give, ours.pk, self.wallet.pk)
        self.assert_refused(give, theirs.pk, self.wallet.pk)
        self.assert_refused(give, None, self.wallet.pk)

    def test_accepts_another_balance(self) -> None:
        self.assert_accepted(
            "UPDATE wallets_wallet SET balance = 1, updated_at = created_at WHERE id = %s",
            self.wallet.pk,
        )

    def test_refuses_a_balance_below_zero(self) -> None:
        self.assert_refused(
            "UPDATE wallets_wallet SET balance = -1 WHERE id = %s",
            self.wallet.pk,
            because="wallet_balance_not_negative",
        )


class ReturnTest(DatabaseTestCase):
    def returning(self, state: str, **changes: Any) -> Transaction:
        withdrawal = self.rows[state]
        values = {
            "wallet": withdrawal.wallet,
            "type": "RETURN",
            "status": "SUCCEEDED",
            "amount": withdrawal.amount,
            "bank_reference": "RETURN",
            "returned_withdrawal": withdrawal,
            "created_at": AT,
            "updated_at": AT,
        }
        return Transaction(**(values | changes))

    def test_accepts_what_was_paid_out(self) -> None:
        insert(self.returning("succeeded_after_doubt"))

    def test_refuses_what_was_not(self) -> None:
        other = books.open_wallet()
        for row in (
            self.returning("succeeded_after_doubt", amount=1),
            self.returning("succeeded_after_doubt", wallet=other),
            self.returning("processing"),
            self.returning("refused"),
            self.returning("deposit"),
        ):
            with (
                self.subTest(row=row.returned_withdrawal, amount=row.amount),
                self.assertRaisesRegex(IntegrityError, "a return must equal a withdrawal"),
                transaction.atomic(),
            ):
                insert(row)

    def test_refuses_a_second_one(self) -> None:
        with self.assertRaisesRegex(IntegrityError, "returned_withdrawal"), transaction.atomic():
            insert(self.returning("succeeded"))


class ConstraintTest(TestCase):
    """Every CHECK and UNIQUE that a model declares has rows here that it refuses."""

    def setUp(self) -> None:
        self.wallet = books.open_wallet()
        self.transaction = books.scheduled(self.wallet, 1)
        self.tenant = Tenant.objects.create(name="shop", created_at=AT)

    def opened(self, **changes: Any) -> Wallet:
        return Wallet(**({"currency": "IRR", "created_at": AT, "updated_at": AT} | changes))

    def deposited(self, **changes: Any) -> Transaction:
        return self._transaction({"type": "DEPOSIT", "status": "SUCCEEDED"}, changes)

    def scheduled(self, **changes: Any) -> Transaction:
        return self._transaction(self._withdrawal("SCHEDULED"), changes)

    def processing(self, **changes: Any) -> Transaction:
        claimed = {"epoch": 1, "lease_owner": uuid.uuid4(), "lease_expires_at": AT}
        return self._transaction(self._withdrawal("PROCESSING") | claimed, changes)

    def succeeded(self, **changes: Any) -> Transaction:
        paid = {"epoch": 1, "bank_reference": "REF"}
        return self._transaction(self._withdrawal("SUCCEEDED") | paid, changes)

    def failed(self, **changes: Any) -> Transaction:
        why = {"failure_reason": "insufficient_funds"}
        return self._transaction(self._withdrawal("FAILED") | why, changes)

    def entry(self, **changes: Any) -> LedgerEntry:
        values = {
            "transaction": self.transaction,
            "wallet": self.wallet,
            "debit_account": "BANK",
            "credit_account": "WALLET",
            "amount": 1,
            "balance_after": 1,
            "created_at": AT,
        }
        return LedgerEntry(**(values | changes))

    def plan_request(self) -> PlanRequest:
        return PlanRequest(
            wallet=self.wallet,
            operation="cancel",
            request_key="key",
            request_fingerprint="print",
            transaction=self.transaction,
            execute_at=AT,
            withdrawal_updated_at=AT,
            created_at=AT,
        )

    def api_key(self) -> ApiKey:
        return ApiKey(
            tenant=self.tenant, name="till", prefix="ab12", digest="0" * 64, created_at=AT
        )

    def gate(self, **changes: Any) -> BankGate:
        halted = {"halted_at": AT, "halted_by": "me", "halted_reason": "test"}
        return BankGate(**({"name": str(uuid.uuid4())[:32]} | halted | changes))

    def _withdrawal(self, status: str) -> dict[str, Any]:
        return {
            "type": "WITHDRAWAL",
            "status": status,
            "execute_at": AT,
            "idempotency_key": uuid.uuid4(),
        }

    def _transaction(self, base: dict[str, Any], changes: dict[str, Any]) -> Transaction:
        values = {"wallet": self.wallet, "amount": 1, "created_at": AT, "updated_at": AT}
        return Transaction(**(values | base | changes))

    def refused_rows(self) -> dict[str, list[Model]]:
        keyed = {"request_key": "key", "request_fingerprint": "print"}
        return {
            "wallet_balance_not_negative": [self.opened(balance=-1)],
            "wallet_currency_is_iso_4217": [
                self.opened(currency=code) for code in ("irr", "IR", "I1R", "", "ریا")
            ],
            "wallet_request_key_has_fingerprint": [
                self.opened(request_key="key"),
                self.opened(request_fingerprint="print"),
            ],
            "transaction_amount_positive": [
                self.deposited(amount=0),
                self.deposited(amount=-1),
                self.scheduled(amount=0),
            ],
            "transaction_request_key_has_fingerprint": [
                self.deposited(request_key="key"),
                self.deposited(request_fingerprint="print"),
            ],
            "transaction_status_known": [self.scheduled(status="PAID")],
            "transaction_columns_fit_type": [
                self.deposited(type="GIFT"),
                self.deposited(status="SCHEDULED"),
                self.deposited(execute_at=AT),
                self.deposited(idempotency_key=uuid.uuid4()),
                self.deposited(bank_reference="REF"),
                self.deposited(epoch=1),
                self.deposited(maybe_sent=True),
                self.scheduled(execute_at=None),
                self.scheduled(idempotency_key=None),
                self.deposited(type="RETURN", bank_reference="REF"),
            ],
            "transaction_lease_fits_status": [
                self.processing(lease_expires_at=None),
                self.processing(epoch=0),
                self.succeeded(lease_owner=uuid.uuid4()),
                self.succeeded(lease_expires_at=AT),
                self.failed(in_doubt_since=AT),
            ],
            "transaction_scheduled_is_untouched": [
                self.scheduled(epoch=1),
                self.scheduled(maybe_sent=True),
                self.scheduled(first_sent_at=AT),
                self.scheduled(last_sent_at=AT),
            ],
            "transaction_reason_iff_failed": [
                self.failed(failure_reason=None),
                self.succeeded(failure_reason="bank_refused"),
                self.processing(failure_reason="bank_refused"),
            ],
            "transaction_paid_out_was_claimed": [self.succeeded(epoch=0)],
            "transaction_reference_iff_succeeded": [
                self.failed(bank_reference="REF"),
                self.processing(bank_reference="REF"),
            ],
            "entry_amount_positive": [self.entry(amount=0), self.entry(amount=-1)],
            "entry_balance_not_negative": [self.entry(balance_after=-1)],
            "entry_leg_known": [
                self.entry(debit_account="WALLET", credit_account="BANK"),
                self.entry(debit_account="BANK", credit_account="IN_TRANSIT"),
                self.entry(debit_account="WALLET", credit_account="WALLET"),
                self.entry(debit_account="POCKET"),
            ],
            "gate_halt_has_author_and_reason": [
                self.gate(halted_by=""),
                self.gate(halted_reason=""),
                self.gate(halted_at=None),
            ],
            "wallet_request_key_unique": [self.opened(**keyed)],
            "transaction_request_key_unique": [
                self.deposited(**keyed),
                self.scheduled(**keyed),
            ],
            "wallet_request_key_unique_for_tenant": [self.opened(tenant=self.tenant, **keyed)],
            "plan_request_key_unique": [self.plan_request()],
            "bulk_request_key_unique": [bulk_request()],
            "bulk_request_key_unique_for_tenant": [bulk_request(self.tenant)],
            "api_key_name_unique_while_valid": [self.api_key()],
            "entry_once_per_source": [
                self.entry(),
                self.entry(debit_account="IN_TRANSIT"),
            ],
        }

    def declared(self) -> dict[str, Any]:
        return {
            constraint.name: constraint
            for model in apps.get_app_config("wallets").get_models()
            for constraint in model._meta.constraints
        }

    def test_tries_every_constraint_that_is_declared(self) -> None:
        self.assertEqual(set(self.refused_rows()), set(self.declared()))

    def test_accepts_the_rows_that_the_refused_ones_differ_from(self) -> None:
        makers: tuple[Callable[[], Model], ...] = (
            self.opened,
            self.deposited,
            self.scheduled,
            self.processing,
            self.succeeded,
            self.failed,
            self.entry,
            self.gate,
            self.api_key,
            self.plan_request,
            bulk_request,
        )
        for make in makers:
            insert(make())

    def test_refuses_rows_that_break_a_check(self) -> None:
        for name, rows in self.refused_rows().items():
            if isinstance(self.declared()[name], UniqueConstraint):
                continue
            for row in rows:
                with (
                    self.subTest(name, row=row),
                    self.assertRaisesRegex(IntegrityError, name),
                    transaction.atomic(),
                ):
                    insert(row)

    def test_refuses_a_row_the_second_time_where_it_must_be_unique(self) -> None:
        for name, rows in self.refused_rows().items():
            constraint = self.declared()[name]
            if not isinstance(constraint, UniqueConstraint):
                continue
            for row in rows:
                with self.subTest(name, row=row):
                    insert(row)
                    for column in ("uuid", "idempotency_key", "prefix"):
                        if getattr(row, column, None):
                            setattr(
                                row,
                                column,
                                str(uuid.uuid4())[:16] if column == "prefix" else uuid.uuid4(),
                            )
                    # SQLite names the columns, PostgreSQL the constraint.
                    with (
                        self.assertRaisesRegex(IntegrityError, f"{name}|{constraint.fields[-1]}"),
                        transaction.atomic(),
                    ):
                        insert(row)

    def test_refuses_a_second_ending_of_one_withdrawal(self) -> None:
        paid = books.succeeded(self._with_money(), 5)
        for credit in ("BANK", "WALLET"):
            with self.subTest(credit), self.assertRaises(IntegrityError), transaction.atomic():
                insert(
                    self.entry(transaction=paid, debit_account="IN_TRANSIT", credit_account=credit)
                )

    def test_refuses_a_uuid_or_bank_key_used_twice(self) -> None:
        for row, column in (
            (self.opened(uuid=self.wallet.uuid), "uuid"),
            (self.scheduled(idempotency_key=self.transaction.idempotency_key), "idempotency_key"),
        ):
            with (
                self.subTest(column),
                self.assertRaisesRegex(IntegrityError, column),
                transaction.atomic(),
            ):
                insert(row)

    def test_refuses_rows_that_belong_to_nothing(self) -> None:
        nobody = 10**9
        for row in (
            self.deposited(wallet=None, wallet_id=nobody),
            self.entry(transaction=None, transaction_id=nobody),
            self.entry(wallet=None, wallet_id=nobody),
        ):
            with self.subTest(row=row), self.assertRaises(IntegrityError), transaction.atomic():
                insert(row)
                connection.check_constraints()

    def _with_money(self) -> Wallet:
        wallet = books.open_wallet()
        books.deposit(wallet, 100)
        return wallet
