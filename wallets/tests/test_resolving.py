"""A person's word about a withdrawal in doubt: what it may say, and what it does."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from wallets.domain.outcomes import CallKind, CallRecord, Verdict
from wallets.domain.people import BadInput, OperatorRefusal
from wallets.domain.withdrawals.resolving import (
    AnotherProposal,
    ContradictsTheRecord,
    Decision,
    InSomebodysHands,
    NoSuchWithdrawal,
    NotInDoubt,
    open_proposal,
    resolve,
    withdraw_proposal,
)
from wallets.models import (
    MAX_BALANCE,
    BankCall,
    Resolution,
    Status,
    StatusChange,
    Transaction,
    Wallet,
)
from wallets.models.clock import database_now
from wallets.tests.money import (
    OTHER_WORKER,
    finish,
    lapse,
    legs,
    make_due,
    make_wallet,
    take,
)
from wallets.tests.racing import race

GRACE = timedelta(seconds=60)


def say(pk: int, *, paid: bool, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "reference": "B-77" if paid else None,
        "reason": "the bank told me",
        "by": "eva",
        "two_people": False,
        "not_found_grace": GRACE,
    }
    return resolve(withdrawal_id=pk, paid=paid, **(values | changes))


def make_doubtful(wallet: int, amount: int = 30, *, sent_ago: timedelta = GRACE) -> int:
    """A withdrawal in doubt, last sent so long ago that nothing can be under way."""
    [pk] = make_due(wallet, amount)
    [claimed] = take().claimed
    finish(claimed, Verdict.IN_DOUBT)
    Transaction.objects.filter(pk=pk).update(last_sent_at=database_now() - sent_ago)
    return pk


class ResolvingTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        self.pk = make_doubtful(self.wallet)

    def row(self) -> Transaction:
        return Transaction.objects.get(pk=self.pk)

    def balance(self) -> int:
        return Wallet.objects.get(pk=self.wallet).balance

    def assert_untouched(self) -> None:
        self.assertEqual((self.row().status, self.balance()), (Status.PROCESSING, 70))
        decided = Resolution.objects.filter(transaction=self.pk, step=Resolution.Step.DECIDED)
        self.assertFalse(decided.exists())

    def test_ends_it_as_the_banks_own_answer_would(self) -> None:
        self.assertEqual(say(self.pk, paid=True).status, Status.SUCCEEDED)
        row = self.row()
        self.assertEqual((row.status, row.bank_reference), (Status.SUCCEEDED, "B-77"))
        self.assertEqual((row.in_doubt_since, row.lease_expires_at), (None, None))
        self.assertEqual(legs(self.pk)[1:], [("IN_TRANSIT", "BANK", 30)])
        self.assertEqual(self.balance(), 70)

    def test_gives_the_money_back_when_it_was_not_paid(self) -> None:
        self.assertEqual(say(self.pk, paid=False).status, Status.FAILED)
        self.assertEqual(self.row().failure_reason, "operator_not_paid")
        self.assertEqual(legs(self.pk)[1:], [("IN_TRANSIT", "WALLET", 30)])
        self.assertEqual(self.balance(), 100)

    def test_writes_down_who_said_what_and_why(self) -> None:
        say(self.pk, paid=True, by="eva", reason="  seen in  the bank's portal")
        step = StatusChange.objects.filter(transaction=self.pk).order_by("-id")[0]
        self.assertEqual(
            (step.from_status, step.to_status, step.reason, step.worker),
            (
                "PROCESSING",
                "SUCCEEDED",
                "resolved_paid: seen in the bank's portal",
                "operator:eva",
            ),
        )
        decided = Resolution.objects.get()
        self.assertEqual(
            (decided.step, decided.verdict, decided.reference, decided.by),
            ("decided", "paid", "B-77", "eva"),
        )

    def test_keeps_the_longest_reason_whole(self) -> None:
        say(self.pk, paid=False, reason="x" * 170, by="n" * 140)
        step = StatusChange.objects.filter(transaction=self.pk).order_by("-id")[0]
        self.assertEqual(step.reason, "resolved_not_paid: " + "x" * 170)
        self.assertEqual(step.worker, "operator:" + "n" * 140)

    def test_refuses_what_is_not_in_doubt(self) -> None:
        [scheduled, unaffordable] = make_due(self.wallet, 1, 500, ago=timedelta(hours=-1))
        [clean] = make_due(make_wallet(5), 5)
        [claimed] = take().claimed
        self.assertEqual(claimed.id, clean)
        for pk in (scheduled, unaffordable, clean):
            for paid in (True, False):
                with self.subTest(pk=pk, paid=paid), self.assertRaises(NotInDoubt):
                    say(pk, paid=paid)

    def test_refuses_what_has_ended_even_if_it_ended_so(self) -> None:
        say(self.pk, paid=True)
        for paid in (True, False):
            with self.assertRaisesMessage(NotInDoubt, "SUCCEEDED, for good"):
                say(self.pk, paid=paid)

    def test_refuses_what_is_no_withdrawal(self) -> None:
        deposit = Transaction.objects.filter(wallet=self.wallet, type="DEPOSIT").get()
        for pk in (deposit.pk, 10**9):
            with self.assertRaises(NoSuchWithdrawal):
                say(pk, paid=True)

    def test_refuses_while_an_executor_is_asking(self) -> None:
        lapse(self.pk)
        take(worker=OTHER_WORKER)
        for paid in (True, False):
            with self.assertRaisesMessage(InSomebodysHands, "An executor is asking"):
                say(self.pk, paid=paid)
        self.assert_untouched()

    def test_takes_over_from_an_executor_that_vanished(self) -> None:
        lapse(self.pk)
        take(worker=OTHER_WORKER)
        lapse(self.pk)
        self.assertEqual(say(self.pk, paid=True).status, Status.SUCCEEDED)

    def test_gives_nothing_back_while_a_request_may_be_under_way(self) -> None:
        ages = (timedelta(seconds=1), GRACE - timedelta(seconds=5))
        for age in ages:
            Transaction.objects.filter(pk=self.pk).update(last_sent_at=database_now() - age)
            with self.assertRaisesMessage(InSomebodysHands, "under way"):
                say(self.pk, paid=False)
        self.assert_untouched()
        self.assertEqual(say(self.pk, paid=True).status, Status.SUCCEEDED)

    def test_counts_what_a_vanished_executor_may_have_sent_at_the_end_of_its_lease(self) -> None:
        Transaction.objects.filter(pk=self.pk).update(
            lease_owner=OTHER_WORKER, lease_expires_at=database_now() - timedelta(seconds=5)
        )
        with self.assertRaisesMessage(InSomebodysHands, "under way"):
            say(self.pk, paid=False)

    def test_refuses_not_paid_when_the_bank_has_called_it_paid(self) -> None:
        self.record_call("paid", "B-1")
        with self.assertRaisesMessage(ContradictsTheRecord, "called withdrawal"):
            say(self.pk, paid=False)
        self.assert_untouched()

    def test_refuses_another_reference_than_the_bank_gave(self) -> None:
        self.record_call("paid", "B-1")
        with self.assertRaisesMessage(ContradictsTheRecord, "B-1"):
            say(self.pk, paid=True, reference="B-2")
        self.assert_untouched()
        say(self.pk, paid=True, reference="B-1")

    def record_call(self, verdict: str, reference: str) -> None:
        BankCall.objects.create(
            transaction_id=self.pk,
            epoch=1,
            kind=BankCall.Kind.INQUIRY,
            started_at=database_now(),
            duration_ms=1,
            verdict=verdict,
            reference=reference,
        )

    def test_refuses_a_reference_that_belongs_to_another_withdrawal(self) -> None:
        other = make_doubtful(make_wallet(30))
        say(other, paid=True, reference="B-1")
        with self.assertRaisesMessage(ContradictsTheRecord, f"withdrawal {other}"):
            say(self.pk, paid=True, reference="B-1")
        self.assert_untouched()

    def test_refuses_our_own_key_as_a_reference(self) -> None:
        with self.assertRaises(ContradictsTheRecord):
            say(self.pk, paid=True, reference=str(self.row().idempotency_key))

    def test_refuses_what_the_wallet_cannot_hold(self) -> None:
        Wallet.objects.filter(pk=self.wallet).update(balance=MAX_BALANCE - 29)
        with self.assertRaisesMessage(ContradictsTheRecord, "cannot hold"):
            say(self.pk, paid=False)

    def test_refuses_words_that_say_nothing(self) -> None:
        bad: list[dict[str, Any]] = [
            {"reason": " "},
            {"reason": "x" * 171},
            {"by": ""},
            {"by": "eva\n\0"},
            {"reference": ""},
            {"reference": "\x07"},
            {"reference": "r" * 256},
        ]
        for changes in bad:
            with self.subTest(changes), self.assertRaises(BadInput):
                say(self.pk, paid=True, **changes)
        self.assert_untouched()

    def test_leaves_a_late_payment_to_the_alarm(self) -> None:
        lapse(self.pk)
        [claimed] = take(worker=OTHER_WORKER).claimed
        lapse(self.pk)
        Transaction.objects.filter(pk=self.pk).update(
            last_sent_at=database_now() - GRACE,
            lease_expires_at=database_now() - GRACE,
        )
        say(self.pk, paid=False)
        settled = finish(claimed, Verdict.PAID, worker=OTHER_WORKER)
        self.assertEqual(settled.alarms, ["paid_but_not_processing"])
        self.assertEqual((self.row().status, self.balance()), (Status.FAILED, 100))

    def test_drops_the_answer_that_an_executor_brings_later(self) -> None:
        lapse(self.pk)
        [claimed] = take(worker=OTHER_WORKER).claimed
        lapse(self.pk)
        say(self.pk, paid=True)
        records = (CallRecord(CallKind.INQUIRY, 0.0, 5, 200, "refused", None, ""),)
        settled = finish(claimed, Verdict.REFUSED, worker=OTHER_WORKER, records=records)
        self.assertEqual((settled.lost, settled.failed), (1, 0))
        self.assertEqual(self.row().status, Status.SUCCEEDED)


class TwoPeopleTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        self.pk = make_doubtful(self.wallet)

    def status(self) -> str:
        return Transaction.objects.get(pk=self.pk).status

    def propose(self, *, paid: bool = True, by: str = "eva", **changes: Any) -> Decision:
        return say(self.pk, paid=paid, by=by, two_people=True, **changes)

    def test_changes_nothing_by_the_first_persons_word(self) -> None:
        decision = self.propose()
        assert decision.proposal is not None
        self.assertEqual((decision.proposal.by, decision.status), ("eva", Status.PROCESSING))
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_ends_it_by_a_second_persons_same_word(self) -> None:
        self.propose()
        decision = self.propose(by="omid", reason="checked again")
        self.assertEqual((decision.status, decision.proposal), (Status.SUCCEEDED, None))
        steps = Resolution.objects.order_by("id").values_list("step", "by")
        self.assertEqual(list(steps), [("proposed", "eva"), ("decided", "omid")])

    def test_refuses_the_same_person_twice_however_the_name_is_written(self) -> None:
        names = ("eva", "Eva", " EVA ")
        # The admin composes what a keyboard may send apart.
        apart = ("ren\u00e9", "rene\u0301", "RENE\u0301")
        for first, *others in (names, apart):
            self.propose(by=first)
            for name in others:
                with self.assertRaisesMessage(AnotherProposal, "Somebody else"):
                    self.propose(by=name)
            withdraw_proposal(withdrawal_id=self.pk, reason="x", by="omid")
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_refuses_a_different_word(self) -> None:
        self.propose()
        with self.assertRaisesMessage(AnotherProposal, "Withdraw that first"):
            self.propose(paid=False, by="omid")
        with self.assertRaisesMessage(AnotherProposal, "Withdraw that first"):
            self.propose(by="omid", reference="B-78")
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_begins_anew_once_a_proposal_was_taken_back(self) -> None:
        self.propose()
        taken_back = withdraw_proposal(withdrawal_id=self.pk, reason="wrong line", by="omid")
        self.assertEqual((taken_back.by, taken_back.reference), ("eva", "B-77"))
        self.assertIsNone(open_proposal(self.pk))
        self.propose(paid=False, by="omid")
        self.propose(paid=False, by="eva")
        self.assertEqual(self.status(), Status.FAILED)

    def test_has_nothing_to_take_back_before_anything_was_said(self) -> None:
        with self.assertRaises(AnotherProposal):
            withdraw_proposal(withdrawal_id=self.pk, reason="wrong", by="eva")

    def test_looks_at_the_record_again_when_it_is_confirmed(self) -> None:
        self.propose(reference="B-1")
        other = make_doubtful(make_wallet(30))
        say(other, paid=True, reference="B-1")
        with self.assertRaises(ContradictsTheRecord):
            self.propose(by="omid", reference="B-1")
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_lets_the_bank_answer_in_between(self) -> None:
        self.propose(paid=False)
        lapse(self.pk)
        [claimed] = take().claimed
        finish(claimed, Verdict.PAID)
        with self.assertRaisesMessage(NotInDoubt, "SUCCEEDED"):
            self.propose(paid=False, by="omid")

    def test_needs_no_second_person_where_one_is_enough(self) -> None:
        self.propose()
        self.assertEqual(say(self.pk, paid=True, by="eva").status, Status.SUCCEEDED)

    def test_keeps_a_record_that_cannot_be_rewritten(self) -> None:
        self.propose()
        rewriting: list[Callable[[], object]] = [
            lambda: Resolution.objects.update(by="omid"),
            lambda: Resolution.objects.all()._raw_delete("default"),
        ]
        for rewrite in rewriting:
            with self.assertRaises(IntegrityError), transaction.atomic():
                rewrite()


class ResolvingRaceTest(TransactionTestCase):
    def test_ends_once_however_many_say_so_at_once(self) -> None:
        wallet = make_wallet(100)
        pk = make_doubtful(wallet)

        def not_paid(by: str) -> bool:
            try:
                say(pk, paid=False, by=by)
            except OperatorRefusal:
                return False
            return True

        people = [f"person {n}" for n in range(6)]
        done = race([partial(not_paid, by=person) for person in people])
        self.assertEqual(sum(done), 1)
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 100)

    def test_makes_one_proposal_and_one_decision_of_two_words_at_once(self) -> None:
        pk = make_doubtful(make_wallet(100))

        def word(by: str) -> str:
            return say(pk, paid=True, by=by, two_people=True).status

        race([lambda: word("eva"), lambda: word("omid")])
        steps = list(Resolution.objects.order_by("id").values_list("step", flat=True))
        self.assertEqual(steps, ["proposed", "decided"])


@override_settings(RESOLVE_REQUIRES_TWO=False, BANK_NOT_FOUND_GRACE_SECONDS=60)
class ResolveCommandTest(TestCase):
    def setUp(self) -> None:
        self.pk = make_doubtful(make_wallet(100))

    def run_command(self, *arguments: str) -> str:
        out = StringIO()
        call_command("resolve_withdrawal", *arguments, stdout=out)
        return out.getvalue()

    def test_settles_by_one_word(self) -> None:
        said = self.run_command(
            str(self.pk), "--paid", "--reference", "B-1", "--reason", "seen", "--by", "eva"
        )
        self.assertEqual(said, f"Withdrawal {self.pk} is SUCCEEDED.\n")

    @override_settings(RESOLVE_REQUIRES_TWO=True)
    def test_says_how_a_second_person_confirms(self) -> None:
        first = self.run_command(str(self.pk), "--not-paid", "--reason", "seen", "--by", "eva")
        self.assertIn(f"resolve_withdrawal {self.pk} --not-paid --reason", first)
        second = self.run_command(str(self.pk), "--not-paid", "--reason", "seen", "--by", "omid")
        self.assertEqual(second, f"Withdrawal {self.pk} is FAILED.\n")

    @override_settings(RESOLVE_REQUIRES_TWO=True)
    def test_takes_a_proposal_back(self) -> None:
        self.run_command(str(self.pk), "--not-paid", "--reason", "seen", "--by", "eva")
        said = self.run_command(str(self.pk), "--withdraw", "--reason", "wrong", "--by", "eva")
        self.assertEqual(said, "Taken back: --not-paid, proposed by eva.\n")

    def test_refuses_in_one_sentence(self) -> None:
        with self.assertRaisesMessage(CommandError, "There is no withdrawal 999999."):
            self.run_command("999999", "--not-paid", "--reason", "seen", "--by", "eva")

    def test_refuses_options_that_do_not_fit(self) -> None:
        for options in (
            ["--paid"],
            ["--not-paid", "--reference", "B-1"],
            ["--paid", "--not-paid", "--reference", "B-1"],
            [],
        ):
            with self.subTest(options), self.assertRaises(CommandError):
                self.run_command(str(self.pk), *options, "--reason", "seen", "--by", "eva")
