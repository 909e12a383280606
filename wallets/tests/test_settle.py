"""Settling: every ending, and who may bring it."""

import logging

from django.test import TestCase

from wallets.domain.outcomes import Verdict
from wallets.models import BankCall, Status, StatusChange, Transaction, Wallet
from wallets.tests.money import (
    OTHER_WORKER,
    finish,
    lapse,
    legs,
    make_due,
    make_wallet,
    take,
)

CLAIM, PAID, REFUND = (
    ("WALLET", "IN_TRANSIT", 30),
    ("IN_TRANSIT", "BANK", 30),
    ("IN_TRANSIT", "WALLET", 30),
)


class SettleTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        [self.pk] = make_due(self.wallet, 30)
        [self.claimed] = take().claimed

    def row(self) -> Transaction:
        return Transaction.objects.get(pk=self.pk)

    def balance(self) -> int:
        return Wallet.objects.get(pk=self.wallet).balance

    def test_ends_a_paid_row_with_its_reference(self) -> None:
        self.assertEqual(finish(self.claimed, Verdict.PAID, reference="B-1").succeeded, 1)
        row = self.row()
        self.assertEqual((row.status, row.bank_reference), (Status.SUCCEEDED, "B-1"))
        self.assertIsNone(row.lease_owner)
        self.assertEqual(legs(self.pk), [CLAIM, PAID])
        self.assertEqual(self.balance(), 70)

    def test_keeps_no_reference_where_the_bank_gave_none(self) -> None:
        finish(self.claimed, Verdict.PAID, reference=None)
        self.assertIsNone(self.row().bank_reference)

    def test_refunds_a_refused_row(self) -> None:
        self.assertEqual(finish(self.claimed, Verdict.REFUSED, reason="closed_account").failed, 1)
        row = self.row()
        self.assertEqual((row.status, row.failure_reason), (Status.FAILED, "closed_account"))
        self.assertEqual(legs(self.pk), [CLAIM, REFUND])
        self.assertEqual(self.balance(), 100)

    def test_keeps_the_money_of_a_row_in_doubt(self) -> None:
        self.assertEqual(finish(self.claimed, Verdict.IN_DOUBT).in_doubt, 1)
        row = self.row()
        self.assertEqual(row.status, Status.PROCESSING)
        self.assertTrue(row.maybe_sent)
        self.assertIsNotNone(row.in_doubt_since)
        self.assertIsNone(row.lease_owner)
        self.assertEqual(self.balance(), 70)

    def test_records_every_call(self) -> None:
        finish(self.claimed, Verdict.PAID)
        call = BankCall.objects.get(transaction=self.pk)
        self.assertEqual((call.kind, call.epoch, call.http_status), ("transfer", 1, 200))

    def test_records_calls_once_when_settled_again(self) -> None:
        finish(self.claimed, Verdict.PAID)
        finish(self.claimed, Verdict.PAID, again=True)
        self.assertEqual(BankCall.objects.filter(transaction=self.pk).count(), 1)
        self.assertEqual(legs(self.pk), [CLAIM, PAID])

    def test_drops_a_refusal_from_a_worker_whose_row_was_taken_over(self) -> None:
        lapse(self.pk)
        take(worker=OTHER_WORKER)
        with self.assertLogs("wallets.settle", logging.WARNING):
            settled = finish(self.claimed, Verdict.REFUSED)
        self.assertEqual(settled.lost, 1)
        self.assertEqual(self.row().status, Status.PROCESSING)
        self.assertEqual(self.balance(), 70)

    def test_drops_a_refusal_at_an_old_epoch_of_the_same_worker(self) -> None:
        lapse(self.pk)
        take()
        with self.assertLogs("wallets.settle", logging.WARNING):
            finish(self.claimed, Verdict.REFUSED)
        self.assertEqual(self.row().status, Status.PROCESSING)

    def test_accepts_a_payment_from_a_worker_that_lost_its_lease(self) -> None:
        lapse(self.pk)
        take(worker=OTHER_WORKER)
        finish(self.claimed, Verdict.PAID)
        self.assertEqual(self.row().status, Status.SUCCEEDED)

    def test_raises_an_alarm_when_a_failed_row_turns_out_paid(self) -> None:
        finish(self.claimed, Verdict.REFUSED)
        with self.assertLogs("wallets.settle", logging.ERROR):
            settled = finish(self.claimed, Verdict.PAID)
        self.assertEqual(settled.alarms, ["paid_but_not_processing"])
        self.assertEqual(self.row().status, Status.FAILED)
        self.assertEqual(self.balance(), 100)

    def test_raises_an_alarm_when_a_replay_brings_another_reference(self) -> None:
        finish(self.claimed, Verdict.PAID, reference="B-1")
        with self.assertLogs("wallets.settle", logging.ERROR):
            settled = finish(self.claimed, Verdict.PAID, reference="B-2")
        self.assertEqual(settled.alarms, ["paid_again_with_another_reference"])
        self.assertEqual(self.row().bank_reference, "B-1")

    def test_says_nothing_when_a_replay_brings_the_same_reference(self) -> None:
        finish(self.claimed, Verdict.PAID, reference="B-1")
        with self.assertNoLogs("wallets.settle", logging.ERROR):
            finish(self.claimed, Verdict.PAID, reference="B-1")

    def test_writes_one_line_of_history_a_step(self) -> None:
        finish(self.claimed, Verdict.IN_DOUBT, reason="read_timeout")
        lapse(self.pk)
        [again] = take().claimed
        finish(again, Verdict.IN_DOUBT, reason="not_found", records=())
        lapse(self.pk)
        [again] = take().claimed
        finish(again, Verdict.PAID)
        story = StatusChange.objects.filter(transaction=self.pk).order_by("id")
        self.assertEqual(
            list(story.values_list("from_status", "to_status", "reason")),
            [
                ("", "SCHEDULED", "scheduled"),
                ("SCHEDULED", "PROCESSING", "claimed"),
                ("PROCESSING", "PROCESSING", "in_doubt: read_timeout"),
                ("PROCESSING", "SUCCEEDED", "paid"),
            ],
        )

    def test_remembers_when_it_last_sent_but_not_when_it_only_asked(self) -> None:
        finish(self.claimed, Verdict.IN_DOUBT)
        sent = self.row().last_sent_at
        self.assertIsNotNone(sent)
        lapse(self.pk)
        [again] = take().claimed
        finish(again, Verdict.IN_DOUBT, records=())
        self.assertEqual(self.row().last_sent_at, sent)
