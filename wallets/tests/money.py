"""Small builders for tests about money: wallets with a balance, withdrawals that are due."""

import random
import uuid
from datetime import timedelta

from wallets.domain.deposits import deposit
from wallets.domain.gate import ensure_gate
from wallets.domain.opening import open_wallet
from wallets.domain.outcomes import (
    BankHealth,
    CallKind,
    CallRecord,
    Idempotency,
    Outcome,
    Verdict,
)
from wallets.domain.policy import PayoutPolicy
from wallets.domain.withdrawals.claim import ClaimBatch, Claimed, claim
from wallets.domain.withdrawals.settle import Result, Settled, settle
from wallets.models import LedgerEntry, Status, StatusChange, Transaction, Type
from wallets.models.clock import database_now

RANDOM = random.Random(7)
WORKER = uuid.UUID(int=1)
OTHER_WORKER = uuid.UUID(int=2)


def policy(**changes: object) -> PayoutPolicy:
    values: dict[str, object] = {
        "lease": timedelta(seconds=30),
        "idempotency": Idempotency.FULL,
        "inquiry_configured": True,
        "key_retention": timedelta(days=1),
        "ask_min": timedelta(seconds=2),
        "ask_max": timedelta(seconds=900),
        "max_rps": 0.0,
        "breaker_failures": 10,
        "breaker_cooldown": timedelta(seconds=30),
        "throttle_cap": timedelta(seconds=60),
    }
    return PayoutPolicy(**(values | changes))  # type: ignore[arg-type]


def make_wallet(balance: int = 0) -> int:
    wallet_id = open_wallet(currency="IRR", request=None).wallet.id
    if balance:
        deposit(wallet=wallet_id, amount=balance, currency=None, request=None)
    return wallet_id


def make_due(wallet_id: int, *amounts: int, ago: timedelta = timedelta(minutes=1)) -> list[int]:
    """Withdrawals of these amounts, due since ``ago``, in this order."""
    now = database_now()
    rows = Transaction.objects.bulk_create(
        Transaction(
            wallet_id=wallet_id,
            type=Type.WITHDRAWAL,
            status=Status.SCHEDULED,
            amount=amount,
            execute_at=now - ago,
            idempotency_key=uuid.uuid4(),
            created_at=now - ago - timedelta(minutes=1),
            updated_at=now - ago - timedelta(minutes=1),
        )
        for amount in amounts
    )
    StatusChange.objects.bulk_create(
        StatusChange(
            transaction=row,
            to_status=Status.SCHEDULED,
            reason="scheduled",
            created_at=now,
        )
        for row in rows
    )
    return [row.pk for row in rows]


def take(
    wanted: int = 100,
    *,
    worker: uuid.UUID = WORKER,
    rules: PayoutPolicy | None = None,
    most_lapsed: int | None = None,
) -> ClaimBatch:
    ensure_gate()
    return claim(
        worker=worker,
        wanted=wanted,
        policy=rules or policy(),
        random_source=RANDOM,
        most_lapsed=most_lapsed,
    )


def lapse(*ids: int) -> None:
    """Let the leases of these withdrawals have run out a second ago."""
    past = database_now() - timedelta(seconds=1)
    changed = Transaction.objects.filter(pk__in=ids).update(lease_expires_at=past)
    assert changed == len(ids)


def outcome(verdict: Verdict, **changes: object) -> Outcome:
    values: dict[str, object] = {
        "verdict": verdict,
        "reason": {Verdict.PAID: "paid", Verdict.REFUSED: "bank_refused"}.get(
            verdict, "read_timeout"
        ),
        "reference": "ref" if verdict is Verdict.PAID else None,
        "may_have_arrived": verdict in (Verdict.PAID, Verdict.IN_DOUBT),
        "proof": CallKind.TRANSFER,
        "alarm": None,
        "retry_after": None,
        "health": BankHealth.ANSWERED,
        "records": (CallRecord(CallKind.TRANSFER, 0.0, 5, 200, verdict.value, None, ""),),
    }
    return Outcome(**(values | changes))  # type: ignore[arg-type]


def finish(
    claimed: Claimed,
    verdict: Verdict,
    *,
    worker: uuid.UUID = WORKER,
    rules: PayoutPolicy | None = None,
    again: bool = False,
    **changes: object,
) -> Settled:
    result = Result(claimed.id, claimed.epoch, outcome(verdict, **changes), brought_at=1.0)
    return settle(
        [result],
        worker=worker,
        policy=rules or policy(),
        random_source=RANDOM,
        again=again,
    )


def legs(transaction_id: int) -> list[tuple[str, str, int]]:
    entries = LedgerEntry.objects.filter(transaction_id=transaction_id).order_by("id")
    return list(entries.values_list("debit_account", "credit_account", "amount"))
