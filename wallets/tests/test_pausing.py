"""The kill switch: for all executors, at once, until a person lifts it."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any
from unittest import mock

from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, transaction
from django.test import TestCase, TransactionTestCase

from wallets.domain.gate import Closed, ensure_gate
from wallets.domain.outcomes import BankHealth, CallKind, Outcome, Transfer, Verdict
from wallets.domain.pausing import current_pause, pause_payouts, resume_payouts
from wallets.domain.people import BadInput
from wallets.domain.withdrawals.followup import Step
from wallets.models import BankGate, PayoutPause, Status, StatusChange, Transaction, Type, Wallet
from wallets.tasks.callers import Callers
from wallets.tasks.executor import Executor, Plan
from wallets.tasks.summary import Summary
from wallets.tests.money import (
    finish,
    lapse,
    make_due,
    make_wallet,
    outcome,
    policy,
    take,
)
from wallets.tests.racing import race


class PausingTest(TestCase):
    def test_says_who_when_and_why(self) -> None:
        self.assertIsNone(pause_payouts(by="eva", reason="  odd  references "))
        pause = current_pause()
        assert pause is not None
        self.assertEqual((pause.by, pause.reason), ("eva", "odd references"))

    def test_keeps_the_first_pause_and_remembers_the_second(self) -> None:
        pause_payouts(by="eva", reason="odd references")
        earlier = pause_payouts(by="omid", reason="bank called")
        assert earlier is not None
        self.assertEqual(earlier.by, "eva")
        lifted = resume_payouts(by="eva")
        self.assertEqual(
            [(p.by, p.reason) for p in lifted], [("eva", "odd references"), ("omid", "bank called")]
        )
        self.assertIsNone(current_pause())

    def test_lists_only_the_pauses_it_lifts(self) -> None:
        pause_payouts(by="eva", reason="first")
        resume_payouts(by="eva")
        time.sleep(0.002)  # SQLite's clock counts milliseconds
        pause_payouts(by="eva", reason="second")
        self.assertEqual([p.reason for p in resume_payouts(by="eva")], ["second"])

    def test_lifts_nothing_when_nothing_is_paused(self) -> None:
        self.assertEqual(resume_payouts(by="eva"), [])
        self.assertEqual(PayoutPause.objects.count(), 0)

    def test_refuses_what_would_tell_nobody_anything(self) -> None:
        for by, reason in (("eva", " "), ("", "fraud"), ("eva", "x" * 171), ("eva", "a\0b")):
            with self.subTest(by=by, reason=reason), self.assertRaises(BadInput):
                pause_payouts(by=by, reason=reason)
        self.assertIsNone(current_pause())

    def test_takes_reasons_in_persian(self) -> None:
        reason = "بانک می\u200cگوید صبر کنید"  # with the joiner that the spelling asks for
        pause_payouts(by="eva", reason=reason)
        pause = current_pause()
        self.assertEqual(pause and pause.reason, reason)
        for by, only in (("eva", "\u200c"), ("e\u200cva", "fraud")):
            with self.subTest(by=by, reason=only), self.assertRaises(BadInput):
                pause_payouts(by=by, reason=only)

    def test_keeps_a_history_that_cannot_be_rewritten(self) -> None:
        pause_payouts(by="eva", reason="fraud")
        rewriting: list[Callable[[], object]] = [
            lambda: PayoutPause.objects.update(by="omid"),
            lambda: PayoutPause.objects.all()._raw_delete("default"),
            lambda: BankGate.objects.all()._raw_delete("default"),
            lambda: BankGate.objects.update(halted_by=""),
        ]
        for rewrite in rewriting:
            with self.assertRaises(IntegrityError), transaction.atomic():
                rewrite()

    def test_is_a_pair_of_commands(self) -> None:
        out = StringIO()
        call_command("pause_payouts", reason="fraud", by="eva", stdout=out)
        call_command("pause_payouts", reason="bank called", by="omid", stdout=out)
        call_command("resume_payouts", by="omid", stdout=out)
        call_command("resume_payouts", by="omid", stdout=out)
        lines = out.getvalue().splitlines()
        self.assertEqual(lines[0], "Payouts are paused.")
        self.assertIn("by eva: fraud. Your reason was added.", lines[1])
        self.assertEqual(lines[2], "Payouts are resumed. They had been paused:")
        self.assertTrue(lines[3].endswith("by eva: fraud"))
        self.assertTrue(lines[4].endswith("by omid: bank called"))
        self.assertEqual(lines[5], "Payouts were not paused.")

    def test_is_told_in_one_sentence_when_the_database_is_away(self) -> None:
        given: dict[str, dict[str, Any]] = {
            "pause_payouts": {"reason": "fraud"},
            "resume_payouts": {},
        }
        for name, words in given.items():
            deed = f"wallets.management.commands.{name}.{name}"
            with (
                self.subTest(name),
                mock.patch(deed, side_effect=OperationalError("gone")),
                self.assertRaisesMessage(CommandError, "nothing was changed: gone"),
            ):
                call_command(name, by="eva", **words)

    def test_names_what_a_command_was_not_given(self) -> None:
        with self.assertRaisesMessage(CommandError, "--reason"):
            call_command("pause_payouts")
        with self.assertRaisesMessage(CommandError, "1 to 170 printable"):
            call_command("pause_payouts", reason="")


class PausedClaimTest(TestCase):
    def setUp(self) -> None:
        ensure_gate()
        self.wallet = make_wallet(1_000)

    def pause(self) -> None:
        pause_payouts(by="eva", reason="fraud")

    def test_claims_nothing_that_is_due(self) -> None:
        make_due(self.wallet, 10, 10)
        self.pause()
        batch = take()
        self.assertEqual((batch.claimed, batch.permission.closed), ((), Closed.HALTED))
        self.assertTrue(batch.drained)

    def test_still_asks_about_what_is_in_doubt(self) -> None:
        [pk] = make_due(self.wallet, 10)
        [claimed] = take().claimed
        finish(claimed, Verdict.IN_DOUBT)
        lapse(pk)
        self.pause()
        [asked] = take().claimed
        self.assertIs(asked.step, Step.ASK)
        finish(asked, Verdict.PAID, proof=CallKind.INQUIRY)
        self.assertEqual(Transaction.objects.get(pk=pk).status, Status.SUCCEEDED)

    def test_neither_replays_nor_sends_what_is_held(self) -> None:
        vanished, clean, doubtful = make_due(self.wallet, 10, 10, 10)
        _, second, third = take().claimed
        finish(second, Verdict.HANDED_BACK, may_have_arrived=False, records=())
        finish(third, Verdict.IN_DOUBT)
        lapse(vanished, clean, doubtful)
        self.pause()
        self.assertEqual(take(rules=policy(inquiry_configured=False)).claimed, ())
        self.assertEqual([c.id for c in take().claimed], [doubtful])

    def test_goes_on_where_it_stopped(self) -> None:
        make_due(self.wallet, 10, 10)
        self.pause()
        take()
        resume_payouts(by="eva")
        self.assertEqual(len(take().claimed), 2)


class SlowBank:
    """Pays, and takes its time; ``on_send`` is told of each transfer that leaves."""

    def __init__(self, seconds: float, on_send: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_send = on_send

    def transfer(
        self, transfer: Transfer, *, maybe_sent: bool, may_send: Callable[[], bool]
    ) -> Outcome:
        if not may_send():
            return outcome(
                Verdict.HANDED_BACK, reason="unsent", health=BankHealth.UNTRIED, records=()
            )
        self._on_send()
        time.sleep(self._seconds)
        return outcome(Verdict.PAID)

    def close(self) -> None:
        pass


class PausedExecutorTest(TransactionTestCase):
    def setUp(self) -> None:
        ensure_gate()
        self.stop = threading.Event()
        self.lines: list[str] = []
        self.sent = 0
        self.first_was_sent = threading.Event()

    def executor(self, *, loop: bool = False, bank_seconds: float = 0.0) -> Executor:
        return Executor(
            plan=Plan(limit=1_000, concurrency=2, loop=loop, sleep_seconds=0.1),
            policy=policy(),
            callers=Callers(
                count=2,
                make_gateway=lambda: SlowBank(bank_seconds, self.on_send),  # type: ignore[arg-type,return-value]
                send_seconds=5.0,
            ),
            stop=self.stop,
            on_cycle=self.on_cycle,
            on_progress=lambda _: None,
            random_source=random.Random(3),
        )

    def on_send(self) -> None:
        self.sent += 1
        self.first_was_sent.set()

    def on_cycle(self, summary: Summary) -> None:
        self.lines.append(str(summary))

    def count(self, status: Status) -> int:
        return Transaction.objects.filter(type=Type.WITHDRAWAL, status=status).count()

    def test_says_that_it_is_paused_and_ends(self) -> None:
        make_due(make_wallet(100), 10)
        pause_payouts(by="eva", reason="fraud")
        with self.assertLogs("wallets.executor", "WARNING") as logs:
            self.executor().run()
        self.assertTrue(self.lines[-1].endswith("reclaimed=0 paused=yes"))
        self.assertIn("payouts are paused: fraud", logs.output[0])
        self.assertEqual(self.count(Status.SCHEDULED), 1)

    def test_says_nothing_of_a_pause_that_is_over(self) -> None:
        pause_payouts(by="eva", reason="fraud")
        resume_payouts(by="eva")
        self.executor().run()
        self.assertTrue(self.lines[-1].endswith("reclaimed=0"))

    def test_finishes_what_is_in_flight_and_hands_the_rest_back_unsent(self) -> None:
        ids = make_due(make_wallet(1_000), *[10] * 8)

        def pause_when_one_is_out() -> None:
            self.first_was_sent.wait()
            pause_payouts(by="eva", reason="fraud")

        race([self.executor(bank_seconds=3.0).run, pause_when_one_is_out])
        self.assertLessEqual(self.sent, 2)
        self.assertEqual(self.count(Status.SUCCEEDED), self.sent)
        held = Transaction.objects.filter(pk__in=ids, status=Status.PROCESSING)
        self.assertEqual(held.count(), 6 - self.sent)
        for row in held:
            self.assertEqual((row.maybe_sent, row.lease_owner), (False, None))

    def test_goes_on_by_itself_once_resumed(self) -> None:
        make_due(make_wallet(1_000), *[10] * 3)
        pause_payouts(by="eva", reason="fraud")

        def resume_when_it_was_seen_paused() -> None:
            while not any("paused=yes" in line for line in self.lines):
                time.sleep(0.01)
            resume_payouts(by="eva")
            while self.count(Status.SUCCEEDED) < 3:
                time.sleep(0.02)
            self.stop.set()

        race([self.executor(loop=True).run, resume_when_it_was_seen_paused])
        self.assertEqual(self.count(Status.SUCCEEDED), 3)
        self.assertNotIn("paused", self.lines[-1])

    def test_lets_no_claim_commit_once_it_has_returned(self) -> None:
        make_due(make_wallet(1_000), *[1] * 200)
        done = threading.Event()

        def claiming(number: int) -> None:
            while not done.is_set():
                take(1, worker=uuid.UUID(int=number))

        def pausing() -> None:
            time.sleep(0.2)
            pause_payouts(by="eva", reason="fraud")
            claimed = StatusChange.objects.filter(reason="claimed").count()
            time.sleep(0.2)
            self.assertEqual(StatusChange.objects.filter(reason="claimed").count(), claimed)
            done.set()

        race([lambda: claiming(1), lambda: claiming(2), lambda: claiming(3), pausing])


class PausingRaceTest(TransactionTestCase):
    def test_keeps_the_first_of_many_pauses_at_once(self) -> None:
        ensure_gate()
        people = [f"person {n}" for n in range(6)]
        earlier = race([partial(pause_payouts, by=person, reason="fraud") for person in people])
        pause = current_pause()
        assert pause is not None
        self.assertEqual(earlier.count(None), 1)
        self.assertEqual({each.by for each in earlier if each is not None}, {pause.by})
        self.assertEqual(len(resume_payouts(by="eva")), 6)


class PausingAuditTest(TransactionTestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(100)

    def audit(self, *options: str) -> tuple[int, str]:
        out = StringIO()
        try:
            call_command("audit_ledger", "--pause-on-violation", *options, stdout=out)
        except SystemExit as left:
            return int(left.code or 0), out.getvalue()
        return 0, out.getvalue()

    def spoil(self) -> None:
        Wallet.objects.filter(pk=self.wallet).update(balance=101)

    def test_pauses_nothing_while_the_books_are_right(self) -> None:
        self.assertEqual(self.audit()[0], 0)
        self.assertIsNone(current_pause())

    def test_pauses_payouts_when_a_rule_does_not_hold(self) -> None:
        self.spoil()
        code, text = self.audit()
        pause = current_pause()
        assert pause is not None
        self.assertEqual((code, pause.by), (1, "audit_ledger"))
        self.assertIn("wallet_balance_equals_entries", pause.reason)
        self.assertIn("Payouts are paused", text)

    def test_says_so_once_however_often_it_runs(self) -> None:
        self.spoil()
        for _ in range(3):
            self.audit("--json")
        self.assertEqual(PayoutPause.objects.count(), 1)

    def test_adds_its_reason_to_a_persons_pause(self) -> None:
        pause_payouts(by="eva", reason="fraud")
        self.spoil()
        self.audit()
        self.assertEqual([p.by for p in resume_payouts(by="eva")], ["eva", "audit_ledger"])
