"""A payout that comes back: a new credit, once, and never an edit."""

import uuid
from functools import partial
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import TestCase, TransactionTestCase

from wallets.domain.audit import audit
from wallets.domain.outcomes import Verdict
from wallets.domain.people import BadInput, OperatorRefusal
from wallets.domain.withdrawals.returns import NotReturnable, Return, record_return, record_returns
from wallets.models import MAX_BALANCE, Status, StatusChange, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import finish, legs, make_due, make_wallet, take
from wallets.tests.racing import race


def make_paid(wallet: int, amount: int = 30) -> int:
    [pk] = make_due(wallet, amount)
    [claimed] = take().claimed
    finish(claimed, Verdict.PAID, reference=f"B-{pk}")
    return pk


def give_back(pk: int, **changes: Any) -> int:
    values = {"reference": "R-1", "reason": "account closed", "by": "eva"}
    return record_return(withdrawal_id=pk, **(values | changes))


def balance(wallet: int) -> int:
    return Wallet.objects.get(pk=wallet).balance


class ReturnTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        self.pk = make_paid(self.wallet)

    def test_credits_the_wallet_with_a_transaction_of_its_own(self) -> None:
        credit = Transaction.objects.get(pk=give_back(self.pk))
        self.assertEqual(
            (credit.type, credit.status, credit.amount, credit.bank_reference),
            (Type.RETURN, Status.SUCCEEDED, 30, "R-1"),
        )
        self.assertEqual(credit.returned_withdrawal_id, self.pk)
        self.assertEqual(legs(credit.pk), [("BANK", "WALLET", 30)])
        self.assertEqual(balance(self.wallet), 100)

    def test_leaves_the_withdrawal_as_it_was(self) -> None:
        before = Transaction.objects.filter(pk=self.pk).values().get()
        give_back(self.pk)
        self.assertEqual(Transaction.objects.filter(pk=self.pk).values().get(), before)

    def test_writes_down_who_said_so_and_why(self) -> None:
        step = StatusChange.objects.get(transaction=give_back(self.pk))
        self.assertEqual(
            (step.from_status, step.to_status, step.reason, step.worker),
            ("", "SUCCEEDED", "returned: account closed", "operator:eva"),
        )

    def test_keeps_books_that_the_audit_finds_right(self) -> None:
        give_back(self.pk)
        report = audit()
        # The withdrawal was settled without a bank call's record to show for it.
        self.assertTrue(report.right, report.broken)

    def test_refuses_a_second_return(self) -> None:
        first = give_back(self.pk)
        with self.assertRaisesMessage(NotReturnable, f"by transaction {first} under reference R-1"):
            give_back(self.pk, reference="R-2")
        self.assertEqual(balance(self.wallet), 100)

    def test_credits_nobody_else_under_a_reference_that_was_used(self) -> None:
        other = make_paid(self.wallet, 20)
        give_back(self.pk)
        with self.assertRaisesMessage(NotReturnable, f"R-1 belongs to withdrawal {self.pk}"):
            give_back(other)
        self.assertEqual(balance(self.wallet), 80)
        third = make_paid(self.wallet, 10)
        with self.assertRaisesMessage(NotReturnable, "R-2 belongs to withdrawal"):
            record_returns([Return(other, "R-2", "x"), Return(third, "R-2", "x")], worker="x")
        self.assertEqual(Transaction.objects.filter(type=Type.RETURN).count(), 1)

    def test_refuses_what_was_never_paid(self) -> None:
        [scheduled] = make_due(self.wallet, 1)
        [claimed] = take().claimed
        with self.assertRaisesMessage(NotReturnable, "PROCESSING"):
            give_back(scheduled)
        finish(claimed, Verdict.REFUSED)
        with self.assertRaisesMessage(NotReturnable, "FAILED"):
            give_back(scheduled)

    def test_refuses_what_is_no_withdrawal(self) -> None:
        credit = give_back(self.pk)
        deposit = Transaction.objects.filter(type=Type.DEPOSIT)[0].pk
        for pk in (credit, deposit, 10**9, 10**20):
            with self.assertRaisesMessage(NotReturnable, "There is no withdrawal"):
                give_back(pk)

    def test_refuses_what_the_wallet_cannot_hold(self) -> None:
        Wallet.objects.filter(pk=self.wallet).update(balance=MAX_BALANCE - 29)
        with self.assertRaisesMessage(NotReturnable, "cannot hold"):
            give_back(self.pk)

    def test_refuses_words_that_say_nothing(self) -> None:
        for changes in ({"reference": " "}, {"reason": ""}, {"by": "\0"}):
            with self.subTest(changes), self.assertRaises(BadInput):
                give_back(self.pk, **changes)

    def test_takes_all_of_a_batch_or_none(self) -> None:
        other = make_paid(self.wallet, 20)
        [scheduled] = make_due(self.wallet, 1)
        with self.assertRaises(NotReturnable), transaction.atomic():
            record_returns(
                [Return(other, "R-1", "x"), Return(scheduled, "R-2", "x")], worker="statement"
            )
        self.assertEqual(Transaction.objects.filter(type=Type.RETURN).count(), 0)
        made = record_returns(
            [Return(other, "R-1", "x"), Return(self.pk, "R-2", "x")], worker="statement"
        )
        amounts = [Transaction.objects.get(pk=pk).amount for pk in made]
        self.assertEqual((amounts, balance(self.wallet)), ([20, 30], 100))


