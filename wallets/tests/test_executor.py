"""The executor's loop with a scripted bank in place of the network."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

from django.db import OperationalError, connection
from django.test import TransactionTestCase

from wallets.domain.gate import ensure_gate
from wallets.domain.outcomes import BankHealth, Outcome, Transfer, Verdict
from wallets.domain.policy import PayoutPolicy
from wallets.models import BankGate, Status, StatusChange, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.tasks import executor as executor_module
from wallets.tasks.callers import Callers
from wallets.tasks.executor import DatabaseLost, Executor, Plan
from wallets.tasks.summary import Summary
from wallets.tests.money import (
    OTHER_WORKER,
    lapse,
    make_due,
    make_wallet,
    outcome,
    policy,
    take,
)

Answer = Callable[[Transfer], Outcome]


class ScriptedGateway:
    """Answers at once, and honours ``may_send`` as the real one does."""

    def __init__(self, answer: Answer, sent: list[str]) -> None:
        self._answer = answer
        self._sent = sent

    def transfer(
        self, transfer: Transfer, *, maybe_sent: bool, may_send: Callable[[], bool]
    ) -> Outcome:
        if not may_send():
            return outcome(
                Verdict.HANDED_BACK, reason="unsent", health=BankHealth.UNTRIED, records=()
            )
        self._sent.append(transfer.idempotency_key)
        return self._answer(transfer)

    def inquire(self, transfer: Transfer, *, seconds_since_last_send: float | None) -> Outcome:
        return self._answer(transfer)

    def close(self) -> None:
        pass


def pays(_: Transfer) -> Outcome:
    return outcome(Verdict.PAID)


class ExecutorTest(TransactionTestCase):
    def setUp(self) -> None:
        ensure_gate()
        self.stop = threading.Event()
        self.cycles: list[Summary] = []
        self.sent: list[str] = []

    def executor(
        self,
        answer: Answer = pays,
        *,
        rules: PayoutPolicy | None = None,
        send_seconds: float = 0.1,
        **plan: object,
    ) -> Executor:
        values: dict[str, object] = {
            "limit": 100,
            "concurrency": 4,
            "loop": False,
            "sleep_seconds": 0.05,
        }
        return Executor(
            plan=Plan(**(values | plan)),  # type: ignore[arg-type]
            policy=rules or policy(),
            callers=Callers(
                count=int(str((values | plan)["concurrency"])),
                make_gateway=lambda: ScriptedGateway(answer, self.sent),  # type: ignore[arg-type,return-value]
                send_seconds=send_seconds,
            ),
            stop=self.stop,
            on_cycle=self.cycles.append,
            on_progress=lambda _: None,
            random_source=random.Random(3),
        )

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for status in Transaction.objects.filter(type=Type.WITHDRAWAL).values_list(
            "status", flat=True
        ):
            found[status] = found.get(status, 0) + 1
        return found

    def test_pays_everything_due_once_and_ends(self) -> None:
        make_due(make_wallet(1_000), *[10] * 30)
        self.executor().run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 30})
        self.assertEqual((len(self.sent), len(set(self.sent))), (30, 30))
        self.assertEqual(
            str(self.cycles[-1]),
            "processed=30 succeeded=30 failed=0 insufficient_funds=0 in_doubt=0 reclaimed=0",
        )

    def test_ends_at_once_with_a_line_when_nothing_is_due(self) -> None:
        self.executor().run()
        self.assertEqual([cycle.processed for cycle in self.cycles], [0])

    def test_takes_at_most_the_limit(self) -> None:
        make_due(make_wallet(1_000), *[10] * 30)
        self.executor(limit=7).run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 7, "SCHEDULED": 23})

    def test_counts_each_kind_of_ending(self) -> None:
        make_due(make_wallet(30), 10, 10, 500)
        verdicts = iter([Verdict.REFUSED, Verdict.IN_DOUBT])
        self.executor(lambda _: outcome(next(verdicts)), concurrency=1).run()
        self.assertEqual(
            str(self.cycles[-1]),
            "processed=3 succeeded=0 failed=1 insufficient_funds=1 in_doubt=1 reclaimed=0",
        )

    def test_works_on_in_a_loop_until_told_to_stop(self) -> None:
        wallet = make_wallet(1_000)
        make_due(wallet, *[1] * 5)
        executor = self.executor(loop=True, limit=3)
        seen = threading.Event()

        def on_cycle(summary: Summary) -> None:
            self.cycles.append(summary)
            if self.counts() == {"SUCCEEDED": 5}:
                seen.set()
                self.stop.set()

        executor._on_cycle = on_cycle
        executor.run()
        self.assertTrue(seen.is_set())
        self.assertEqual(sum(cycle.processed for cycle in self.cycles), 5)

    def test_hands_unsent_rows_back_clean_when_told_to_stop(self) -> None:
        ids = make_due(make_wallet(1_000), *[10] * 8)

        def stop_after_first(_: Transfer) -> Outcome:
            self.stop.set()
            time.sleep(0.3)
            return outcome(Verdict.PAID)

        self.executor(stop_after_first, concurrency=1, loop=True).run()
        rows = Transaction.objects.filter(pk__in=ids)
        handed_back = rows.filter(status=Status.PROCESSING)
        self.assertEqual(rows.filter(status=Status.SUCCEEDED).count(), len(self.sent))
        self.assertGreater(handed_back.count(), 0)
        for row in handed_back:
            self.assertEqual((row.maybe_sent, row.lease_owner), (False, None))
            self.assertIsNotNone(row.lease_expires_at)
        lapsed = handed_back.filter(lease_expires_at__lte=database_now())
        self.assertEqual(lapsed.count(), handed_back.count())
        self.stop.clear()
        self.executor().run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 8})
        self.assertEqual(len(self.sent), 8)

    def test_keeps_its_leases_while_a_call_takes_longer_than_one(self) -> None:
        [pk] = make_due(make_wallet(100), 10)
        rules = policy(lease=timedelta(seconds=0.6))
        kept: list[set[int]] = []

        def slow(_: Transfer) -> Outcome:
            time.sleep(1.5)
            return outcome(Verdict.PAID)

        renew = executor_module.renew

        def watched(**arguments: Any) -> set[int]:
            kept.append(renew(**arguments))
            return kept[-1]

        with mock.patch.object(executor_module, "renew", side_effect=watched):
            self.executor(slow, rules=rules).run()
        self.assertGreaterEqual(len(kept), 3)
        self.assertTrue(all(each == {pk} for each in kept), kept)
        self.assertEqual(self.counts(), {"SUCCEEDED": 1})

    def test_sends_nothing_that_could_outlive_its_lease(self) -> None:
        make_due(make_wallet(100), 10)
        rules = policy(lease=timedelta(seconds=0.2))
        executor = self.executor(rules=rules, send_seconds=10)
        executor._plan = replace(executor._plan, limit=1)
        executor._budget = 1
        executor.run()
        self.assertEqual(self.sent, [])
        self.assertEqual(self.counts(), {"PROCESSING": 1})

    def test_takes_over_a_lapsed_row_and_counts_it(self) -> None:
        ids = make_due(make_wallet(100), 10)
        take(worker=OTHER_WORKER)
        lapse(*ids)
        self.executor().run()
        self.assertEqual(self.cycles[-1].reclaimed, 1)
        self.assertEqual(self.counts(), {"SUCCEEDED": 1})

    def test_opens_the_breaker_and_leaves_the_rest_of_the_queue_alone(self) -> None:
        make_due(make_wallet(10_000), *[1] * 200)

        def unreachable(_: Transfer) -> Outcome:
            return outcome(Verdict.REFUSED, reason="network_error", health=BankHealth.UNREACHABLE)

        self.executor(unreachable, limit=1_000).run()
        counts = self.counts()
        self.assertLessEqual(counts["FAILED"], 10 + 2 * 4)
        self.assertGreaterEqual(counts["SCHEDULED"], 170)
        self.assertEqual(BankGate.objects.get().breaker, BankGate.Breaker.OPEN)
        self.assertEqual(Wallet.objects.get().balance + counts.get("PROCESSING", 0), 10_000)

    def test_claims_nothing_while_our_credentials_are_wrong(self) -> None:
        make_due(make_wallet(10_000), *[1] * 100)

        def unauthorised(_: Transfer) -> Outcome:
            return outcome(
                Verdict.HANDED_BACK,
                reason="misconfigured",
                may_have_arrived=False,
                health=BankHealth.MISCONFIGURED,
            )

        self.executor(unauthorised, limit=1_000).run()
        self.assertNotIn("FAILED", self.counts())
        held = self.counts()["PROCESSING"]
        self.executor(unauthorised, limit=1_000).run()
        self.assertEqual(self.counts()["PROCESSING"], held)

    def test_probes_with_one_row_and_drains_the_queue_once_the_bank_is_back(self) -> None:
        make_due(make_wallet(10_000), *[1] * 50)
        rules = policy(breaker_cooldown=timedelta(0))
        BankGate.objects.update(breaker=BankGate.Breaker.OPEN, consecutive_failures=10)
        self.executor(rules=rules, limit=1_000).run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 50})
        self.assertEqual(BankGate.objects.get().breaker, BankGate.Breaker.CLOSED)

    def test_waits_for_a_lost_database_and_settles_once_it_is_back(self) -> None:
        make_due(make_wallet(100), *[10] * 5)
        settle = executor_module.settle
        failures = iter([True, True])

        def flaky(*args: object, **kwargs: object) -> object:
            if next(failures, False):
                raise OperationalError("server closed the connection unexpectedly")
            return settle(*args, **kwargs)  # type: ignore[arg-type]

        with mock.patch.object(executor_module, "settle", side_effect=flaky):
            self.executor(loop=False).run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 5})

    def test_settles_once_although_the_acknowledgement_was_lost(self) -> None:
        ids = make_due(make_wallet(100), *[10] * 5)
        settle = executor_module.settle
        lost = iter([True])

        def commits_then_fails(*args: object, **kwargs: object) -> object:
            settled = settle(*args, **kwargs)  # type: ignore[arg-type]
            if next(lost, False):
                raise OperationalError("server closed the connection unexpectedly")
            return settled

        with mock.patch.object(executor_module, "settle", side_effect=commits_then_fails):
            self.executor(concurrency=8).run()
        self.assertEqual(self.counts(), {"SUCCEEDED": 5})
        ends = StatusChange.objects.filter(transaction__in=ids, to_status=Status.SUCCEEDED)
        self.assertEqual(ends.count(), 5)
        for row in Transaction.objects.filter(pk__in=ids):
            self.assertEqual(row.bank_calls.count(), 1)

    def test_gives_up_a_single_run_when_the_database_stays_away(self) -> None:
        rules = policy(lease=timedelta(seconds=0.3))
        with (
            mock.patch.object(executor_module, "look_ahead", side_effect=OperationalError("gone")),
            self.assertRaises(DatabaseLost),
        ):
            self.executor(rules=rules).run()

    def test_does_not_hide_what_a_thread_raised(self) -> None:
        make_due(make_wallet(100), 10)

        def broken(_: Transfer) -> Outcome:
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            self.executor(broken).run()

    def test_asks_at_most_three_queries_when_idle(self) -> None:
        executor = self.executor(loop=True)
        executor._drained = True
        with self.assertNumQueries(1):
            executor._claim()
        self.assertFalse(connection.in_atomic_block)
