"""The executor as operators meet it: a process with options, signals, output and a log."""

import json
import re
import signal
import time
import unittest

from django.db import connection

from proof.harness.processes import until
from proof.harness.world import World, world
from wallets.tests.proof_case import ProofCase

LINE = re.compile(
    r"processed=\d+ succeeded=\d+ failed=\d+ insufficient_funds=\d+ in_doubt=\d+ reclaimed=\d+"
)
on_postgresql = unittest.skipUnless(
    connection.vendor == "postgresql", "SQLite allows one executor at a time"
)


def plant(here: World, count: int) -> None:
    """A tenth of them the bank refuses."""
    wallets = here.wallets([10**6] * 10)
    here.due_in([(wallets[n % 7], 100 + n % 10) for n in range(count)])
    here.bank.misbehave("failed_503", match={"amount": 100})


class FleetTest(ProofCase):
    @on_postgresql
    def test_brings_five_hundred_to_their_end_with_two_executors(self) -> None:
        with world(self.server) as here:
            plant(here, 500)
            here.drain(executors=2, concurrency=16)
            books = here.check()
            self.assertEqual((books.count("SUCCEEDED"), books.count("FAILED")), (450, 50))

    def test_goes_on_after_a_kill_in_the_middle_of_a_batch(self) -> None:
        with world(self.server, latency_ms=30) as here:
            plant(here, 100)
            victim = here.executor(concurrency=8)
            until("it is in the middle", lambda: "SUCCEEDED" in here.status_counts())
            victim.kill()
            self.assertIn("PROCESSING", here.status_counts())
            here.drain(concurrency=16)
            books = here.check()
            self.assertEqual((books.count("SUCCEEDED"), books.count("FAILED")), (90, 10))


class SignalTest(ProofCase):
    def test_leaves_in_order_when_asked_while_idle(self) -> None:
        with world(self.server) as here:
            idle = here.executor()
            until("it started", lambda: "executor started" in idle.errors())
            self.assertEqual(idle.end(), 0)

    def test_finishes_calls_and_hands_back_the_rest_when_asked_at_work(self) -> None:
        with world(self.server, latency_ms=300) as here:
            here.due(here.wallet(10_000), [100] * 40)
            busy = here.executor(concurrency=2)
            until("calls are under way", lambda: "PROCESSING" in here.status_counts())
            self.assertEqual(busy.end(), 0)
            held = here.database.rows(
                "SELECT count(*) FROM wallets_transaction WHERE lease_owner IS NOT NULL"
            )
            self.assertEqual(held[0][0], 0)
            here.drain(concurrency=16)
            here.check()

    def test_leaves_at_once_when_asked_twice(self) -> None:
        patient = {"BANK_TIMEOUT": "10", "WITHDRAWAL_PROCESSING_STALE_SECONDS": "30"}
        with world(self.server) as here:
            here.due(here.wallet(10_000), [100, 100])
            here.bank.misbehave("hang", times=2)
            hurried = here.executor(settings=patient)
            until("calls are under way", lambda: here.bank.transfers_asked().total() == 2)
            hurried.signal(signal.SIGTERM)
            until("it heard", lambda: "executor stopping" in hurried.errors())
            began = time.monotonic()
            hurried.signal(signal.SIGINT)
            self.assertEqual(hurried.wait(), 128 + signal.SIGINT)
            self.assertLess(time.monotonic() - began, 5)
            here.database.execute(
                "UPDATE wallets_transaction SET lease_expires_at = created_at"
                " WHERE lease_owner IS NOT NULL"
            )
            here.drain()
            here.check()


class OptionsTest(ProofCase):
    def refused(self, *flags: str, naming: str) -> None:
        with world(self.server) as here:
            process = here.executor(*flags, loop=False)
            self.assertNotEqual(process.wait(), 0)
            self.assertIn(naming, process.errors())
            self.assertNotIn("Traceback", process.errors())

    def test_refuses_a_limit_of_nothing(self) -> None:
        self.refused("--limit", "0", naming="--limit accepts")

    def test_refuses_a_limit_that_is_no_number(self) -> None:
        self.refused("--limit", "many", naming="--limit")

    def test_refuses_no_threads(self) -> None:
        self.refused("--concurrency", "0", naming="--concurrency accepts")

    def test_refuses_a_pause_without_end(self) -> None:
        self.refused("--sleep-seconds", "inf", naming="--sleep-seconds accepts")

    def test_refuses_a_lease_that_ends_during_a_call(self) -> None:
        with world(self.server, WITHDRAWAL_PROCESSING_STALE_SECONDS="1") as here:
            process = here.executor(loop=False)
            self.assertNotEqual(process.wait(), 0)
            self.assertIn("WITHDRAWAL_PROCESSING_STALE_SECONDS", process.errors())
            self.assertIn("BANK_TIMEOUT", process.errors())

    def test_says_in_one_line_that_it_starts_without_its_database(self) -> None:
        with world(self.server) as here:
            nowhere = "postgres://postgres@127.0.0.1:1/nowhere"
            process = here.executor(loop=False, settings={"DATABASE_URL": nowhere})
            self.assertEqual(process.wait(), 1)
            self.assertIn("The database cannot be reached", process.errors())
            self.assertNotIn("Traceback", process.errors())

    @unittest.skipIf(connection.vendor == "postgresql", "PostgreSQL takes any number of them")
    def test_refuses_to_be_the_second_on_sqlite(self) -> None:
        with world(self.server) as here:
            first = here.executor()
            until("the first started", lambda: "executor started" in first.errors())
            second = here.executor(loop=False)
            self.assertNotEqual(second.wait(), 0)
            self.assertIn("PostgreSQL", second.errors())
            self.assertEqual(first.end(), 0)


class OutputTest(ProofCase):
    def test_takes_no_more_than_its_limit(self) -> None:
        with world(self.server) as here:
            here.due(here.wallet(10_000), [100] * 10)
            once = here.executor("--limit", "3", loop=False)
            self.assertEqual(once.wait(), 0)
            self.assertEqual(here.status_counts(), {"SUCCEEDED": 3, "SCHEDULED": 7})
            self.assertIn("processed=3 succeeded=3 ", once.output())

    def test_prints_one_line_of_counts(self) -> None:
        with world(self.server) as here:
            here.due(here.wallet(250), [100, 100, 100])
            once = here.executor(loop=False)
            self.assertEqual(once.wait(), 0)
            lines = once.output().splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertIsNotNone(LINE.fullmatch(lines[0]), lines[0])
            self.assertEqual(
                lines[0],
                "processed=3 succeeded=2 failed=0 insufficient_funds=1 in_doubt=0 reclaimed=0",
            )

    def test_logs_json_without_secrets(self) -> None:
        secret = "a-key-that-nobody-may-read"
        with world(self.server, DJANGO_SECRET_KEY=secret, WALLET_LOG_LEVEL="DEBUG") as here:
            here.due(here.wallet(10_000), [100, 101, 102])
            here.bank.misbehave("garbage_body", match={"amount": 101})
            here.bank.misbehave("failed_200", match={"amount": 102})
            here.drain()
            lines = here.log().splitlines()
            self.assertTrue(lines)
            for line in lines:
                entry = json.loads(line)
                self.assertLessEqual({"time", "level", "logger", "message"}, entry.keys())
            self.assertNotIn(secret, here.log())
            self.assertNotIn(here.database.url, here.log())
