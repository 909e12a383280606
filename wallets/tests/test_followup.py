"""Withdrawals in doubt, to their end: what is sent, asked or left to a person, and when."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import SimpleTestCase, TestCase, TransactionTestCase

from wallets.domain.gate import ensure_gate
from wallets.domain.outcomes import (
    BankHealth,
    CallKind,
    Idempotency,
    Observation,
    Outcome,
    Transfer,
    Transport,
    Verdict,
    judge_inquiry,
    judge_transfer,
)
from wallets.domain.withdrawals.claim import Claimed
from wallets.domain.withdrawals.followup import Step, next_step, pause_before_asking
from wallets.domain.withdrawals.rows import Row
from wallets.domain.withdrawals.settle import Result, settle
from wallets.models import (
    MAX_BALANCE,
    BankGate,
    Status,
    StatusChange,
    Transaction,
    Wallet,
)
from wallets.models.clock import database_now
from wallets.tasks.callers import Callers
from wallets.tasks.executor import Executor, Plan
from wallets.tasks.hand import InHand
from wallets.tests.money import (
    OTHER_WORKER,
    RANDOM,
    WORKER,
    finish,
    lapse,
    make_due,
    make_wallet,
    outcome,
    policy,
    take,
)

FULL, SUCCESS_ONLY, NONE = Idempotency.FULL, Idempotency.SUCCESS_ONLY, Idempotency.NONE
GRACE = 60.0
PAID_BODY = b'{"data": "success", "status": 200, "reference": "B-1"}'
FAILED_BODY = b'{"data": "failed", "status": 503}'
PENDING_BODY = b'{"data": "pending"}'
NOT_FOUND_BODY = b'{"data": "not_found"}'


def answer(kind: CallKind, status: int, body: bytes) -> Observation:
    return Observation(kind, 0.0, 0.01, Transport.ANSWERED, http_status=status, body=body)


def sent(status: int, body: bytes) -> Observation:
    return answer(CallKind.TRANSFER, status, body)


def asked(status: int, body: bytes) -> Observation:
    return answer(CallKind.INQUIRY, status, body)


TIMEOUT = Observation(CallKind.TRANSFER, 0.0, 3.0, Transport.MAY_HAVE_ARRIVED, "read_timeout")
REFUSED_CONNECTION = Observation(CallKind.TRANSFER, 0.0, 0.0, Transport.NOT_SENT, "refused")


class NextStepTest(SimpleTestCase):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def row(self, *, maybe_sent: bool, in_doubt: bool, first_sent: timedelta | None) -> Row:
        return Row(
            id=1,
            wallet_id=1,
            status="PROCESSING",
            amount=1,
            idempotency_key=uuid.UUID(int=1),
            epoch=1,
            lease_owner=None,
            maybe_sent=maybe_sent,
            first_sent_at=None if first_sent is None else self.now - first_sent,
            last_sent_at=None,
            in_doubt_since=self.now if in_doubt else None,
            bank_reference=None,
        )

    def test_sends_asks_or_waits_by_the_table(self) -> None:
        send, ask, wait = Step.SEND, Step.ASK, Step.WAIT
        recent, old = timedelta(hours=1), timedelta(hours=25)
        clean, crashed, doubt = (False, False, False), (False, True, False), (True, False, True)
        # (maybe sent, vanished, in doubt), first sent, inquiry -> full, success_only, none
        table = [
            (clean, None, True, (send, send, send)),
            (clean, recent, False, (send, send, send)),
            (clean, old, True, (send, send, send)),
            (crashed, recent, True, (send, send, ask)),
            (crashed, recent, False, (send, send, wait)),
            (crashed, old, True, (ask, ask, ask)),
            (crashed, old, False, (wait, wait, wait)),
            (doubt, recent, True, (ask, ask, ask)),
            (doubt, recent, False, (send, send, wait)),
            (doubt, old, True, (ask, ask, ask)),
            (doubt, old, False, (wait, wait, wait)),
        ]
        for (maybe_sent, vanished, in_doubt), first_sent, inquiry, steps in table:
            row = self.row(maybe_sent=maybe_sent, in_doubt=in_doubt, first_sent=first_sent)
            for idempotency, expected in zip((FULL, SUCCESS_ONLY, NONE), steps, strict=True):
                rules = policy(idempotency=idempotency, inquiry_configured=inquiry)
                with self.subTest(row=row, inquiry=inquiry, idempotency=idempotency):
                    step = next_step(row, vanished=vanished, now=self.now, policy=rules)
                    self.assertIs(step, expected)

    def test_replays_only_while_a_whole_lease_is_left_of_the_keys_memory(self) -> None:
        rules = policy(key_retention=timedelta(hours=1), lease=timedelta(minutes=1))
        for age, step in ((58, Step.SEND), (59, Step.ASK), (61, Step.ASK)):
            row = self.row(maybe_sent=True, in_doubt=False, first_sent=timedelta(minutes=age))
            with self.subTest(age):
                self.assertIs(next_step(row, vanished=True, now=self.now, policy=rules), step)


class PauseTest(SimpleTestCase):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rules = policy(ask_min=timedelta(seconds=2), ask_max=timedelta(seconds=900))

    def pauses(self, age: float | None) -> list[float]:
        source = random.Random(5)
        since = None if age is None else self.now - timedelta(seconds=age)
        return [
            pause_before_asking(
                since, now=self.now, policy=self.rules, random_source=source
            ).total_seconds()
            for _ in range(500)
        ]

    def test_begins_with_the_shortest(self) -> None:
        self.assertEqual(set(self.pauses(None)), {2.0})

    def test_spreads_between_the_shortest_and_the_age_of_the_doubt(self) -> None:
        for age in (4, 60, 899):
            with self.subTest(age):
                found = self.pauses(age)
                self.assertGreaterEqual(min(found), 2)
                self.assertLessEqual(max(found), age)
                self.assertLess(min(found), 2 + 0.1 * age)
                self.assertGreater(max(found), 0.9 * age)

    def test_never_exceeds_the_longest(self) -> None:
        self.assertLessEqual(max(self.pauses(1e7)), 900)

    def test_asks_a_bounded_number_of_times_a_day(self) -> None:
        source, age, times = random.Random(5), 0.0, 0
        while age < 86_400:
            pause = pause_before_asking(
                self.now - timedelta(seconds=age),
                now=self.now,
                policy=self.rules,
                random_source=source,
            )
            age, times = age + pause.total_seconds(), times + 1
        self.assertLess(times, 300)


class Story(TestCase):
    """One withdrawal of 30 from a wallet of 100, taken through scripted answers of the bank."""

    rules = policy()

    def setUp(self) -> None:
        self.wallet = make_wallet(100)
        [self.pk] = make_due(self.wallet, 30)

    def claim(self, worker: uuid.UUID = WORKER) -> Claimed:
        [claimed] = take(worker=worker, rules=self.rules).claimed
        return claimed

    def again(self) -> Claimed:
        lapse(self.pk)
        return self.claim()

    def end(self, claimed: Claimed, *observations: Observation, since: float | None = None) -> None:
        """Let the gateway's judgement of what was observed be settled."""
        if claimed.step is Step.ASK:
            kept = claimed.key_kept_seconds > 0
            known = claimed.seconds_since_last_send if kept else None
            found = judge_inquiry(
                observations[0],
                transfer=claimed.transfer,
                idempotency=self.rules.idempotency,
                seconds_since_last_send=known if since is None else since,
                not_found_grace=GRACE,
            )
        else:
            found = judge_transfer(
                observations,
                transfer=claimed.transfer,
                maybe_sent=claimed.maybe_sent,
                idempotency=self.rules.idempotency,
                inquiry_configured=self.rules.inquiry_configured,
            )
        self.settle(claimed, found)

    def settle(self, claimed: Claimed, found: Outcome, worker: uuid.UUID = WORKER) -> None:
        result = Result(claimed.id, claimed.epoch, found, brought_at=1.0, probe=claimed.probe)
        settle([result], worker=worker, policy=self.rules, random_source=RANDOM)

    def row(self) -> Transaction:
        return Transaction.objects.get(pk=self.pk)

    def assert_state(self, status: Status, balance: int, *, in_doubt: bool = False) -> None:
        row = self.row()
        self.assertEqual((row.status, row.in_doubt_since is not None), (status, in_doubt))
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, balance)

    def reasons(self) -> list[str]:
        changes = StatusChange.objects.filter(transaction=self.pk).order_by("id")
        return list(changes.values_list("reason", flat=True))


