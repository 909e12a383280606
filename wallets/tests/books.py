"""Books that are exactly right, written row by row and without the domain.

Each function leaves its wallet, entries, history and bank calls as the service would have, so that
a test can spoil one row of them, or look at a withdrawal in a given state.
"""

import hashlib
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from wallets.models import (
    Account,
    BankCall,
    BankGate,
    LedgerEntry,
    PlanRequest,
    Resolution,
    Status,
    StatusChange,
    Transaction,
    Type,
    Wallet,
)

AT = datetime(2026, 3, 21, 6, 30, tzinfo=UTC)  # 1405/01/01 10:00 in Tehran
WORKER = uuid.UUID("6f1c0a52-9d3e-4b7a-8c11-2e5f7a90d4b3")
SECOND = timedelta(seconds=1)
DUE_AFTER = timedelta(minutes=1)


def open_wallet(*, currency: str = "IRR", at: datetime = AT) -> Wallet:
    return Wallet.objects.create(currency=currency, created_at=at, updated_at=at)


def open_gate() -> BankGate:
    return BankGate.objects.get_or_create(name="bank")[0]


def deposit(
    wallet: Wallet, amount: int, *, at: datetime = AT, request_key: str | None = None
) -> Transaction:
    row = Transaction.objects.create(
        wallet=wallet,
        type=Type.DEPOSIT,
        status=Status.SUCCEEDED,
        amount=amount,
        request_key=request_key,
        request_fingerprint=_fingerprint(request_key),
        created_at=at,
        updated_at=at,
    )
    _move(row, Account.BANK, Account.WALLET, at)
    return row


def scheduled(
    wallet: Wallet,
    amount: int,
    *,
    at: datetime = AT,
    execute_at: datetime | None = None,
    request_key: str | None = None,
) -> Transaction:
    """Scheduled at ``at``, due a minute later unless told otherwise."""
    row = Transaction.objects.create(
        wallet=wallet,
        type=Type.WITHDRAWAL,
        status=Status.SCHEDULED,
        amount=amount,
        execute_at=execute_at or at + DUE_AFTER,
        idempotency_key=uuid.uuid4(),
        request_key=request_key,
        request_fingerprint=_fingerprint(request_key),
        created_at=at,
        updated_at=at,
    )
    _record(row, "", Status.SCHEDULED, "scheduled", at, worker="")
    return row


def processing(
    wallet: Wallet, amount: int, *, at: datetime = AT, lease: timedelta = timedelta(seconds=30)
) -> Transaction:
    """Claimed: its money is held, and nothing is known of the bank yet."""
    row = scheduled(wallet, amount, at=at)
    now = at + DUE_AFTER + SECOND
    _set(
        row,
        now,
        status=Status.PROCESSING,
        epoch=1,
        lease_owner=WORKER,
        lease_expires_at=now + lease,
        first_sent_at=now,
    )
    _move(row, Account.WALLET, Account.IN_TRANSIT, now)
    _record(row, Status.SCHEDULED, Status.PROCESSING, "claimed", now)
    return row


def in_doubt(wallet: Wallet, amount: int, *, at: datetime = AT) -> Transaction:
    """Sent and not answered, then asked about once without an answer."""
    row = processing(wallet, amount, at=at)
    now = row.updated_at + 4 * SECOND
    _call(row, "transfer", "read_timeout", now - 3 * SECOND, duration_ms=3_000)
    _set(
        row,
        now,
        maybe_sent=True,
        lease_owner=None,
        lease_expires_at=now + timedelta(minutes=5),
        last_sent_at=now,
        in_doubt_since=now,
    )
    _record(row, Status.PROCESSING, Status.PROCESSING, "in_doubt: read_timeout", now)
    _call(row, "inquiry", "http_500", now + 2 * SECOND, http_status=500)
    return row


def succeeded(
    wallet: Wallet, amount: int, *, at: datetime = AT, reference: str | None = None
) -> Transaction:
    row = processing(wallet, amount, at=at)
    now = row.updated_at + SECOND
    reference = reference or f"REF-{row.pk}"
    _call(row, "transfer", "paid", now, http_status=200, reference=reference)
    _end(row, now, status=Status.SUCCEEDED, bank_reference=reference)
    _move(row, Account.IN_TRANSIT, Account.BANK, now)
    _record(row, Status.PROCESSING, Status.SUCCEEDED, "paid", now)
    return row


