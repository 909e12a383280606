"""Apply deposits, at once."""

import uuid
from dataclasses import replace

from django.db import transaction

from wallets.domain import ledger
from wallets.domain.errors import BalanceOverflow, CurrencyMismatch
from wallets.domain.limits import NO_LIMITS, Limits, check_deposit
from wallets.domain.receipts import ClientRequest, Receipt, TransactionState, WalletState
from wallets.domain.requests import earlier_transaction
from wallets.domain.statements.rows import DepositedRow, DepositRow
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.models import MAX_BALANCE, LedgerEntry, Status, Transaction, Type, Wallet
from wallets.models.clock import database_now


def deposit(
    *,
    wallet: int | uuid.UUID | WalletRef,
    amount: int,
    currency: str | None,
    request: ClientRequest | None,
    limits: Limits = NO_LIMITS,
) -> Receipt:
    """Add ``amount`` minor units to the wallet.

    The common deposit is one round trip where the database can do it in one statement. Whatever is
    in its way, a replay or a refusal, is found out about under the wallet's lock.

    Raises ``WalletNotFound``, ``IdempotencyKeyReused``, ``CurrencyMismatch``, ``BalanceOverflow``,
    ``BalanceLimitExceeded``.
    """
    return _at_once(
        wallet=wallet, amount=amount, currency=currency, request=request, limits=limits
    ) or deposit_step_by_step(
        wallet=wallet, amount=amount, currency=currency, request=request, limits=limits
    )


def _at_once(
    *,
    wallet: int | uuid.UUID | WalletRef,
    amount: int,
    currency: str | None,
    request: ClientRequest | None,
    limits: Limits,
) -> Receipt | None:
    named = wallet if isinstance(wallet, WalletRef) else WalletRef(wallet)
    row = DepositRow(
        wallet=named.ref,
        tenant_id=named.tenant_id,
        amount=amount,
        currency=currency,
        highest_balance=limits.highest_balance,
        request_key=request.key if request else None,
        request_fingerprint=request.fingerprint if request else None,
    )
    made = ledger.deposit_in_one_statement(row)
    return None if made is None else _receipt(row, made)


def _receipt(row: DepositRow, made: DepositedRow) -> Receipt:
    return Receipt(
        wallet=WalletState(
            id=made.wallet_id,
            uuid=made.uuid,
            currency=made.currency,
            balance=made.balance,
            created_at=made.created_at,
            updated_at=made.now,
        ),
        transaction=TransactionState.deposited(
            id=made.transaction_id, wallet_id=made.wallet_id, amount=row.amount, at=made.now
        ),
        replayed=False,
    )


def deposit_step_by_step(
    *,
    wallet: int | uuid.UUID | WalletRef,
    amount: int,
    currency: str | None,
    request: ClientRequest | None,
    limits: Limits = NO_LIMITS,
) -> Receipt:
    """The same on any database, and whatever is in the way of the deposit."""
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
        check_deposit(wallet=found, amount=amount, limits=limits)

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