class InquiryTest(Story):
    def doubt(self) -> Claimed:
        self.end(self.claim(), TIMEOUT)
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)
        claimed = self.again()
        self.assertIs(claimed.step, Step.ASK)
        return claimed

    def test_pays_what_the_bank_says_it_paid(self) -> None:
        self.end(self.doubt(), asked(200, PAID_BODY))
        self.assert_state(Status.SUCCEEDED, 70)
        self.assertEqual(self.row().bank_reference, "B-1")

    def test_refunds_what_the_bank_says_failed(self) -> None:
        self.end(self.doubt(), asked(200, FAILED_BODY))
        self.assert_state(Status.FAILED, 100)

    def test_refunds_what_the_bank_has_not_found_after_the_grace(self) -> None:
        self.end(self.doubt(), asked(404, NOT_FOUND_BODY), since=GRACE)
        self.assert_state(Status.FAILED, 100)
        self.assertEqual(self.row().failure_reason, "network_error")

    def test_holds_the_money_as_long_as_the_answer_proves_nothing(self) -> None:
        proves_nothing = [
            asked(404, NOT_FOUND_BODY),  # before the grace
            asked(404, b"<h1>Not Found</h1>"),
            asked(200, PENDING_BODY),
            asked(200, b"<html>"),
            asked(401, b"{}"),
            asked(500, b""),
            asked(503, b""),
            asked(429, b""),
            asked(302, b""),
            Observation(CallKind.INQUIRY, 0.0, 0.0, Transport.NOT_SENT, "refused"),
            Observation(CallKind.INQUIRY, 0.0, 3.0, Transport.MAY_HAVE_ARRIVED, "read_timeout"),
        ]
        self.doubt()
        for observation in proves_nothing:
            with self.subTest(observation):
                self.end(self.again(), observation)
                self.assert_state(Status.PROCESSING, 70, in_doubt=True)

    def test_counts_the_grace_from_the_last_send_of_whoever_vanished(self) -> None:
        self.claim()
        Transaction.objects.filter(pk=self.pk).update(
            lease_expires_at=database_now() - timedelta(seconds=1),
            first_sent_at=database_now() - timedelta(days=2),
        )
        claimed = self.claim(OTHER_WORKER)
        self.assertIs(claimed.step, Step.ASK)  # its key is too old to be sent
        self.assertEqual(claimed.seconds_since_last_send, 0)

    def test_keeps_the_first_moment_of_doubt(self) -> None:
        claimed = self.doubt()
        since = self.row().in_doubt_since
        self.end(claimed, asked(200, PENDING_BODY))
        self.assertEqual(self.row().in_doubt_since, since)

    def test_says_once_that_it_is_in_doubt(self) -> None:
        self.end(self.doubt(), asked(200, PENDING_BODY))
        for _ in range(3):
            self.end(self.again(), asked(200, PENDING_BODY))
        self.assertEqual(self.reasons(), ["scheduled", "claimed", "in_doubt: read_timeout"])

    def test_asks_what_became_of_a_payment_that_is_pending(self) -> None:
        self.end(self.claim(), sent(200, PENDING_BODY))
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)
        claimed = self.again()
        self.assertIs(claimed.step, Step.ASK)
        self.end(claimed, asked(200, PAID_BODY))
        self.assert_state(Status.SUCCEEDED, 70)


