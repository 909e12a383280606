"""What becomes of a scheduled withdrawal: shown, listed, cancelled, moved to another time."""

import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import skipUnless

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from wallets.api.times import written
from wallets.domain.audit import audit
from wallets.domain.errors import (
    ExecuteAtNotInFuture,
    IdempotencyKeyReused,
    WithdrawalNotCancellable,
    WithdrawalNotReschedulable,
)
from wallets.domain.gate import Closed, ensure_gate, enter
from wallets.domain.outcomes import Verdict
from wallets.domain.receipts import ClientRequest, PlanReceipt
from wallets.domain.withdrawals.cancel import cancel
from wallets.domain.withdrawals.claim import claim
from wallets.domain.withdrawals.reschedule import reschedule
from wallets.models import LedgerEntry, Status, StatusChange, Transaction, Wallet
from wallets.models.clock import database_now
from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import finish, make_due, make_wallet, policy, take
from wallets.tests.racing import race
from wallets.tests.test_api_withdrawals import BAD_TIMES

LATER = "2999-02-01T12:30:00+03:30"
EVEN_LATER = "2999-03-01T12:30:00+03:30"
PAST = datetime(2026, 1, 1, tzinfo=UTC)
BAD_IDS = ("x", "-1", "1.0", "01", "٣", "99999999999999999999", "9223372036854775807", "%00", "0")