class DatabaseRefusesTest(TestCase):
    """Whatever the code above it does, the database lets no other return in."""

    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        self.pk = make_paid(self.wallet)

    def insert(self, **changes: Any) -> None:
        now = database_now()
        values = {
            "wallet_id": self.wallet,
            "type": Type.RETURN,
            "status": Status.SUCCEEDED,
            "amount": 30,
            "returned_withdrawal_id": self.pk,
            "bank_reference": "R-1",
            "created_at": now,
            "updated_at": now,
        }
        with transaction.atomic():
            Transaction.objects.bulk_create([Transaction(**(values | changes))])

    def test_refuses_every_return_that_does_not_fit(self) -> None:
        [scheduled] = make_due(self.wallet, 30)
        deposit = Transaction.objects.filter(type=Type.DEPOSIT)[0].pk
        bad: list[dict[str, Any]] = [
            {"amount": 29},
            {"wallet_id": make_wallet(1)},
            {"returned_withdrawal_id": scheduled},
            {"returned_withdrawal_id": deposit, "amount": 100},
            {"returned_withdrawal_id": None},
            {"bank_reference": None},
            {"status": Status.FAILED, "failure_reason": "x", "bank_reference": None},
            {"type": Type.DEPOSIT},
            {"execute_at": database_now()},
            {"idempotency_key": uuid.uuid4()},
            {"epoch": 1},
        ]
        for changes in bad:
            with self.subTest(changes), self.assertRaises(IntegrityError):
                self.insert(**changes)
        self.insert()

    def test_refuses_the_same_return_twice(self) -> None:
        self.insert()
        with self.assertRaises(IntegrityError):
            self.insert()


class ReturnRaceTest(TransactionTestCase):
    def test_credits_once_however_many_say_so_at_once(self) -> None:
        wallet = make_wallet(100)
        pk = make_paid(wallet)

        def give_back_or_not(reference: str) -> bool:
            try:
                give_back(pk, reference=reference)
            except OperatorRefusal:
                return False
            return True

        done = race([partial(give_back_or_not, f"R-{n}") for n in range(6)])
        self.assertEqual((sum(done), balance(wallet)), (1, 100))

    def test_credits_one_withdrawal_of_those_that_race_for_one_reference(self) -> None:
        wallet = make_wallet(300)
        paid = [make_paid(wallet) for _ in range(5)]

        def credit(pk: int) -> bool:
            try:
                give_back(pk, reference="R-9")
            except NotReturnable:
                return False
            return True

        self.assertEqual(sum(race([partial(credit, pk) for pk in paid])), 1)
        self.assertEqual(Transaction.objects.filter(bank_reference="R-9").count(), 1)


class RecordReturnCommandTest(TestCase):
    def test_says_what_it_made(self) -> None:
        pk, out = make_paid(make_wallet(100)), StringIO()
        call_command("record_return", str(pk), reference="R-1", reason="x", by="eva", stdout=out)
        made = Transaction.objects.get(type=Type.RETURN).pk
        self.assertEqual(out.getvalue(), f"Withdrawal {pk} was returned by transaction {made}.\n")

    def test_refuses_in_one_sentence(self) -> None:
        with self.assertRaisesMessage(CommandError, "There is no withdrawal 7"):
            call_command("record_return", "7777777", reference="R-1", reason="x", by="eva")