class FullIdempotencyTest(Story):
    def test_refunds_a_clean_refusal(self) -> None:
        self.end(self.claim(), sent(200, FAILED_BODY))
        self.assert_state(Status.FAILED, 100)

    def test_asks_before_it_believes_a_refusal_that_is_not_clean(self) -> None:
        self.end(self.claim(), TIMEOUT, sent(200, FAILED_BODY))
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)

    def test_replays_what_a_vanished_worker_left_and_then_asks(self) -> None:
        self.claim()
        claimed = self.again()
        self.assertEqual((claimed.step, claimed.maybe_sent), (Step.SEND, True))
        self.end(claimed, sent(200, FAILED_BODY))
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)
        self.assertIs(self.again().step, Step.ASK)


class FullIdempotencyWithoutInquiryTest(Story):
    rules = policy(inquiry_configured=False)

    def test_believes_a_refusal_in_words_although_it_is_not_clean(self) -> None:
        self.end(self.claim(), TIMEOUT)
        claimed = self.again()
        self.assertIs(claimed.step, Step.SEND)
        self.end(claimed, sent(200, FAILED_BODY))
        self.assert_state(Status.FAILED, 100)

    def test_holds_the_money_when_a_replay_cannot_connect(self) -> None:
        self.end(self.claim(), TIMEOUT)
        self.end(self.again(), REFUSED_CONNECTION)
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)