class LifeCase(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(100)
        self.url = f"/api/wallets/{self.wallet}/withdrawals/"

    def plan(self, amount: int = 10, at: str = FUTURE) -> int:
        answer = decoded(self.send(self.url, {"amount": amount, "execute_at": at}), 201)
        return int(answer["transaction"]["id"])

    def paid(self) -> int:
        [pk] = make_due(self.wallet, 10)
        finish(take().claimed[0], Verdict.PAID)
        return pk

    def post(self, withdrawal: int | str, step: str, body: Any = None, **more: Any) -> Any:
        return self.send(f"{self.url}{withdrawal}/{step}/", {} if body is None else body, **more)

    def story(self, withdrawal: int) -> list[tuple[str, str, str]]:
        changes = StatusChange.objects.filter(transaction=withdrawal).order_by("id")
        return list(changes.values_list("from_status", "to_status", "reason"))

    def the_books_are_right(self) -> None:
        self.assertEqual(audit(limit=5).broken, ())


class ShownTest(LifeCase):
    def test_shows_a_withdrawal_with_its_history_and_the_calls_to_the_bank(self) -> None:
        paid = self.paid()
        data = decoded(self.client.get(f"{self.url}{paid}/"), 200)
        self.assertEqual(list(data), ["withdrawal", "history", "history_truncated", "bank_calls"])
        self.assertEqual(data["withdrawal"]["status"], "SUCCEEDED")
        self.assertEqual(
            [(each["from_status"], each["to_status"], each["reason"]) for each in data["history"]],
            [
                (None, "SCHEDULED", "scheduled"),
                ("SCHEDULED", "PROCESSING", "claimed"),
                ("PROCESSING", "SUCCEEDED", "paid"),
            ],
        )
        self.assertIs(data["history_truncated"], False)
        calls = data["bank_calls"]
        self.assertEqual((calls["transfers"], calls["inquiries"]), (1, 0))
        self.assertEqual(calls["last"]["verdict"], "paid")
        self.assertEqual(calls["last"]["http_status"], 200)

    def test_says_what_the_doubt_is_about(self) -> None:
        [pk] = make_due(self.wallet, 10)
        finish(take().claimed[0], Verdict.IN_DOUBT)
        last = decoded(self.client.get(f"{self.url}{pk}/"), 200)["history"][-1]
        self.assertEqual((last["reason"], last["about"]), ("in_doubt", "read_timeout"))

    def test_keeps_what_a_person_wrote_inside(self) -> None:
        pk = self.plan()
        StatusChange.objects.create(
            transaction_id=pk,
            from_status="SCHEDULED",
            to_status="SCHEDULED",
            reason="resolved_paid: asked Sara's cousin",
            worker="operator:sara",
            created_at=database_now(),
        )
        text = self.client.get(f"{self.url}{pk}/").content.decode()
        self.assertNotIn("cousin", text)
        self.assertNotIn("sara", text)

    def test_shows_the_newest_hundred_changes_of_a_long_history(self) -> None:
        pk = self.plan()
        StatusChange.objects.bulk_create(
            StatusChange(
                transaction_id=pk,
                from_status="PROCESSING",
                to_status="PROCESSING",
                reason=f"handed_back: {n}",
                created_at=database_now(),
            )
            for n in range(120)
        )
        data = decoded(self.client.get(f"{self.url}{pk}/"), 200)
        self.assertEqual(
            [each["about"] for each in data["history"]], [str(n) for n in range(20, 120)]
        )
        self.assertIs(data["history_truncated"], True)

    def test_finds_nothing_that_is_not_a_withdrawal_of_this_wallet(self) -> None:
        other = make_wallet(10)
        [theirs] = make_due(other, 5)
        deposit = Transaction.objects.get(wallet=self.wallet).pk
        with self.nothing_changes():
            for pk in (theirs, deposit, *BAD_IDS):
                with self.subTest(pk=pk):
                    answers = [
                        self.client.get(f"{self.url}{pk}/"),
                        self.post(pk, "cancel"),
                        self.post(pk, "reschedule", {"execute_at": FUTURE}),
                    ]
                    for answer in answers:
                        self.refused(answer, 404, "withdrawal_not_found")
            self.refused(
                self.client.get(f"/api/wallets/999999/withdrawals/{theirs}/"),
                404,
                "wallet_not_found",
            )

    def test_refuses_parameters_and_other_methods(self) -> None:
        pk = self.plan()
        self.refused(self.client.get(f"{self.url}{pk}/?x=1"), 400, "validation_error")
        self.refused(self.client.delete(f"{self.url}{pk}/"), 405, "method_not_allowed")
        self.refused(self.client.get(f"{self.url}{pk}/cancel/"), 405, "method_not_allowed")


class ListedTest(LifeCase):
    def ids(self, query: str = "") -> list[int]:
        data = decoded(self.client.get(query if "://" in query else f"{self.url}?{query}"), 200)
        return [row["id"] for row in data["results"]]

    def test_lists_withdrawals_alone_newest_first_page_by_page(self) -> None:
        ids = [self.plan(n) for n in range(1, 6)][::-1]
        self.assertEqual(self.ids(), ids)
        first = decoded(self.client.get(f"{self.url}?limit=2"), 200)
        second = decoded(self.client.get(first["next"]), 200)
        self.assertEqual([row["id"] for row in second["results"]], ids[2:4])
        self.assertEqual(self.ids(second["previous"]), ids[:2])

    def test_filters_by_status_time_and_doubt(self) -> None:
        early, late = self.plan(at="2998-01-01T00:00:00Z"), self.plan(at="2999-01-01T00:00:00Z")
        paid = self.paid()
        [doubted] = make_due(self.wallet, 10)
        finish(take().claimed[0], Verdict.IN_DOUBT)
        self.assertEqual(self.ids("status=SUCCEEDED"), [paid])
        self.assertEqual(self.ids("status=CANCELLED"), [])
        self.assertEqual(self.ids("execute_after=2999-01-01T00:00:00Z"), [late])
        query = "execute_before=2999-01-01T00:00:00Z&execute_after=2998-01-01T00:00:00Z"
        self.assertEqual(self.ids(query), [early])
        self.assertEqual(self.ids("in_doubt=true"), [doubted])
        self.assertEqual(self.ids("in_doubt=false"), [paid, late, early])

    def test_refuses_bad_parameters(self) -> None:
        for query, field, code in (
            ("in_doubt=1", "in_doubt", "choice_invalid"),
            ("in_doubt=True", "in_doubt", "choice_invalid"),
            ("status=PAID", "status", "choice_invalid"),
            ("type=DEPOSIT", "type", "unknown_field"),
            ("execute_after=soon", "execute_after", "time_invalid"),
            ("execute_before=2026-01-01T00:00:00", "execute_before", "time_without_offset"),
            ("limit=0", "limit", "limit_invalid"),
            ("cursor=x", "cursor", "cursor_invalid"),
        ):
            with self.subTest(query=query):
                answer = self.client.get(f"{self.url}?{query}")
                self.refused(answer, 400, "validation_error", (field, code))

    def test_takes_no_cursor_of_the_list_of_transactions(self) -> None:
        for _ in range(3):
            self.plan()
        transactions = f"/api/wallets/{self.wallet}/transactions/?limit=1"
        cursor = decoded(self.client.get(transactions), 200)["next"].rpartition("cursor=")[2]
        answer = self.client.get(f"{self.url}?cursor={cursor}")
        self.refused(answer, 400, "validation_error", ("cursor", "cursor_invalid"))


class CancelTest(LifeCase):
    def test_ends_a_scheduled_withdrawal_without_moving_money(self) -> None:
        pk = self.plan(60)
        entries = LedgerEntry.objects.count()
        state = decoded(self.post(pk, "cancel"), 200)["withdrawal"]
        self.assertEqual((state["id"], state["status"]), (pk, "CANCELLED"))
        self.assertIsNone(state["failure_reason"])
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 100)
        self.assertEqual(LedgerEntry.objects.count(), entries)
        self.assertEqual(self.story(pk)[-1], ("SCHEDULED", "CANCELLED", "cancelled"))
        self.the_books_are_right()

    def test_answers_a_repeated_one_with_the_same(self) -> None:
        pk = self.plan()
        first = self.post(pk, "cancel", key="c-1")
        with self.nothing_changes():
            for key in ("c-1", None):
                self.assertEqual(self.post(pk, "cancel", key=key).content, first.content)
        self.assertEqual(self.post(pk, "cancel", key="c-2").content, first.content)
        self.assertEqual(len(self.story(pk)), 2)

    def test_works_without_a_body_and_on_what_is_due_and_not_taken_up(self) -> None:
        [pk] = make_due(self.wallet, 10)
        decoded(self.client.generic("POST", f"{self.url}{pk}/cancel/"), 200)
        self.assertEqual(take().taken, 0)
        self.the_books_are_right()

    def test_refuses_what_has_been_taken_up_or_has_ended(self) -> None:
        paid = self.paid()
        [failed] = make_due(self.wallet, 1_000)
        take()
        [processing] = make_due(self.wallet, 10)
        take()
        with self.nothing_changes():
            for pk, status in (
                (paid, "SUCCEEDED"),
                (failed, "FAILED"),
                (processing, "PROCESSING"),
            ):
                data = self.refused(self.post(pk, "cancel"), 409, "withdrawal_not_cancellable")
                self.assertEqual(data["status"], status)

    def test_refuses_bad_bodies_and_keys(self) -> None:
        pk = self.plan()
        with self.nothing_changes():
            self.refused(
                self.post(pk, "cancel", {"why": "x"}),
                400,
                "validation_error",
                ("why", "unknown_field"),
            )
            self.refused(self.post(pk, "cancel", b"[]"), 400, "body_not_object")
            self.refused(self.post(pk, "cancel", b"{"), 400, "malformed_json")
            self.refused(
                self.post(pk, "cancel", key="x" * 129),
                400,
                "validation_error",
                ("Idempotency-Key", "idempotency_key_invalid"),
            )

    def test_replays_the_scheduling_of_what_was_cancelled(self) -> None:
        body = {"amount": 5, "execute_at": FUTURE}
        first = self.send(self.url, body, key="w")
        pk = decoded(first, 201)["transaction"]["id"]
        decoded(self.post(pk, "cancel"), 200)
        again = self.send(self.url, body, key="w")
        self.assertEqual((again.status_code, again.content), (201, first.content))

    def test_leaves_the_money_to_those_that_are_due_after_it(self) -> None:
        first, second = make_due(self.wallet, 90, 20)
        decoded(self.post(first, "cancel"), 200)
        take()
        self.assertEqual(Transaction.objects.get(pk=second).status, Status.PROCESSING)


