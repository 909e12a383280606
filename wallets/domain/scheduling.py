"""Schedule withdrawals. Whether the money is there is decided when they are due, not here."""

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from wallets.domain.errors import CurrencyMismatch, ExecuteAtNotInFuture
from wallets.domain.limits import NO_LIMITS, Limits, check_withdrawal
from wallets.domain.receipts import (
    ClientRequest,
    Receipt,
    TransactionState,
    WalletState,
)
from wallets.domain.requests import earlier_transaction
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.models import Status, StatusChange, Transaction, Type, Wallet
from wallets.models.clock import database_now


def schedule_withdrawal(
    *,
    wallet: int | uuid.UUID | WalletRef,
    amount: int,
    currency: str | None,
    execute_at: datetime,
    request: ClientRequest | None,
    limits: Limits = NO_LIMITS,
) -> Receipt:
    """Schedule ``amount`` minor units to be paid out at ``execute_at`` (aware).

    Raises ``WalletNotFound``, ``IdempotencyKeyReused``, ``CurrencyMismatch``,
    ``ExecuteAtNotInFuture``, ``WithdrawalLimitExceeded``, ``DailyLimitExceeded``.
    """
    with transaction.atomic():
        # Under a limit a day, what is planned already must not change until this is planned too.
        found = find_wallet(wallet, lock=limits.withdrawals_a_day is not None)
        earlier = earlier_transaction(wallet=found, type=Type.WITHDRAWAL, request=request)
        if earlier is not None:
            return _replay(found, earlier)
        if currency is not None and currency != found.currency:
            raise CurrencyMismatch(wallet_currency=found.currency)
        now = database_now()
        if execute_at <= now:
            raise ExecuteAtNotInFuture(database_time=now)
        check_withdrawal(wallet=found, amount=amount, execute_at=execute_at, limits=limits)
        row = _withdrawal(found, amount, execute_at, request, now)
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            # The same key raced us; our insert waited for its commit, so it can be seen now.
            earlier = earlier_transaction(wallet=found, type=Type.WITHDRAWAL, request=request)
            if earlier is None:
                raise
            return _replay(found, earlier)
        StatusChange.objects.create(
            transaction=row,
            to_status=Status.SCHEDULED,
            reason="scheduled",
            created_at=now,
        )
    return Receipt(
        wallet=WalletState.of(found),
        transaction=TransactionState.of(row),
        replayed=False,
    )


def _withdrawal(
    wallet: Wallet,
    amount: int,
    execute_at: datetime,
    request: ClientRequest | None,
    now: datetime,
) -> Transaction:
    return Transaction(
        wallet=wallet,
        type=Type.WITHDRAWAL,
        status=Status.SCHEDULED,
        amount=amount,
        execute_at=execute_at,
        idempotency_key=uuid.uuid4(),
        request_key=request.key if request else None,
        request_fingerprint=request.fingerprint if request else None,
        request_snapshot=(
            {
                "balance": wallet.balance,
                "wallet_updated_at": wallet.updated_at.isoformat(),
                "execute_at": execute_at.isoformat(),
            }
            if request
            else None
        ),
        created_at=now,
        updated_at=now,
    )


def _replay(wallet: Wallet, earlier: Transaction) -> Receipt:
    """The first answer: wallet and withdrawal as they were when it was scheduled."""
    snapshot: dict[str, Any] = earlier.request_snapshot or {}
    first_wallet = replace(
        WalletState.of(wallet),
        balance=snapshot["balance"],
        updated_at=datetime.fromisoformat(snapshot["wallet_updated_at"]),
    )
    first_row = replace(
        TransactionState.of(earlier),
        status=Status.SCHEDULED,
        execute_at=datetime.fromisoformat(snapshot["execute_at"]),
        bank_reference=None,
        failure_reason=None,
        in_doubt_since=None,
        updated_at=earlier.created_at,
    )
    return Receipt(wallet=first_wallet, transaction=first_row, replayed=True)
