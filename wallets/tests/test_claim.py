"""Claiming: order, money, leases, and what a reclaim does."""

from datetime import timedelta

from django.test import TestCase

from wallets.domain.outcomes import Idempotency, Verdict
from wallets.domain.withdrawals.followup import Step
from wallets.models import LedgerEntry, Status, StatusChange, Transaction, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import (
    OTHER_WORKER,
    WORKER,
    finish,
    lapse,
    legs,
    make_due,
    make_wallet,
    policy,
    take,
)


def status_of(pk: int) -> str:
    return Transaction.objects.get(pk=pk).status


class ClaimTest(TestCase):
    def test_pays_greedily_in_order_what_the_balance_covers(self) -> None:
        wallet = make_wallet(100)
        ids = make_due(wallet, 150, 60, 50, 40)
        batch = take()
        self.assertEqual([c.id for c in batch.claimed], [ids[1], ids[3]])
        self.assertEqual(batch.insufficient_funds, 2)
        self.assertEqual(
            [status_of(pk) for pk in ids],
            ["FAILED", "PROCESSING", "FAILED", "PROCESSING"],
        )
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 0)

    def test_gives_the_same_decisions_in_batches_of_one(self) -> None:
        wallet = make_wallet(100)
        ids = make_due(wallet, 150, 60, 50, 40)
        for _ in ids:
            take(1)
            take(1)
        self.assertEqual(
            [status_of(pk) for pk in ids],
            ["FAILED", "PROCESSING", "FAILED", "PROCESSING"],
        )

    def test_orders_by_execute_at_before_id(self) -> None:
        wallet = make_wallet(50)
        later = make_due(wallet, 50, ago=timedelta(seconds=10))
        earlier = make_due(wallet, 50, ago=timedelta(seconds=20))
        batch = take()
        self.assertEqual([c.id for c in batch.claimed], earlier)
        self.assertEqual(status_of(later[0]), Status.FAILED)

    def test_leaves_what_is_not_due(self) -> None:
        wallet = make_wallet(100)
        [pk] = make_due(wallet, 10, ago=timedelta(hours=-1))
        batch = take()
        self.assertEqual(batch.claimed, ())
        self.assertTrue(batch.drained)
        self.assertEqual(status_of(pk), Status.SCHEDULED)

    def test_moves_the_money_into_transit_and_leases_the_row(self) -> None:
        wallet = make_wallet(100)
        [pk] = make_due(wallet, 30)
        [claimed] = take().claimed
        row = Transaction.objects.get(pk=pk)
        self.assertEqual(legs(pk), [("WALLET", "IN_TRANSIT", 30)])
        self.assertEqual(LedgerEntry.objects.get(transaction=pk).balance_after, 70)
        self.assertEqual((row.lease_owner, row.epoch, row.maybe_sent), (WORKER, 1, False))
        assert row.lease_expires_at is not None
        self.assertGreater(row.lease_expires_at, database_now() + timedelta(seconds=25))
        self.assertEqual(claimed.transfer.idempotency_key, str(row.idempotency_key))
        self.assertEqual(
            list(StatusChange.objects.filter(transaction=pk).values_list("to_status", flat=True)),
            ["SCHEDULED", "PROCESSING"],
        )

    def test_fails_for_funds_without_moving_money(self) -> None:
        [pk] = make_due(make_wallet(10), 30)
        take()
        row = Transaction.objects.get(pk=pk)
        self.assertEqual((row.status, row.failure_reason), ("FAILED", "insufficient_funds"))
        self.assertEqual(legs(pk), [])

    def test_takes_at_most_what_is_wanted(self) -> None:
        make_due(make_wallet(100), *[1] * 10)
        batch = take(4)
        self.assertEqual(len(batch.claimed), 4)
        self.assertFalse(batch.drained)

    def test_says_drained_when_fewer_were_due_than_wanted(self) -> None:
        make_due(make_wallet(100), 1)
        self.assertTrue(take(4).drained)

    def test_never_claims_a_leased_row(self) -> None:
        make_due(make_wallet(100), 1)
        take()
        self.assertEqual(take(worker=OTHER_WORKER).claimed, ())


class ReclaimTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        [self.pk] = make_due(self.wallet, 30)
        [self.first] = take().claimed

    def test_replays_a_vanished_workers_row_with_the_same_key_and_marks_it_maybe_sent(
        self,
    ) -> None:
        lapse(self.pk)
        batch = take(worker=OTHER_WORKER)
        [again] = batch.claimed
        self.assertEqual(batch.reclaimed, 1)
        self.assertEqual(again.transfer, self.first.transfer)
        self.assertEqual((again.epoch, again.maybe_sent, again.step), (2, True, Step.SEND))
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 70)
        self.assertEqual(legs(self.pk), [("WALLET", "IN_TRANSIT", 30)])

    def test_keeps_a_row_clean_that_was_handed_back(self) -> None:
        finish(self.first, Verdict.HANDED_BACK, may_have_arrived=False, records=())
        [again] = take(worker=OTHER_WORKER).claimed
        self.assertEqual((again.maybe_sent, again.step), (False, Step.SEND))

    def test_asks_about_a_row_in_doubt(self) -> None:
        finish(self.first, Verdict.IN_DOUBT)
        self.assertEqual(take().claimed, ())  # not before its pause is over
        lapse(self.pk)
        [again] = take().claimed
        self.assertIs(again.step, Step.ASK)
        self.assertIsNotNone(again.seconds_since_last_send)

    def test_replays_a_row_in_doubt_where_the_bank_cannot_be_asked(self) -> None:
        rules = policy(inquiry_configured=False)
        finish(self.first, Verdict.IN_DOUBT)
        lapse(self.pk)
        [again] = take(rules=rules).claimed
        self.assertIs(again.step, Step.SEND)

    def test_never_sends_again_to_a_bank_that_ignores_keys(self) -> None:
        rules = policy(idempotency=Idempotency.NONE)
        lapse(self.pk)
        [again] = take(rules=rules).claimed
        self.assertIs(again.step, Step.ASK)

    def test_leaves_to_a_person_what_can_be_neither_sent_nor_asked(self) -> None:
        rules = policy(idempotency=Idempotency.NONE, inquiry_configured=False)
        lapse(self.pk)
        batch = take(rules=rules)
        row = Transaction.objects.get(pk=self.pk)
        self.assertEqual((batch.claimed, batch.stranded), ((), 1))
        self.assertIsNotNone(row.in_doubt_since)
        self.assertEqual((row.status, row.maybe_sent), (Status.PROCESSING, True))

    def test_does_not_replay_a_key_the_bank_may_have_forgotten(self) -> None:
        rules = policy(inquiry_configured=False, key_retention=timedelta(seconds=10))
        lapse(self.pk)
        batch = take(rules=rules)
        self.assertEqual((batch.claimed, batch.stranded), ((), 1))

    def test_shares_a_batch_between_lapsed_and_due(self) -> None:
        pks = make_due(self.wallet, *[1] * 20)
        taken = [c.id for c in take(10).claimed]
        lapse(*taken)
        batch = take(6)
        self.assertEqual(batch.reclaimed, 3)
        self.assertEqual(sum(c.id in pks[10:] for c in batch.claimed), 3)