class RescheduleTest(LifeCase):
    def test_moves_a_scheduled_withdrawal_to_another_time(self) -> None:
        pk = self.plan()
        before = Transaction.objects.get(pk=pk)
        state = decoded(self.post(pk, "reschedule", {"execute_at": LATER}), 200)["withdrawal"]
        self.assertEqual(state["execute_at"], "2999-02-01T09:00:00.000000Z")
        self.assertEqual(state["status"], "SCHEDULED")
        self.assertEqual(state["idempotency_key"], str(before.idempotency_key))
        step = self.story(pk)[-1]
        self.assertEqual(step[:2], ("SCHEDULED", "SCHEDULED"))
        self.assertIn("2999-01-31", step[2])
        self.assertIn("2999-02-01", step[2])
        self.the_books_are_right()

    def test_keeps_what_is_due_from_being_paid(self) -> None:
        [pk] = make_due(self.wallet, 10)
        decoded(self.post(pk, "reschedule", {"execute_at": LATER}), 200)
        self.assertEqual(take().taken, 0)

    def test_changes_nothing_when_repeated(self) -> None:
        pk = self.plan()
        first = self.post(pk, "reschedule", {"execute_at": LATER})
        with self.nothing_changes():
            again = self.post(pk, "reschedule", {"execute_at": "2999-02-01T09:00:00Z"})
        self.assertEqual(first.content, again.content)

    def test_refuses_times_that_are_bad_or_past(self) -> None:
        pk = self.plan()
        with self.nothing_changes():
            for text, code in BAD_TIMES:
                answer = self.post(pk, "reschedule", {"execute_at": text})
                self.refused(answer, 400, "validation_error", ("execute_at", code))
            self.refused(
                self.post(pk, "reschedule"), 400, "validation_error", ("execute_at", "required")
            )
            for past in ("2001-01-01T00:00:00Z", written(database_now())):
                self.refused(
                    self.post(pk, "reschedule", {"execute_at": past}),
                    400,
                    "execute_at_not_in_future",
                    ("execute_at", "execute_at_not_in_future"),
                )

    def test_refuses_what_is_not_scheduled(self) -> None:
        cancelled, paid = self.plan(), self.paid()
        decoded(self.post(cancelled, "cancel"), 200)
        with self.nothing_changes():
            for pk, status in ((cancelled, "CANCELLED"), (paid, "SUCCEEDED")):
                data = self.refused(
                    self.post(pk, "reschedule", {"execute_at": LATER}),
                    409,
                    "withdrawal_not_reschedulable",
                )
                self.assertEqual(data["status"], status)

    @override_settings(WITHDRAWAL_MAX_PER_DAY=100)
    def test_keeps_to_the_limit_of_a_day(self) -> None:
        full = self.plan(100, "2999-01-31T00:00:00Z")
        other = self.plan(1, "2999-02-01T00:00:00Z")
        self.refused(
            self.post(other, "reschedule", {"execute_at": "2999-01-31T10:00:00Z"}),
            409,
            "daily_limit_exceeded",
        )
        # Within its own day, it does not count twice.
        decoded(self.post(full, "reschedule", {"execute_at": "2999-01-31T10:00:00Z"}), 200)

    def test_replays_the_scheduling_with_the_time_of_then(self) -> None:
        body = {"amount": 5, "execute_at": FUTURE}
        first = self.send(self.url, body, key="w")
        pk = decoded(first, 201)["transaction"]["id"]
        decoded(self.post(pk, "reschedule", {"execute_at": LATER}), 200)
        self.assertEqual(self.send(self.url, body, key="w").content, first.content)


