"""Apply deposits, at once."""

import uuid
from dataclasses import replace

from django.db import transaction

from wallets.domain import ledger
from wallets.domain.errors import BalanceOverflow, CurrencyMismatch
from wallets.domain.receipts import (
    ClientRequest,
    Receipt,
    TransactionState,
    WalletState,
)
from wallets.domain.requests import earlier_transaction
from wallets.domain.wallets import find_wallet
from wallets.models import MAX_BALANCE, LedgerEntry, Status, Transaction, Type, Wallet
from wallets.models.clock import database_now


def deposit(
    *,
    wallet: int | uuid.UUID,
    amount: int,
    currency: str | None,
    request: ClientRequest | None,
) -> Receipt:
    """Add ``amount`` minor units to the wallet.

    Raises ``WalletNotFound``, ``IdempotencyKeyReused``, ``CurrencyMismatch``, ``BalanceOverflow``.
    """
    with transaction.atomic():
        # The lock comes first: two requests with one key take turns, and the second replays.
        found = find_wallet(wallet, lock=True)
        earlier = earlier_transaction(wallet=found, type=Type.DEPOSIT, request=request)
        if earlier is not None:
            return _replay(found, earlier)
        if currency is not None and currency != found.currency:
            raise CurrencyMismatch(wallet_currency=found.currency)
        if amount > MAX_BALANCE - found.balance:
            raise BalanceOverflow(balance=found.balance)

        now = database_now()
        row = Transaction.objects.create(
            wallet=found,
            type=Type.DEPOSIT,
            status=Status.SUCCEEDED,
            amount=amount,
            request_key=request.key if request else None,
            request_fingerprint=request.fingerprint if request else None,
            created_at=now,
            updated_at=now,
        )
        [balance] = ledger.post(
            [ledger.deposited(row.pk, found.pk, amount)],
            locked={
                found.pk: ledger.LockedWallet(found.pk, found.uuid, found.currency, found.balance)
            },
            now=now,
        )
    state = replace(WalletState.of(found), balance=balance, updated_at=now)
    return Receipt(wallet=state, transaction=TransactionState.of(row), replayed=False)


def _replay(wallet: Wallet, earlier: Transaction) -> Receipt:
    """The first answer: the wallet as the deposit's own ledger entry left it."""
    entry = LedgerEntry.objects.get(transaction=earlier)
    first = replace(
        WalletState.of(wallet), balance=entry.balance_after, updated_at=entry.created_at
    )
    return Receipt(wallet=first, transaction=TransactionState.of(earlier), replayed=True)