class SuccessOnlyTest(Story):
    rules = policy(idempotency=SUCCESS_ONLY, inquiry_configured=False)

    def test_replays_but_never_believes_a_refusal_that_is_not_clean(self) -> None:
        self.end(self.claim(), TIMEOUT)
        for _ in range(3):
            claimed = self.again()
            self.assertIs(claimed.step, Step.SEND)
            self.end(claimed, sent(200, FAILED_BODY))
            self.assert_state(Status.PROCESSING, 70, in_doubt=True)
        self.end(self.again(), sent(200, PAID_BODY))
        self.assert_state(Status.SUCCEEDED, 70)

    def test_refunds_a_clean_refusal(self) -> None:
        self.end(self.claim(), sent(200, FAILED_BODY))
        self.assert_state(Status.FAILED, 100)


class SuccessOnlyInquiryTest(Story):
    rules = policy(idempotency=SUCCESS_ONLY)

    def test_believes_failed_only_when_nothing_can_be_under_way_any_more(self) -> None:
        self.end(self.claim(), TIMEOUT)
        self.end(self.again(), asked(200, FAILED_BODY), since=GRACE - 1)
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)
        self.end(self.again(), asked(200, FAILED_BODY), since=GRACE)
        self.assert_state(Status.FAILED, 100)


class NoIdempotencyTest(Story):
    rules = policy(idempotency=NONE)

    def test_asks_and_never_sends_after_a_try_that_may_have_arrived(self) -> None:
        self.end(self.claim(), TIMEOUT)
        for _ in range(3):
            claimed = self.again()
            self.assertIs(claimed.step, Step.ASK)
            self.end(claimed, asked(200, PENDING_BODY))

    def test_asks_what_a_vanished_worker_left(self) -> None:
        self.claim()
        self.assertIs(self.again().step, Step.ASK)

    def test_sends_again_what_was_handed_back_clean(self) -> None:
        self.end(self.claim(), sent(429, b""))
        self.assertIs(self.again().step, Step.SEND)


