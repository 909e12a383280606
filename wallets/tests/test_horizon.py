"""Looking for work from where the last look ended."""

import random
import threading
from datetime import timedelta
from unittest import skipUnless

from django.db import connection
from django.test import TestCase, TransactionTestCase

from wallets.domain.gate import ensure_gate
from wallets.domain.outcomes import Outcome, Transfer, Verdict
from wallets.domain.statements.rows import BEGINNING, Horizon
from wallets.domain.withdrawals.agenda import look_ahead
from wallets.domain.withdrawals.claim import ClaimBatch, claim
from wallets.models import Status, Transaction
from wallets.models.clock import database_now
from wallets.tasks.callers import Callers
from wallets.tasks.executor import Executor, Plan
from wallets.tests.money import WORKER, lapse, make_due, make_wallet, outcome, policy
from wallets.tests.test_executor import ScriptedGateway

only_postgres = skipUnless(connection.vendor == "postgresql", "SQLite keeps no finished rows")


def take(wanted: int, since: Horizon, *, most_lapsed: int | None = None) -> ClaimBatch:
    ensure_gate()
    return claim(
        worker=WORKER,
        wanted=wanted,
        policy=policy(),
        random_source=random.Random(3),
        most_lapsed=most_lapsed,
        since=since,
    )


def ids(batch: ClaimBatch) -> list[int]:
    return [claimed.id for claimed in batch.claimed]


@only_postgres
class HorizonTest(TestCase):
    def setUp(self) -> None:
        self.wallet = make_wallet(1_000)

    def test_goes_on_where_the_last_claim_ended(self) -> None:
        older = make_due(self.wallet, 1, 1, ago=timedelta(minutes=3))
        newer = make_due(self.wallet, 1, 1, ago=timedelta(minutes=2))
        first = take(2, BEGINNING)
        second = take(2, first.seen)
        self.assertEqual((ids(first), ids(second)), (older, newer))

    def test_leaves_room_for_withdrawals_that_turn_up_late(self) -> None:
        make_due(self.wallet, 1, ago=timedelta(seconds=30))
        seen = take(1, BEGINNING).seen
        late = make_due(self.wallet, 1, ago=timedelta(seconds=35))
        self.assertEqual(ids(take(5, seen)), late)

    def test_finds_what_turned_up_far_behind_only_from_the_beginning(self) -> None:
        make_due(self.wallet, 1, ago=timedelta(seconds=30))
        seen = take(5, BEGINNING).seen
        far_behind = make_due(self.wallet, 1, ago=timedelta(hours=1))
        self.assertEqual(ids(take(5, seen)), [])
        coming = look_ahead(seen).next_work_in
        assert coming is not None
        self.assertGreater(coming, timedelta(0))  # the lease
        self.assertEqual(look_ahead().next_work_in, timedelta(0))
        self.assertEqual(ids(take(5, BEGINNING)), far_behind)

    def test_never_passes_a_lapsed_row_that_it_did_not_take(self) -> None:
        make_due(self.wallet, *[1] * 4)
        lapsed = ids(take(4, BEGINNING))
        now = database_now()
        for pk, seconds in zip(lapsed, (60, 50, 40, 30), strict=True):
            ago = now - timedelta(seconds=seconds)
            Transaction.objects.filter(pk=pk).update(lease_expires_at=ago)
        make_due(self.wallet, *[1] * 10)
        first = take(4, BEGINNING, most_lapsed=4)
        second = take(20, first.seen)
        self.assertEqual(first.reclaimed, 2)
        self.assertLessEqual(set(lapsed), {*ids(first), *ids(second)})

    def test_finds_a_lease_that_lapses_later(self) -> None:
        [pk] = make_due(self.wallet, 1)
        first = take(5, BEGINNING)
        lapse(pk)
        self.assertEqual(ids(take(5, first.seen)), [pk])


class LookAheadTest(TestCase):
    def test_looks_no_further_than_it_is_told(self) -> None:
        make_due(make_wallet(10), 1, ago=timedelta(seconds=-60))
        ensure_gate()
        self.assertIsNone(look_ahead(within=timedelta(seconds=30)).next_work_in)
        coming = look_ahead(within=timedelta(seconds=90)).next_work_in
        assert coming is not None
        self.assertLess(abs(coming - timedelta(seconds=60)), timedelta(seconds=20))


class SingleRunTest(TransactionTestCase):
    def test_ends_only_after_a_look_at_everything(self) -> None:
        wallet = make_wallet(1_000)
        make_due(wallet, *[1] * 30, ago=timedelta(seconds=30))
        hidden = True

        def pays_and_hides(_: Transfer) -> Outcome:
            nonlocal hidden
            if hidden:
                hidden = False
                make_due(wallet, 1, ago=timedelta(hours=1))
                connection.close()  # this thread's own
            return outcome(Verdict.PAID)

        ensure_gate()
        Executor(
            plan=Plan(limit=100, concurrency=1, loop=False, sleep_seconds=0.05),
            policy=policy(),
            callers=Callers(
                count=1,
                make_gateway=lambda: ScriptedGateway(pays_and_hides, []),  # type: ignore[arg-type,return-value]
                send_seconds=0.1,
            ),
            stop=threading.Event(),
            on_cycle=lambda _: None,
            on_progress=lambda _: None,
            random_source=random.Random(3),
        ).run()
        left = Transaction.objects.exclude(status=Status.SUCCEEDED)
        self.assertEqual(left.count(), 0)
