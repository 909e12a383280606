"""Balances and statements of the past, also of the past that is just being written."""

import csv
import random
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from django.db import connection, connections, transaction
from django.test import TestCase, TransactionTestCase

from wallets.api.times import written
from wallets.domain.deposits import deposit, deposit_step_by_step
from wallets.domain.gate import Closed, ensure_gate
from wallets.domain.outcomes import Verdict
from wallets.domain.past import balance_at, statement
from wallets.domain.withdrawals.claim import claim
from wallets.domain.withdrawals.returns import record_return
from wallets.domain.withdrawals.settle import Result, settle
from wallets.models import LedgerEntry, Wallet
from wallets.models.clock import database_now
from wallets.tests import books
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import finish, make_due, make_wallet, outcome, policy, take
from wallets.tests.racing import race

HOUR = timedelta(hours=1)
BAD_TIMES = [
    ("", "time_invalid"),
    ("yesterday", "time_invalid"),
    ("2026-01-01", "time_invalid"),
    ("2026-01-01T00:00:00", "time_without_offset"),
    ("0001-01-01T00:00:00%2B01:00", "time_out_of_range"),
]


class PastCase(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.other = books.open_wallet()
        self.wallet = books.open_wallet()
        self.url = f"/api/wallets/{self.wallet.pk}/"
        # 100, 90, 110, 120 and so on, an hour apart, with another wallet's entries between.
        self.moments = [books.AT + n * HOUR for n in range(10)]
        self.balances = []
        for n, at in enumerate(self.moments):
            books.deposit(self.other, 1, at=at)
            if n == 1:
                books.processing(self.wallet, 10, at=at - books.DUE_AFTER - books.SECOND)
            else:
                books.deposit(self.wallet, 100 if n == 0 else 10 * n, at=at)
            self.balances.append(self.wallet.balance)

    def the_balance(self, at: datetime) -> int:
        text = written(at)
        data = decoded(self.client.get(f"{self.url}balance/?at={text}"), 200)
        self.assertEqual(list(data), ["wallet_id", "currency", "at", "balance"])
        self.assertEqual(data["at"], text)
        return int(data["balance"])


class BalanceTest(PastCase):
    def test_tells_the_balance_at_any_moment(self) -> None:
        for at, balance in zip(self.moments, self.balances, strict=True):
            self.assertEqual(self.the_balance(at), balance)
            self.assertEqual(self.the_balance(at + HOUR / 2), balance)
        self.assertEqual(self.the_balance(self.moments[0] - HOUR / 60), 0)
        self.assertEqual(self.the_balance(database_now()), self.balances[-1])

    def test_counts_everything_of_one_moment(self) -> None:
        at = self.moments[-1]
        for amount in (1, 2, 3):
            books.deposit(self.wallet, amount, at=at)
        self.assertEqual(self.the_balance(at), self.balances[-1] + 6)
        self.assertEqual(self.the_balance(at - timedelta(microseconds=1)), self.balances[-2])

    def test_is_zero_for_a_wallet_that_never_had_anything(self) -> None:
        wallet = make_wallet()
        answer = self.client.get(f"/api/wallets/{wallet}/balance/?at=2001-01-01T00:00:00Z")
        self.assertEqual(decoded(answer, 200)["balance"], 0)

    def test_agrees_with_the_entries_of_books_at_random(self) -> None:
        books.random_books(operations=60, seed=3)
        chance = random.Random(3)
        for wallet in Wallet.objects.all():
            entries = list(LedgerEntry.objects.filter(wallet=wallet).order_by("id"))
            # Books are written transaction by transaction, so only some are in order of time.
            if [e.created_at for e in entries] != sorted(e.created_at for e in entries):
                continue
            for entry in chance.sample(entries, min(20, len(entries))):
                at = entry.created_at
                expected = [e.balance_after for e in entries if e.created_at <= at][-1]
                self.assertEqual(balance_at(wallet=wallet, at=at), expected)

    def test_refuses_what_is_not_a_moment_of_the_past(self) -> None:
        for text, code in BAD_TIMES:
            answer = self.client.get(f"{self.url}balance/?at={text}")
            self.refused(answer, 400, "validation_error", ("at", code))
        answer = self.client.get(f"{self.url}balance/")
        self.refused(answer, 400, "validation_error", ("at", "required"))
        twice = self.client.get(
            f"{self.url}balance/?at=2026-01-01T00:00:00Z&at=2026-01-01T00:00:00Z"
        )
        self.refused(twice, 400, "validation_error", ("at", "repeated_parameter"))
        future = written(database_now() + HOUR)
        data = self.refused(
            self.client.get(f"{self.url}balance/?at={future}"), 400, "moment_in_future"
        )
        self.assertLess(data["database_time"], future)
        self.refused(
            self.client.get("/api/wallets/0/balance/?at=2026-01-01T00:00:00Z"),
            404,
            "wallet_not_found",
        )


class StatementTest(PastCase):
    def get(self, query: str = "") -> Any:
        path = query if "://" in query else f"{self.url}statement/?{query}"
        return decoded(self.client.get(path), 200)

    def period(self, first: int, last: int) -> str:
        return f"from={written(self.moments[first])}&to={written(self.moments[last])}"

    def test_leads_from_the_opening_to_the_closing_balance(self) -> None:
        data = self.get(self.period(1, 4))
        self.assertEqual(data["opening_balance"], self.balances[0])
        self.assertEqual(data["closing_balance"], self.balances[3])
        balance = data["opening_balance"]
        for entry in data["entries"]:
            balance += entry["amount"]
            self.assertEqual(entry["balance_after"], balance)
        self.assertEqual(balance, data["closing_balance"])
        self.assertEqual(
            [(entry["kind"], entry["amount"]) for entry in data["entries"]],
            [("withdrawal", -10), ("deposit", 20), ("deposit", 30)],
        )

    def test_joins_consecutive_periods_without_gap_or_overlap(self) -> None:
        ids: list[int] = []
        closing = 0
        for first, last in ((0, 3), (3, 3), (3, 9)):
            data = self.get(self.period(first, last))
            self.assertEqual(data["opening_balance"], closing)
            closing = data["closing_balance"]
            ids += [entry["id"] for entry in data["entries"]]
        every = LedgerEntry.objects.filter(wallet=self.wallet).order_by("id")
        self.assertEqual(ids, list(every.values_list("pk", flat=True))[:-1])

    def test_covers_everything_without_a_period(self) -> None:
        data = self.get()
        self.assertEqual((data["opening_balance"], len(data["entries"])), (0, 10))
        self.assertEqual(data["closing_balance"], self.balances[-1])

    def test_leads_from_page_to_page_through_one_period(self) -> None:
        page = self.get("limit=4")
        ids = [entry["id"] for entry in page["entries"]]
        deposit(wallet=self.wallet.pk, amount=5, currency=None, request=None)
        while page["next"]:
            until = page["to"]
            page = self.get(page["next"])
            self.assertEqual(page["to"], until)
            self.assertEqual(page["closing_balance"], self.balances[-1])
            ids += [entry["id"] for entry in page["entries"]]
        self.assertEqual(len(ids), 10)
        self.assertEqual(ids, sorted(set(ids)))

    def test_names_refunds_and_returns_and_leaves_out_what_moves_nothing(self) -> None:
        wallet = make_wallet(100)
        ours = make_due(wallet, 10, 20)
        first, second = (each for each in take().claimed if each.id in ours)
        finish(first, Verdict.REFUSED)
        finish(second, Verdict.PAID)
        record_return(withdrawal_id=second.id, reference="R", reason="closed", by="me")
        data = decoded(self.client.get(f"/api/wallets/{wallet}/statement/"), 200)
        self.assertEqual(
            [(entry["kind"], entry["amount"]) for entry in data["entries"]],
            [
                ("deposit", 100),
                ("withdrawal", -10),
                ("withdrawal", -20),
                ("refund", 10),
                ("return", 20),
            ],
        )

    def rows(self, query: str) -> list[list[str]]:
        answer = self.client.get(f"{self.url}statement/?{query}")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(answer.headers["Content-Type"], "text/csv; charset=utf-8")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertIn(f"statement-{self.wallet.pk}.csv", answer.headers["Content-Disposition"])
        self.assertTrue(answer.streaming)
        return list(csv.reader(answer.getvalue().decode().splitlines()))

    def test_says_the_same_in_csv(self) -> None:
        data = self.get(self.period(1, 6))
        head, opening, *entries, closing = self.rows(f"{self.period(1, 6)}&format=csv")
        self.assertEqual(
            head, ["id", "at", "kind", "transaction_id", "amount", "balance_after", "currency"]
        )
        balance = str(data["opening_balance"])
        self.assertEqual(opening, ["", data["from"], "opening", "", "", balance, "IRR"])
        self.assertEqual(
            entries,
            [[*(str(value) for value in entry.values()), "IRR"] for entry in data["entries"]],
        )
        balance = str(data["closing_balance"])
        self.assertEqual(closing, ["", data["to"], "closing", "", "", balance, "IRR"])

    def test_sends_csv_in_pieces_that_fit_together(self) -> None:
        with (
            mock.patch("wallets.domain.past._AT_A_TIME", 3),
            mock.patch("wallets.api.csv_statement._LINES_A_CHUNK", 4),
        ):
            answer = self.client.get(f"{self.url}statement/?format=csv")
            pieces = [bytes(piece) for piece in answer.streaming_content]  # type: ignore[attr-defined]
        self.assertEqual(len(pieces), 4)
        self.assertEqual(len(b"".join(pieces).splitlines()), 13)

    def test_refuses_bad_parameters_in_the_envelope(self) -> None:
        for form in ("", "&format=csv"):
            for name in ("from", "to"):
                for text, code in BAD_TIMES:
                    answer = self.client.get(f"{self.url}statement/?{name}={text}{form}")
                    self.refused(answer, 400, "validation_error", (name, code))
            future = written(database_now() + HOUR)
            answer = self.client.get(f"{self.url}statement/?to={future}{form}")
            self.refused(answer, 400, "moment_in_future")
            answer = self.client.get(f"{self.url}statement/?{self.period(3, 1)}{form}")
            data = self.refused(answer, 400, "period_reversed")
            self.assertGreater(data["from"], data["to"])
            answer = self.client.get(f"/api/wallets/0/statement/?x=1{form}")
            self.refused(answer, 404, "wallet_not_found")
        for query, name, code in (
            ("format=xml", "format", "choice_invalid"),
            ("format=CSV", "format", "choice_invalid"),
            ("format=csv&limit=5", "limit", "unknown_field"),
            ("format=csv&cursor=x", "cursor", "unknown_field"),
            ("limit=0", "limit", "limit_invalid"),
            ("cursor=x", "cursor", "cursor_invalid"),
            ("at=2026-01-01T00:00:00Z", "at", "unknown_field"),
        ):
            answer = self.client.get(f"{self.url}statement/?{query}")
            self.refused(answer, 400, "validation_error", (name, code))


def in_thread(work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class RacingTest(TransactionTestCase):
    def setUp(self) -> None:
        ensure_gate()

    def test_waits_for_what_is_being_written(self) -> None:
        wallet = Wallet.objects.get(pk=make_wallet(100))
        locked, may_commit = threading.Event(), threading.Event()
        told: list[int] = []

        def write() -> None:
            with transaction.atomic():
                deposit_step_by_step(wallet=wallet.pk, amount=5, currency=None, request=None)
                locked.set()
                may_commit.wait(5)

        writer = in_thread(write)
        locked.wait(5)
        moment = database_now()
        reader = in_thread(lambda: told.append(balance_at(wallet=wallet, at=moment)))
        reader.join(0.3)
        self.assertEqual(told, [])
        may_commit.set()
        writer.join()
        reader.join()
        self.assertEqual(told, [105])

    def test_never_tells_of_a_moment_what_later_turns_out_wrong(self) -> None:
        wallet = Wallet.objects.get(pk=make_wallet(10_000))
        make_due(wallet.pk, *[7] * 60)
        told: list[tuple[datetime, int]] = []
        done = threading.Event()

        def pay() -> None:
            worker, source, rules = uuid.uuid4(), random.Random(1), policy()
            while True:
                batch = claim(worker=worker, wanted=3, policy=rules, random_source=source)
                results = [
                    Result(
                        each.id,
                        each.epoch,
                        outcome(Verdict.REFUSED if each.id % 3 else Verdict.PAID, reference=None),
                        brought_at=1.0,
                    )
                    for each in batch.claimed
                ]
                if results:
                    settle(results, worker=worker, policy=rules, random_source=source)
                elif batch.permission.closed is not Closed.BUSY and batch.drained:
                    return

        def put_in() -> None:
            for n in range(40):
                one = deposit if n % 2 else deposit_step_by_step
                one(wallet=wallet.pk, amount=3, currency=None, request=None)

        def look() -> None:
            while not done.is_set():
                moment = database_now()
                told.append((moment, balance_at(wallet=wallet, at=moment)))
                earlier = moment - timedelta(milliseconds=20)
                told.append((earlier, balance_at(wallet=wallet, at=earlier)))

        watcher = in_thread(look)
        try:
            race([put_in, put_in, pay, pay])
        finally:
            done.set()
            watcher.join()

        entries = list(LedgerEntry.objects.filter(wallet=wallet).order_by("id"))
        changes = [e for e in entries if "WALLET" in (e.debit_account, e.credit_account)]
        times = [entry.created_at for entry in changes]
        self.assertEqual(times, sorted(times))
        self.assertTrue(told)
        for moment, balance in told:
            by_then = [e.balance_after for e in changes if e.created_at <= moment]
            self.assertEqual(balance, by_then[-1] if by_then else 0)
        until = database_now()
        self.assertEqual(
            statement(wallet=wallet, since=None, until=until).closing_balance,
            Wallet.objects.get(pk=wallet.pk).balance,
        )

    def test_reads_the_clock_again_behind_a_reader(self) -> None:
        """A deposit that waits for a reader's lock must not keep a time that was asked about."""
        if connection.vendor != "postgresql":
            self.skipTest("SQLite reads the clock once it may write")
        wallet = Wallet.objects.get(pk=make_wallet(100))

        def put_in() -> None:
            deposit(wallet=wallet.pk, amount=5, currency=None, request=None)

        with transaction.atomic():
            Wallet.objects.filter(pk=wallet.pk).update(updated_at=wallet.updated_at)
            waiting = in_thread(put_in)
            waiting.join(0.3)
            self.assertTrue(waiting.is_alive())
            moment = database_now()
            waiting.join(0.05)
        waiting.join()
        self.assertGreater(LedgerEntry.objects.latest("id").created_at, moment)