class AwaitingOperatorTest(Story):
    rules = policy(inquiry_configured=False)

    def age(self, by: timedelta) -> None:
        then = database_now() - by
        Transaction.objects.filter(pk=self.pk).update(first_sent_at=then, lease_expires_at=then)

    def test_stops_replaying_when_the_bank_may_have_forgotten_the_key(self) -> None:
        self.end(self.claim(), TIMEOUT)
        self.age(timedelta(hours=25))
        with self.assertLogs("wallets.claim", "ERROR") as logs:
            batch = take(rules=self.rules)
        self.assertEqual((batch.claimed, batch.stranded), ((), 1))
        self.assertEqual(vars(logs.records[0])["alarm"], "awaiting_operator")
        self.assert_state(Status.PROCESSING, 70, in_doubt=True)

    def test_says_so_once_although_it_was_in_doubt_before(self) -> None:
        self.end(self.claim(), TIMEOUT)
        for _ in range(3):
            self.age(timedelta(hours=25))
            take(rules=self.rules)
        self.assertEqual(
            self.reasons(), ["scheduled", "claimed", "in_doubt: read_timeout", "awaiting_operator"]
        )

    def test_alarms_only_the_first_time(self) -> None:
        self.end(self.claim(), TIMEOUT)
        self.age(timedelta(hours=25))
        take(rules=self.rules)
        self.age(timedelta(hours=25))
        with self.assertNoLogs("wallets.claim", "ERROR"):
            take(rules=self.rules)

    def test_says_so_too_while_it_still_asks_about_a_key_that_may_be_forgotten(self) -> None:
        self.rules = policy()
        self.end(self.claim(), TIMEOUT)
        self.age(timedelta(hours=25))
        with self.assertLogs("wallets.claim", "ERROR"):
            claimed = self.claim()
        self.assertIs(claimed.step, Step.ASK)
        self.assertLess(claimed.key_kept_seconds, 0)
        self.end(claimed, asked(404, NOT_FOUND_BODY), since=None)
        with self.assertNoLogs("wallets.claim", "ERROR"):
            self.again()
        self.assertEqual(self.reasons().count("awaiting_operator"), 1)

    def test_asks_again_once_the_bank_can_be_asked(self) -> None:
        self.end(self.claim(), TIMEOUT)
        self.age(timedelta(hours=25))
        take(rules=self.rules)
        self.rules = policy()
        self.assertIs(self.again().step, Step.ASK)


class KeyRetentionTest(SimpleTestCase):
    def callers(self) -> Callers:
        return Callers(count=1, make_gateway=self.fail, send_seconds=3.0)

    def in_hand(self, *, deadline: float, key_kept_until: float) -> InHand:
        transfer = Transfer("k", "w", 1, "IRR")
        claimed = Claimed(1, 2, transfer, Step.SEND, True, None, 99.0)
        now = time.monotonic()
        return InHand(claimed, deadline=now + deadline, key_kept_until=now + key_kept_until)

    def test_sends_nothing_that_could_outlive_lease_or_key(self) -> None:
        for deadline, kept, may in ((9, 9, True), (2, 9, False), (9, 2, False)):
            with self.subTest(deadline=deadline, kept=kept):
                item = self.in_hand(deadline=deadline, key_kept_until=kept)
                self.assertIs(self.callers()._may_send(item), may)


class ClaimedKeyTest(Story):
    def test_says_how_long_the_key_is_kept(self) -> None:
        self.rules = policy(key_retention=timedelta(hours=1))
        self.assertEqual(self.claim().key_kept_seconds, 3_600)
        Transaction.objects.filter(pk=self.pk).update(
            first_sent_at=database_now() - timedelta(minutes=10)
        )
        self.assertAlmostEqual(self.again().key_kept_seconds, 3_000, delta=5)


