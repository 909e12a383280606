"""The one ending: success, refusal, doubt and hand-back of claimed withdrawals all pass here."""

import logging
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from wallets.domain.ledger import LockedWallet
from wallets.domain.outcomes import BankHealth, CallKind, CallRecord, Outcome, Verdict
from wallets.domain.policy import PayoutPolicy
from wallets.domain.statements import for_database
from wallets.domain.statements.rows import CallRow, LockedResults
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.followup import pause_before_asking
from wallets.domain.withdrawals.lifecycle import Transition
from wallets.domain.withdrawals.rows import Row
from wallets.models import MAX_BALANCE, BankCall, Status

logger = logging.getLogger("wallets.settle")


@dataclass(frozen=True, slots=True)
class Result:
    """How the call for one claimed withdrawal ended."""

    id: int
    epoch: int
    outcome: Outcome
    # The worker's monotonic clock when the result is brought to ``settle``, to place the calls
    # in the database's time.
    brought_at: float
    # The call was let through an open breaker to see whether the bank is back.
    probe: bool = False


@dataclass(slots=True)
class Settled:
    """Counts of what a settle did; ``lost``: somebody else had ended or taken over the row."""

    succeeded: int = 0
    failed: int = 0
    in_doubt: int = 0
    handed_back: int = 0
    lost: int = 0
    alarms: list[str] = field(default_factory=list)


def settle(
    results: Sequence[Result],
    *,
    worker: uuid.UUID,
    policy: PayoutPolicy,
    random_source: random.Random,
    again: bool = False,
) -> Settled:
    """End or release the rows of ``results``.

    A payment is a fact, whoever learns of it, as long as the row is being processed. Everything
    else counts only from the worker that holds the row at that epoch; rows that do not match are
    logged and left alone. ``again``: an earlier attempt may have committed without our knowing,
    so calls that are already recorded are not recorded twice. ``results`` names each row once.
    """
    settled = Settled()
    with transaction.atomic():
        locked = _lock(results)
        by_id, now = {row.id: row for row in locked.rows}, locked.now
        known = [result for result in results if result.id in by_id]
        for result in results:
            if result.id not in by_id:
                _say_vanished(settled, result)
        ends = [
            (by_id[result.id], end)
            for result in known
            if (
                end := _end(
                    by_id[result.id],
                    result,
                    worker=worker,
                    now=now,
                    policy=policy,
                    random_source=random_source,
                    settled=settled,
                )
            )
        ]
        transitions = _that_fit(ends, locked.wallets, now=now, policy=policy, settled=settled)
        calls = _calls(known, now)
        if again:
            calls = _not_yet_recorded(calls)
        lifecycle.apply(
            transitions, locked=locked.wallets, worker=str(worker), now=now, calls=calls
        )
    return settled


def _lock(results: Sequence[Result]) -> LockedResults:
    moving = {r.id for r in results if r.outcome.verdict in (Verdict.PAID, Verdict.REFUSED)}
    locked: LockedResults = for_database().lock_results({r.id for r in results}, moving)
    return locked


def _end(
    row: Row,
    result: Result,
    *,
    worker: uuid.UUID,
    now: datetime,
    policy: PayoutPolicy,
    random_source: random.Random,
    settled: Settled,
) -> Transition | None:
    outcome = result.outcome
    if outcome.alarm:
        _alarm(settled, outcome.alarm, row, outcome)
    if outcome.verdict is Verdict.PAID:
        return _paid(row, result, settled)
    if row.status != Status.PROCESSING or row.epoch != result.epoch or row.lease_owner != worker:
        settled.lost += 1
        logger.warning(
            "result dropped: the withdrawal is no longer this worker's",
            extra={
                "transaction": row.id,
                "worker": str(worker),
                "verdict": outcome.verdict.value,
            },
        )
        return None
    if _only_probed(result):
        settled.handed_back += 1
        return lifecycle.handed_back(row, reason=outcome.reason, try_again_at=now)
    if outcome.verdict is Verdict.REFUSED:
        settled.failed += 1
        return lifecycle.refused(row, reason=outcome.reason)
    if outcome.verdict is Verdict.IN_DOUBT:
        settled.in_doubt += 1
        pause = pause_before_asking(
            row.in_doubt_since, now=now, policy=policy, random_source=random_source
        )
        sent = any(record.kind is CallKind.TRANSFER for record in outcome.records)
        return lifecycle.left_in_doubt(
            row, reason=outcome.reason, ask_again_at=now + pause, sent=sent, now=now
        )
    settled.handed_back += 1
    wait = timedelta(seconds=outcome.retry_after or 0)
    return lifecycle.handed_back(row, reason=outcome.reason, try_again_at=now + wait)


