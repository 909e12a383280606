"""A bank that is away for ten minutes, in simulated time, and a limit that four executors share."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db import connection
from django.db.models import F
from django.test import TransactionTestCase, skipUnlessDBFeature

from wallets.domain.gate import Finding, ensure_gate, report
from wallets.domain.outcomes import BankHealth, CallKind, CallRecord, Outcome, Transfer, Verdict
from wallets.domain.policy import PayoutPolicy
from wallets.domain.withdrawals.claim import Claimed, claim
from wallets.domain.withdrawals.settle import Result, settle
from wallets.models import BankGate, Status, Transaction, Type, Wallet
from wallets.tasks.callers import Callers
from wallets.tasks.executor import Executor, Plan
from wallets.tests.money import RANDOM, WORKER, make_due, make_wallet, outcome, policy
from wallets.tests.racing import race

TEN_MINUTES = 600
Answer = Callable[[Claimed], Outcome]


def pass_time(span: timedelta) -> None:
    """Let everything that waits have waited for that much longer."""
    gate = ("paused_until", "retry_at", "refilled_at")
    BankGate.objects.update(**{name: F(name) - span for name in gate})
    row = ("lease_expires_at", "first_sent_at", "last_sent_at", "in_doubt_since")
    processing = Transaction.objects.filter(status=Status.PROCESSING)
    processing.update(**{name: F(name) - span for name in row})


def connection_refused(_: Claimed) -> Outcome:
    return outcome(Verdict.REFUSED, reason="network_error", health=BankHealth.UNREACHABLE)


def never_answers(_: Claimed) -> Outcome:
    return outcome(Verdict.IN_DOUBT, reason="read_timeout", health=BankHealth.UNREACHABLE)


def turns_us_away(_: Claimed) -> Outcome:
    return outcome(
        Verdict.HANDED_BACK,
        reason="misconfigured",
        may_have_arrived=False,
        health=BankHealth.MISCONFIGURED,
    )


def pays(_: Claimed) -> Outcome:
    return outcome(Verdict.PAID)


class OutageTest(TransactionTestCase):
    rules = policy()

    def setUp(self) -> None:
        ensure_gate()

    def due(self, withdrawals: int) -> None:
        self.withdrawals = withdrawals
        make_due(make_wallet(withdrawals), *[1] * withdrawals)

    def cycle(self, answer: Answer, wanted: int) -> timedelta:
        """What an executor does; how long it would wait before it claims again."""
        batch = claim(worker=WORKER, wanted=wanted, policy=self.rules, random_source=RANDOM)
        if not batch.claimed:
            return batch.permission.wait or timedelta(seconds=1)
        results = [
            Result(c.id, c.epoch, answer(c), brought_at=1.0, probe=c.probe) for c in batch.claimed
        ]
        settle(results, worker=WORKER, policy=self.rules, random_source=RANDOM)
        report(
            [Finding(r.outcome.health, probe=r.probe) for r in results],
            policy=self.rules,
        )
        return timedelta(0)

    def be_away(self, answer: Answer) -> None:
        passed = timedelta(0)
        while passed < timedelta(seconds=TEN_MINUTES):
            # An executor asks every second; every ten are enough to see each probe.
            wait = self.cycle(answer, 32) * 10
            pass_time(wait)
            passed += wait

    def recover(self) -> None:
        pass_time(timedelta(seconds=900))
        while Transaction.objects.filter(status__in=(Status.SCHEDULED, Status.PROCESSING)).exists():
            pass_time(self.cycle(pays, 1_000))

    def count(self, **columns: object) -> int:
        return Transaction.objects.filter(type=Type.WITHDRAWAL, **columns).count()

    def assert_drained(self, *, failed: int) -> None:
        self.assertEqual(self.count(status=Status.SUCCEEDED), self.withdrawals - failed)
        self.assertEqual(self.count(status=Status.FAILED), failed)
        self.assertEqual(Wallet.objects.get().balance, failed)
        self.assertEqual(BankGate.objects.get().breaker, BankGate.Breaker.CLOSED)

    def test_costs_one_batch_of_failures_and_drains_afterwards(self) -> None:
        # SQLite takes rows one by one, and ten thousand would be all that the suite does.
        self.due(10_000 if connection.vendor == "postgresql" else 1_000)
        self.be_away(connection_refused)
        failed = self.count(status=Status.FAILED)
        # What was in hand when the first failure was noticed, and not one for a probe.
        self.assertLessEqual(failed, 32)
        self.assertLessEqual(self.count(status=Status.PROCESSING), 1)
        self.recover()
        self.assert_drained(failed=failed)

    def test_fails_nobody_when_nothing_is_answered(self) -> None:
        self.due(300)
        self.be_away(never_answers)
        self.assertEqual(self.count(status=Status.FAILED), 0)
        self.assertLessEqual(self.count(status=Status.PROCESSING), 32 + 1)
        self.recover()
        self.assert_drained(failed=0)

    def test_debits_nobody_more_while_our_credentials_are_wrong(self) -> None:
        self.due(300)
        self.cycle(turns_us_away, 32)
        held = self.count(status=Status.PROCESSING)
        self.be_away(turns_us_away)
        self.assertEqual(self.count(status=Status.PROCESSING), held)
        self.recover()
        self.assert_drained(failed=0)


class SharedLimitTest(TransactionTestCase):
    @skipUnlessDBFeature("has_select_for_update_skip_locked")
    def test_holds_the_limit_over_four_executors(self) -> None:
        """Loaded or not, more than the limit is never claimed; how much less is not judged."""
        ensure_gate()
        make_due(make_wallet(1_000), *[1] * 60)
        rules, limit = policy(max_rps=40.0), 40.0
        sent: list[float] = []

        class Gateway:
            def transfer(
                self, transfer: Transfer, *, maybe_sent: bool, may_send: Callable[[], bool]
            ) -> Outcome:
                sent.append(time.monotonic())
                records = (CallRecord(CallKind.TRANSFER, 0.0, 5, 200, "paid", None, ""),)
                return outcome(Verdict.PAID, records=records)

            def close(self) -> None:
                pass

        def run(number: int) -> None:
            self.executor(rules, Gateway, number).run()

        begun = time.monotonic()
        race([partial(run, n) for n in range(4)])
        elapsed = time.monotonic() - begun
        self.assertEqual(len(sent), 60)
        self.assertEqual(Transaction.objects.filter(status=Status.SUCCEEDED).count(), 1 + 60)
        self.assertLessEqual(len(sent), limit * (elapsed + 0.1) + 1)

    def executor(self, rules: PayoutPolicy, gateway: type, number: int) -> Executor:
        return Executor(
            plan=Plan(limit=1_000, concurrency=4, loop=False, sleep_seconds=0.5),
            policy=rules,
            callers=Callers(count=4, make_gateway=gateway, send_seconds=1.0),
            stop=threading.Event(),
            on_cycle=lambda _: None,
            on_progress=lambda _: None,
            random_source=random.Random(uuid.UUID(int=number).int),
        )