def succeeded_after_doubt(wallet: Wallet, amount: int, *, at: datetime = AT) -> Transaction:
    """The answer was lost; the bank said on being asked that it had paid."""
    row = in_doubt(wallet, amount, at=at)
    now = row.updated_at + timedelta(minutes=5)
    reference = f"REF-{row.pk}"
    _call(row, "inquiry", "paid", now, http_status=200, reference=reference)
    _end(row, now, status=Status.SUCCEEDED, bank_reference=reference, in_doubt_since=None)
    _move(row, Account.IN_TRANSIT, Account.BANK, now)
    _record(row, Status.PROCESSING, Status.SUCCEEDED, "paid", now)
    return row


def refused(wallet: Wallet, amount: int, *, at: datetime = AT) -> Transaction:
    """Claimed, refused by the bank, and given back."""
    row = processing(wallet, amount, at=at)
    now = row.updated_at + SECOND
    _call(row, "transfer", "refused", now, http_status=503)
    _end(row, now, status=Status.FAILED, failure_reason="bank_refused")
    _move(row, Account.IN_TRANSIT, Account.WALLET, now)
    _record(row, Status.PROCESSING, Status.FAILED, "bank_refused", now)
    return row


def returned(withdrawal: Transaction) -> Transaction:
    """What the bank sends back days after a withdrawal succeeded."""
    at = withdrawal.updated_at + timedelta(days=2)
    row = Transaction.objects.create(
        wallet=withdrawal.wallet,
        type=Type.RETURN,
        status=Status.SUCCEEDED,
        amount=withdrawal.amount,
        bank_reference=f"RETURN-{withdrawal.pk}",
        returned_withdrawal=withdrawal,
        created_at=at,
        updated_at=at,
    )
    _move(row, Account.BANK, Account.WALLET, at)
    _record(row, "", Status.SUCCEEDED, "returned: account closed", at, worker="operator:sara")
    return row


def settled_by_a_person(
    wallet: Wallet, amount: int, *, paid: bool, at: datetime = AT
) -> Transaction:
    """Asked about without an answer until somebody looked at the bank's statement."""
    row = in_doubt(wallet, amount, at=at)
    now = row.updated_at + timedelta(hours=2)
    reference = f"REF-{row.pk}" if paid else None
    Resolution.objects.create(
        transaction=row,
        step=Resolution.Step.DECIDED,
        verdict=Resolution.Verdict.PAID if paid else Resolution.Verdict.NOT_PAID,
        reference=reference,
        reason="seen on the statement",
        by="sara",
        created_at=now,
    )
    if paid:
        _end(row, now, status=Status.SUCCEEDED, bank_reference=reference, in_doubt_since=None)
        _move(row, Account.IN_TRANSIT, Account.BANK, now)
    else:
        _end(
            row, now, status=Status.FAILED, failure_reason="operator_not_paid", in_doubt_since=None
        )
        _move(row, Account.IN_TRANSIT, Account.WALLET, now)
    reason = f"resolved_{'paid' if paid else 'not_paid'}: seen on the statement"
    _record(row, Status.PROCESSING, row.status, reason, now, worker="operator:sara")
    return row


def failed_for_funds(wallet: Wallet, amount: int, *, at: datetime = AT) -> Transaction:
    row = scheduled(wallet, amount, at=at)
    now = at + DUE_AFTER + SECOND
    _set(row, now, status=Status.FAILED, failure_reason="insufficient_funds")
    _record(row, Status.SCHEDULED, Status.FAILED, "insufficient_funds", now)
    return row


def cancelled(wallet: Wallet, amount: int, *, at: datetime = AT) -> Transaction:
    """Moved to another time, and then given up before it was due."""
    row = scheduled(wallet, amount, at=at)
    _record(row, Status.SCHEDULED, Status.SCHEDULED, "rescheduled: from a to b", at, worker="api")
    now = at + SECOND
    _set(row, now, status=Status.CANCELLED)
    _record(row, Status.SCHEDULED, Status.CANCELLED, "cancelled", now, worker="api")
    PlanRequest.objects.create(
        wallet=wallet,
        operation=PlanRequest.Operation.CANCEL,
        request_key=f"cancel-{row.pk}",
        request_fingerprint="0" * 64,
        transaction=row,
        execute_at=at + DUE_AFTER,
        withdrawal_updated_at=now,
        created_at=now,
    )
    return row