def _only_probed(result: Result) -> bool:
    """Nothing left for the bank, and nobody expected it to: a long outage must not fail one
    withdrawal a probe."""
    outcome = result.outcome
    unsent = outcome.verdict is Verdict.REFUSED and outcome.health is BankHealth.UNREACHABLE
    return result.probe and unsent


def _paid(row: Row, result: Result, settled: Settled) -> Transition | None:
    reference = result.outcome.reference
    if row.status == Status.PROCESSING:
        settled.succeeded += 1
        return lifecycle.paid(row, reference=reference)
    settled.lost += 1
    if row.status == Status.SUCCEEDED:
        if reference != row.bank_reference:
            _alarm(settled, "paid_again_with_another_reference", row, result.outcome)
        return None
    # FAILED, or SCHEDULED after the database lost its last commits: never a silent edit.
    _alarm(settled, "paid_but_not_processing", row, result.outcome)
    return None


def _that_fit(
    ends: Sequence[tuple[Row, Transition]],
    locked: dict[int, LockedWallet],
    *,
    now: datetime,
    policy: PayoutPolicy,
    settled: Settled,
) -> list[Transition]:
    """The steps, but for refunds that a wallet filled up in the meantime cannot hold any more.

    Those stay held, for a person: they must not take the rest of the batch with them.
    """
    left = {wallet_id: MAX_BALANCE - wallet.balance for wallet_id, wallet in locked.items()}
    fitting = []
    for row, end in ends:
        credit = end.movement.delta if end.movement is not None else 0
        if credit > left.get(row.wallet_id, MAX_BALANCE):
            fitting.append(_held_on(row, now=now, policy=policy, settled=settled))
            continue
        if credit > 0:
            left[row.wallet_id] -= credit
        fitting.append(end)
    return fitting


def _held_on(row: Row, *, now: datetime, policy: PayoutPolicy, settled: Settled) -> Transition:
    settled.failed -= 1
    settled.in_doubt += 1
    _raise_alarm(settled, "refund_does_not_fit", {"transaction": row.id})
    return lifecycle.left_in_doubt(
        row,
        reason="refund_does_not_fit",
        ask_again_at=now + policy.ask_max,
        sent=False,
        now=now,
    )


def _say_vanished(settled: Settled, result: Result) -> None:
    """The database lost its last commits, and the withdrawal with them."""
    settled.lost += 1
    _raise_alarm(
        settled,
        "withdrawal_vanished",
        {
            "transaction": result.id,
            "verdict": result.outcome.verdict.value,
            "reference": result.outcome.reference,
        },
    )


def _alarm(settled: Settled, code: str, row: Row, outcome: Outcome) -> None:
    details = {
        "transaction": row.id,
        "status": row.status,
        "verdict": outcome.verdict.value,
        "reference": outcome.reference,
    }
    _raise_alarm(settled, code, details)


def _raise_alarm(settled: Settled, code: str, details: dict[str, object]) -> None:
    settled.alarms.append(code)
    logger.error("alarm: %s", code, extra={"alarm": code} | details)


def _calls(results: Sequence[Result], now: datetime) -> list[CallRow]:
    return [_call(result, record, now) for result in results for record in result.outcome.records]


def _call(result: Result, record: CallRecord, now: datetime) -> CallRow:
    return CallRow(
        transaction_id=result.id,
        epoch=result.epoch,
        kind=record.kind.value,
        started_at=now - timedelta(seconds=result.brought_at - record.started),
        duration_ms=record.duration_ms,
        http_status=record.http_status,
        verdict=record.verdict,
        reference=record.reference,
        answer_digest=record.digest,
    )


def _not_yet_recorded(calls: Sequence[CallRow]) -> list[CallRow]:
    recorded = set(
        BankCall.objects.filter(transaction_id__in={c.transaction_id for c in calls}).values_list(
            "transaction_id", "epoch"
        )
    )
    return [c for c in calls if (c.transaction_id, c.epoch) not in recorded]