class RepeatedTest(LifeCase):
    """With an Idempotency-Key the first answer is given again, whatever has happened since."""

    def test_replays_a_move_after_the_withdrawal_was_moved_on_and_paid(self) -> None:
        pk = self.plan()
        first = self.post(pk, "reschedule", {"execute_at": LATER}, key="r-1")
        self.assertNotIn("Idempotent-Replayed", first.headers)
        decoded(self.post(pk, "reschedule", {"execute_at": EVEN_LATER}, key="r-2"), 200)
        Transaction.objects.filter(pk=pk).update(execute_at=PAST)
        finish(take().claimed[0], Verdict.PAID)
        with self.nothing_changes():
            again = self.post(pk, "reschedule", {"execute_at": "2999-02-01T09:00:00Z"}, key="r-1")
        self.assertEqual((again.status_code, again.content), (200, first.content))
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")

    def test_replays_a_move_to_a_time_that_has_passed_since(self) -> None:
        pk = self.plan()
        soon = database_now() + timedelta(seconds=2)
        first = self.post(pk, "reschedule", {"execute_at": written(soon)}, key="r")
        decoded(first, 200)
        while database_now() <= soon:
            time.sleep(0.05)
        with self.nothing_changes():
            again = self.post(pk, "reschedule", {"execute_at": written(soon)}, key="r")
        self.assertEqual(again.content, first.content)

    def test_replays_a_cancelling(self) -> None:
        pk = self.plan()
        first = self.post(pk, "cancel", key="c")
        with self.nothing_changes():
            again = self.post(pk, "cancel", key="c")
        self.assertEqual((again.status_code, again.content), (200, first.content))
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")

    def test_refuses_a_key_that_was_used_for_another_withdrawal_or_time(self) -> None:
        one, other = self.plan(), self.plan()
        decoded(self.post(one, "cancel", key="k"), 200)
        decoded(self.post(other, "reschedule", {"execute_at": LATER}, key="k"), 200)
        third = self.plan()
        with self.nothing_changes():
            for pk, step, body, fields in (
                (third, "cancel", {}, ["withdrawal_id"]),
                (third, "reschedule", {"execute_at": LATER}, ["withdrawal_id"]),
                (other, "reschedule", {"execute_at": EVEN_LATER}, ["execute_at"]),
                (third, "reschedule", {"execute_at": FUTURE}, ["withdrawal_id", "execute_at"]),
            ):
                with self.subTest(pk=pk, step=step, body=body):
                    answer = self.post(pk, step, body, key="k")
                    data = self.refused(answer, 422, "idempotency_key_reused")
                    self.assertEqual(data["fields"], fields)
                    self.assertIn("first_used_at", data)

    def test_keeps_the_keys_of_wallets_and_operations_apart(self) -> None:
        pk = self.plan()
        decoded(self.send(self.url, {"amount": 1, "execute_at": FUTURE}, key="k"), 201)
        decoded(self.post(pk, "reschedule", {"execute_at": LATER}, key="k"), 200)
        decoded(self.post(pk, "cancel", key="k"), 200)
        self.wallet = make_wallet(100)
        self.url = f"/api/wallets/{self.wallet}/withdrawals/"
        decoded(self.post(self.plan(), "cancel", key="k"), 200)

    def test_remembers_no_refusal(self) -> None:
        pk = self.plan()
        self.refused(
            self.post(pk, "reschedule", {"execute_at": "2001-01-01T00:00:00Z"}, key="r"),
            400,
            "execute_at_not_in_future",
        )
        decoded(self.post(pk, "reschedule", {"execute_at": LATER}, key="r"), 200)