def one_of_each(wallet: Wallet, *, at: datetime = AT) -> dict[str, Transaction]:
    """A deposit and a withdrawal in every state; needs no money of its own."""
    hour = timedelta(hours=1)
    rows = {
        "deposit": deposit(wallet, 10_000, at=at),
        "scheduled": scheduled(wallet, 100, at=at + hour),
        "processing": processing(wallet, 200, at=at + 2 * hour),
        "in_doubt": in_doubt(wallet, 300, at=at + 3 * hour),
        "succeeded": succeeded(wallet, 400, at=at + 4 * hour),
        "succeeded_after_doubt": succeeded_after_doubt(wallet, 500, at=at + 5 * hour),
        "refused": refused(wallet, 600, at=at + 6 * hour),
        "failed_for_funds": failed_for_funds(wallet, 1_000_000, at=at + 7 * hour),
        "cancelled": cancelled(wallet, 900, at=at + 7 * hour + timedelta(minutes=30)),
        "decided_paid": settled_by_a_person(wallet, 700, paid=True, at=at + 8 * hour),
        "decided_not_paid": settled_by_a_person(wallet, 800, paid=False, at=at + 9 * hour),
    }
    return rows | {"returned": returned(rows["succeeded"])}


def random_books(*, operations: int, seed: int) -> None:
    """That many deposits and withdrawals in all states, over a few wallets in two currencies."""
    choose = random.Random(seed)
    wallets = [open_wallet(currency=currency) for currency in ("IRR", "IRR", "EUR")]
    for wallet in wallets:
        deposit(wallet, 10**9)
    for number in range(operations):
        at = AT + timedelta(minutes=10 * number)
        make = choose.choice(_STATES)
        row = make(choose.choice(wallets), choose.randrange(1, 10**5), at=at)
        if make is succeeded and choose.random() < 0.2:
            returned(row)
    failed_for_funds(wallets[0], 10**12)


_STATES: tuple[Callable[..., Transaction], ...] = (
    deposit,
    scheduled,
    processing,
    in_doubt,
    succeeded,
    succeeded_after_doubt,
    refused,
    partial(settled_by_a_person, paid=True),
    partial(settled_by_a_person, paid=False),
    cancelled,
)


def _fingerprint(request_key: str | None) -> str | None:
    return hashlib.sha256(request_key.encode()).hexdigest() if request_key else None


def _move(row: Transaction, debit: Account, credit: Account, at: datetime) -> None:
    wallet = row.wallet
    if credit == Account.WALLET:
        wallet.balance += row.amount
    elif debit == Account.WALLET:
        wallet.balance -= row.amount
    wallet.updated_at = at
    wallet.save(update_fields=["balance", "updated_at"])
    LedgerEntry.objects.create(
        transaction=row,
        wallet=wallet,
        debit_account=debit,
        credit_account=credit,
        amount=row.amount,
        balance_after=wallet.balance,
        created_at=at,
    )


def _record(
    row: Transaction, before: str, after: str, reason: str, at: datetime, worker: str = str(WORKER)
) -> None:
    StatusChange.objects.create(
        transaction=row,
        from_status=before,
        to_status=after,
        reason=reason,
        worker=worker,
        created_at=at,
    )


def _call(
    row: Transaction,
    kind: str,
    verdict: str,
    at: datetime,
    *,
    duration_ms: int = 40,
    http_status: int | None = None,
    reference: str | None = None,
) -> None:
    BankCall.objects.create(
        transaction=row,
        epoch=row.epoch,
        kind=kind,
        started_at=at,
        duration_ms=duration_ms,
        http_status=http_status,
        verdict=verdict,
        reference=reference,
        answer_digest=hashlib.sha256(verdict.encode()).hexdigest() if http_status else "",
    )


def _end(row: Transaction, at: datetime, **values: object) -> None:
    _set(row, at, lease_owner=None, lease_expires_at=None, **values)


def _set(row: Transaction, at: datetime, **values: object) -> None:
    row.updated_at = at
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])
