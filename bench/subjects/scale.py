"""The hot queries, each many times, over whatever the database holds; medians in milliseconds.

With ``--churn`` another session first takes a snapshot, then so many withdrawals are processed,
and the queries are measured while that snapshot is still open.
"""

import argparse
import json
import os
import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from statistics import median

import django

django.setup()

import psycopg2  # noqa: E402
from django.db import connection  # noqa: E402

from bench.books import schedule  # noqa: E402
from wallets.api.cursors import Cursor  # noqa: E402
from wallets.api.reads import recent_transactions, transactions_page  # noqa: E402
from wallets.domain.deposits import deposit  # noqa: E402
from wallets.domain.gate import ensure_gate  # noqa: E402
from wallets.domain.outcomes import BankHealth, CallKind, CallRecord, Outcome, Verdict  # noqa: E402
from wallets.domain.past import statement  # noqa: E402
from wallets.domain.receipts import ClientRequest  # noqa: E402
from wallets.domain.statements.rows import BEGINNING  # noqa: E402
from wallets.domain.wallets import find_wallet  # noqa: E402
from wallets.domain.withdrawals.agenda import look_ahead  # noqa: E402
from wallets.domain.withdrawals.claim import ClaimBatch, claim  # noqa: E402
from wallets.domain.withdrawals.settle import Result, settle  # noqa: E402
from wallets.models import Transaction  # noqa: E402
from wallets.tasks.policy import payout_policy  # noqa: E402

_BATCH = 100
_CHURN_BATCH = 1_000
_PAID = Outcome(
    verdict=Verdict.PAID,
    reason="paid",
    reference="reference",
    may_have_arrived=True,
    proof=CallKind.TRANSFER,
    alarm=None,
    retry_after=None,
    health=BankHealth.ANSWERED,
    records=(CallRecord(CallKind.TRANSFER, 0.0, 5, 200, "paid", "reference", ""),),
)


class _Executor:
    """Claims and settles as an executor does, without a bank."""

    def __init__(self) -> None:
        self._worker = uuid.uuid4()
        self._policy = payout_policy()
        self._chance = random.Random(7)
        self._since = BEGINNING

    def look(self) -> None:
        look_ahead(self._since, within=timedelta(seconds=2))

    def claim(self, wanted: int) -> ClaimBatch:
        batch = claim(
            worker=self._worker,
            wanted=wanted,
            policy=self._policy,
            random_source=self._chance,
            since=self._since,
        )
        self._since = batch.seen
        return batch

    def settle(self, batch: ClaimBatch) -> None:
        results = [Result(each.id, each.epoch, _PAID, brought_at=1.0) for each in batch.claimed]
        settle(results, worker=self._worker, policy=self._policy, random_source=self._chance)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1_000


def _measure(executor: _Executor, wallets: range, deep: int, repeats: int) -> dict[str, float]:
    chance = random.Random(11)
    found: dict[str, list[float]] = {}
    middle = Transaction.objects.filter(wallet=deep).order_by("-pk").values_list("pk", flat=True)
    cursor = Cursor(older=True, id=middle[len(middle) // 2])
    deep_wallet = find_wallet(deep)
    now = deep_wallet.updated_at

    def note(name: str, work: Callable[[], object]) -> None:
        found.setdefault(name, []).append(_timed(work))

    def page(wallet: int) -> None:
        recent_transactions(find_wallet(wallet).pk)

    def pay(wallet: int) -> None:
        request = ClientRequest(uuid.uuid4().hex, "0" * 64)
        deposit(wallet=wallet, amount=1, currency=None, request=request)

    def state() -> None:
        statement(wallet=deep_wallet, since=now - timedelta(hours=1), until=now).lines(most=100)

    with connection.cursor() as raw:
        schedule(raw, list(wallets), _BATCH * repeats)
    for _ in range(repeats):
        wallet = wallets[chance.randrange(len(wallets))]
        note("due scan", executor.look)
        batches: list[ClaimBatch] = []
        note("claim of 100", lambda batches=batches: batches.append(executor.claim(_BATCH)))  # type: ignore[misc]
        if len(batches[0].claimed) != _BATCH:
            raise SystemExit(f"{len(batches[0].claimed)} were claimed")
        note("settle of 100", lambda batches=batches: executor.settle(batches[0]))  # type: ignore[misc]
        note("deposit", lambda wallet=wallet: pay(wallet))  # type: ignore[misc]
        note("wallet page", lambda wallet=wallet: page(wallet))  # type: ignore[misc]
        note(
            "deep page",
            lambda: transactions_page(deep, filters={}, cursor=cursor, limit=50),
        )
        note("statement", state)
    return {name: median(times) for name, times in found.items()}


def _process(executor: _Executor, wallets: range, count: int) -> None:
    with connection.cursor() as raw:
        # Due over the hour before: what an executor finds after an outage.
        schedule(raw, list(wallets), count, after=-3_600.0, apart=3_500 / count)
    left = count
    while left > 0:
        batch = executor.claim(min(left, _CHURN_BATCH))
        if batch.taken == 0 or batch.insufficient_funds:
            raise SystemExit(f"nothing more to process, with {left} left: {batch}")
        executor.settle(batch)
        left -= len(batch.claimed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--wallets", type=int, required=True)
    parser.add_argument("--deep", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--churn", type=int, default=0)
    given = parser.parse_args()
    wallets = range(given.first, given.first + given.wallets)
    ensure_gate()
    executor = _Executor()
    other = psycopg2.connect(os.environ["DATABASE_URL"])
    if given.churn:
        other.set_session(isolation_level="REPEATABLE READ", readonly=True)
        other.cursor().execute("SELECT count(*) FROM wallets_bankgate")
        _process(executor, wallets, given.churn)
    _measure(executor, wallets, given.deep, max(3, given.repeats // 10))  # fills caches
    print(json.dumps(_measure(executor, wallets, given.deep, given.repeats)))
    other.close()


if __name__ == "__main__":
    main()