class RaceTest(TransactionTestCase):
    """Cancelling and moving against executors: each withdrawal has one end."""

    def setUp(self) -> None:
        ensure_gate()

    def drain(self, worker: uuid.UUID) -> list[int]:
        taken: list[int] = []
        source = random.Random(worker.int)
        while True:
            batch = claim(worker=worker, wanted=3, policy=policy(), random_source=source)
            if batch.permission.closed is Closed.BUSY:
                continue
            taken += [each.id for each in batch.claimed]
            if batch.drained and not batch.taken:
                return taken

    def test_has_exactly_one_winner(self) -> None:
        wallet = make_wallet(1_000)
        ids = make_due(wallet, *[10] * 30)

        def cancel_all() -> list[int]:
            won = []
            for pk in reversed(ids):
                try:
                    cancel(wallet=wallet, withdrawal_id=pk, by="test")
                except WithdrawalNotCancellable:
                    continue
                won.append(pk)
            return won

        claimed, cancelled = race([lambda: self.drain(uuid.UUID(int=1)), cancel_all])
        self.assertEqual(set(claimed) & set(cancelled), set())
        self.assertEqual(sorted(claimed + cancelled), ids)
        ended = Transaction.objects.filter(pk__in=ids, status=Status.CANCELLED)
        self.assertEqual(sorted(ended.values_list("pk", flat=True)), sorted(cancelled))
        self.assertEqual(Wallet.objects.get(pk=wallet).balance, 1_000 - 10 * len(claimed))
        self.assertEqual(audit(limit=5).broken, ())

    def test_moves_or_pays_each_and_never_both(self) -> None:
        wallet = make_wallet(1_000)
        ids = make_due(wallet, *[10] * 20)
        later = database_now() + timedelta(days=1)

        def move_all() -> list[int]:
            won = []
            for pk in reversed(ids):
                try:
                    reschedule(wallet=wallet, withdrawal_id=pk, execute_at=later, by="test")
                except WithdrawalNotReschedulable:
                    continue
                won.append(pk)
            return won

        claimed, moved = race([lambda: self.drain(uuid.UUID(int=1)), move_all])
        self.assertEqual(sorted(claimed + moved), ids)
        self.assertEqual(audit(limit=5).broken, ())

    def test_does_what_one_key_asks_for_once(self) -> None:
        wallet = make_wallet(1_000)
        later = database_now() + timedelta(days=1)
        for _ in range(5):
            ids = make_due(wallet, 10, 10)
            key = ClientRequest(key=f"of {ids[0]}", fingerprint="f" * 64)

            def move(pk: int, key: ClientRequest = key) -> PlanReceipt | None:
                try:
                    return reschedule(
                        wallet=wallet, withdrawal_id=pk, execute_at=later, by="test", request=key
                    )
                except IdempotencyKeyReused:
                    return None

            answers = race([partial(move, pk) for pk in ids * 3])
            done = [answer for answer in answers if answer is not None]
            self.assertEqual([answer.replayed for answer in done].count(False), 1)
            self.assertEqual(len({answer.withdrawal for answer in done}), 1)
            moved = Transaction.objects.filter(pk__in=ids, execute_at=later)
            self.assertEqual([row.pk for row in moved], [done[0].withdrawal.id])
            self.assertEqual(StatusChange.objects.filter(transaction=moved[0]).count(), 2)

    @skipUnless(connection.vendor == "postgresql", "SQLite has one lock for everything")
    def test_asks_for_no_pause_of_claims_once_the_withdrawal_is_taken_up_or_ended(self) -> None:
        """Else a client that repeats itself could keep every payout waiting."""
        wallet = make_wallet(100)
        ended, paid = make_due(wallet, 10, 20)
        key = ClientRequest(key="c", fingerprint="f" * 64)
        again = partial(cancel, wallet=wallet, withdrawal_id=ended, by="test", request=key)
        again()
        finish(take().claimed[0], Verdict.PAID)
        with transaction.atomic():
            self.assertIsNotNone(enter())
            [answer] = race([again])
            with self.assertRaises(WithdrawalNotCancellable):
                race([partial(cancel, wallet=wallet, withdrawal_id=paid, by="test")])
        self.assertTrue(answer.replayed)

    def test_keeps_the_order_when_a_change_of_plan_is_refused(self) -> None:
        """A withdrawal that is looked at must not be passed over for a later one."""
        wallet = make_wallet(10)
        first, second = make_due(wallet, 10, 10)
        past = database_now() - timedelta(days=1)

        def look() -> list[int]:
            for _ in range(30):
                try:
                    reschedule(wallet=wallet, withdrawal_id=first, execute_at=past, by="test")
                except ExecuteAtNotInFuture:
                    continue
                except WithdrawalNotReschedulable:
                    break
            return []

        claimed, _ = race([lambda: self.drain(uuid.UUID(int=1)), look])
        self.assertEqual(claimed, [first])
        self.assertEqual(Transaction.objects.get(pk=second).status, Status.FAILED)