class ProbeTest(TestCase):
    """An open breaker that has cooled down lets one withdrawal through."""

    def setUp(self) -> None:
        self.wallet = make_wallet(1_000)

    def open_breaker(self, *, failures: int) -> None:
        ensure_gate()
        BankGate.objects.update(
            breaker=BankGate.Breaker.OPEN, retry_at=None, consecutive_failures=failures
        )

    def in_doubt_and_handed_back(self) -> tuple[int, int]:
        doubtful, clean = make_due(self.wallet, 10, 10)
        first, second = take().claimed
        finish(first, Verdict.IN_DOUBT)
        finish(second, Verdict.HANDED_BACK, may_have_arrived=False, records=())
        lapse(doubtful)
        lapse(clean)
        Transaction.objects.filter(pk=doubtful).update(
            lease_expires_at=database_now() - timedelta(minutes=5)
        )
        return doubtful, clean

    def probe(self) -> Claimed:
        [claimed] = take().claimed
        self.assertTrue(claimed.probe)
        return claimed

    def test_probes_with_held_money_before_it_debits_anybody(self) -> None:
        doubtful, _ = self.in_doubt_and_handed_back()
        make_due(self.wallet, 10)
        self.open_breaker(failures=10)
        self.assertEqual(self.probe().id, doubtful)

    def test_probes_with_a_transfer_after_wrong_credentials(self) -> None:
        _, clean = self.in_doubt_and_handed_back()
        make_due(self.wallet, 10)
        self.open_breaker(failures=0)
        self.assertEqual(self.probe().id, clean)

    def test_asks_when_there_is_nothing_to_send(self) -> None:
        doubtful, clean = self.in_doubt_and_handed_back()
        [again] = (c for c in take().claimed if c.id == clean)
        finish(again, Verdict.PAID)
        lapse(doubtful)
        self.open_breaker(failures=0)
        probe = self.probe()
        self.assertEqual((probe.id, probe.step), (doubtful, Step.ASK))

    def test_takes_a_due_one_when_nothing_is_held(self) -> None:
        [pk] = make_due(self.wallet, 10)
        self.open_breaker(failures=10)
        self.assertEqual(self.probe().id, pk)

    def probe_with(self, verdict: Verdict, **changes: Any) -> Transaction:
        make_due(self.wallet, 10)
        self.open_breaker(failures=10)
        claimed = self.probe()
        found = outcome(verdict, **changes)
        result = Result(claimed.id, claimed.epoch, found, brought_at=1.0, probe=True)
        settle([result], worker=WORKER, policy=policy(), random_source=RANDOM)
        return Transaction.objects.get(pk=claimed.id)

    def test_fails_nobody_for_a_probe_that_could_not_connect(self) -> None:
        row = self.probe_with(
            Verdict.REFUSED, reason="network_error", health=BankHealth.UNREACHABLE
        )
        self.assertEqual((row.status, row.maybe_sent), (Status.PROCESSING, False))

    def test_believes_a_refusal_that_a_probe_was_answered(self) -> None:
        self.assertEqual(self.probe_with(Verdict.REFUSED).status, Status.FAILED)


class LateResultTest(Story):
    def test_alarms_and_goes_on_when_the_database_lost_a_row(self) -> None:
        claimed = self.claim()
        lost = Result(claimed.id + 1_000, 1, outcome(Verdict.PAID), brought_at=1.0)
        kept = Result(claimed.id, claimed.epoch, outcome(Verdict.PAID), brought_at=1.0)
        with self.assertLogs("wallets.settle", "ERROR"):
            settled = settle([lost, kept], worker=WORKER, policy=self.rules, random_source=RANDOM)
        self.assertEqual((settled.alarms, settled.succeeded), (["withdrawal_vanished"], 1))
        self.assert_state(Status.SUCCEEDED, 70)

    def test_holds_a_refund_that_the_wallet_cannot_hold_any_more(self) -> None:
        [other] = make_due(make_wallet(10), 10)
        batch = take(rules=self.rules).claimed
        Wallet.objects.filter(pk=self.wallet).update(balance=MAX_BALANCE - 29)
        results = [Result(c.id, c.epoch, outcome(Verdict.REFUSED), brought_at=1.0) for c in batch]
        with self.assertLogs("wallets.settle", "ERROR"):
            settled = settle(results, worker=WORKER, policy=self.rules, random_source=RANDOM)
        self.assertEqual(settled.alarms, ["refund_does_not_fit"])
        self.assertEqual((settled.failed, settled.in_doubt), (1, 1))
        self.assert_state(Status.PROCESSING, MAX_BALANCE - 29, in_doubt=True)
        self.assertEqual(Transaction.objects.get(pk=other).status, Status.FAILED)


class FairnessTest(TestCase):
    def test_shares_every_batch_between_new_work_and_old(self) -> None:
        wallet = make_wallet(10_000)
        make_due(wallet, *[1] * 60)
        for claimed in take(30).claimed:
            finish(claimed, Verdict.IN_DOUBT)
            lapse(claimed.id)
        for wanted in (1, 2, 7, 10):
            with self.subTest(wanted):
                steps = [claimed.step for _ in range(2) for claimed in take(wanted).claimed]
                asks = steps.count(Step.ASK)
                self.assertLessEqual(abs(2 * asks - len(steps)), 2)

    def test_leaves_what_one_side_does_not_need_to_the_other(self) -> None:
        wallet = make_wallet(10_000)
        make_due(wallet, *[1] * 20)
        for claimed in take(18).claimed:
            finish(claimed, Verdict.IN_DOUBT)
            lapse(claimed.id)
        batch = take(10)
        self.assertEqual(len(batch.claimed), 10)
        self.assertFalse(batch.drained)
        self.assertEqual(len(take(20).claimed), 10)

    def test_takes_no_more_of_the_old_than_it_is_told(self) -> None:
        wallet = make_wallet(10_000)
        make_due(wallet, *[1] * 20)
        for claimed in take(10).claimed:
            finish(claimed, Verdict.IN_DOUBT)
            lapse(claimed.id)
        for most, expected in ((0, 0), (2, 2)):
            batch = take(8, most_lapsed=most)
            asks = sum(claimed.step is Step.ASK for claimed in batch.claimed)
            self.assertEqual((asks, batch.drained), (expected, False))


class SlowAnswersTest(TransactionTestCase):
    def test_keeps_half_of_the_threads_for_new_work_however_slow_answers_are(self) -> None:
        ensure_gate()
        wallet = make_wallet(10_000)
        ids = make_due(wallet, *[1] * 12)
        for claimed in take(12).claimed:
            finish(claimed, Verdict.IN_DOUBT)
        lapse(*ids)
        make_due(wallet, *[1] * 40)
        lock, active, most = threading.Lock(), [0], [0]

        class Gateway:
            def transfer(
                self, transfer: Transfer, *, maybe_sent: bool, may_send: Callable[[], bool]
            ) -> Outcome:
                return outcome(Verdict.PAID)

            def inquire(
                self, transfer: Transfer, *, seconds_since_last_send: float | None
            ) -> Outcome:
                with lock:
                    active[0] += 1
                    most[0] = max(most[0], active[0])
                time.sleep(0.05)
                with lock:
                    active[0] -= 1
                return outcome(Verdict.PAID, proof=CallKind.INQUIRY)

            def close(self) -> None:
                pass

        Executor(
            plan=Plan(limit=1_000, concurrency=4, loop=False, sleep_seconds=0.05),
            policy=policy(),
            callers=Callers(count=4, make_gateway=Gateway, send_seconds=1.0),  # type: ignore[arg-type]
            stop=threading.Event(),
            on_cycle=lambda _: None,
            on_progress=lambda _: None,
            random_source=random.Random(3),
        ).run()
        self.assertLessEqual(most[0], 2)
        self.assertEqual(Transaction.objects.filter(status=Status.SUCCEEDED).count(), 1 + 52)
