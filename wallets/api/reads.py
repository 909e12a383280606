"""What the API shows without changing anything."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Count, Q, QuerySet

from wallets.api.cursors import Cursor
from wallets.api.paging import Page, page_at
from wallets.domain.receipts import TransactionState, WalletState
from wallets.models import BankCall, StatusChange, Transaction, Type, Wallet, of_one_wallet

RECENT = 10
# A withdrawal that stays in doubt for weeks is taken over thousands of times.
MOST_CHANGES = 100

# As the index has it that finds a wallet's transactions.
_NEWEST_FIRST = ("wallet_id", "-id")
_OLDEST_FIRST = ("-wallet_id", "id")
# Read as plain tuples: instances cost more than the query.
_COLUMNS = [field.name for field in fields(TransactionState)]
_WALLET_COLUMNS = [field.name for field in fields(WalletState)]


@dataclass(frozen=True, slots=True)
class BankCalls:
    """How often the bank was asked to pay, and what became of it; ``last``: the latest call."""

    transfers: int
    inquiries: int
    last: BankCall | None


def recent_transactions(wallet_id: int) -> list[TransactionState]:
    return _states(_transactions(wallet_id).order_by(*_NEWEST_FIRST)[:RECENT])


def transactions_page(
    wallet_id: int, *, filters: Mapping[str, Any], cursor: Cursor | None, limit: int
) -> Page[TransactionState]:
    """``filters`` are keyword arguments of ``QuerySet.filter``."""
    rows = _transactions(wallet_id).filter(**filters)
    return page_at(
        cursor, rows, limit=limit, read=_states, newest=_NEWEST_FIRST, oldest=_OLDEST_FIRST
    )


def withdrawals_page(
    wallet_id: int, *, filters: Mapping[str, Any], cursor: Cursor | None, limit: int
) -> Page[TransactionState]:
    """``filters`` are keyword arguments of ``QuerySet.filter``."""
    rows = _transactions(wallet_id).filter(type=Type.WITHDRAWAL, **filters)
    return page_at(
        cursor, rows, limit=limit, read=_states, newest=_NEWEST_FIRST, oldest=_OLDEST_FIRST
    )


def wallets_page(
    tenant_id: int | None, *, filters: Mapping[str, Any], cursor: Cursor | None, limit: int
) -> Page[WalletState]:
    """Of one account, or of everybody. ``filters`` are keyword arguments of ``QuerySet.filter``."""
    rows = Wallet.objects.filter(**filters)
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    return page_at(cursor, rows, limit=limit, read=_wallet_states)


def status_history(transaction_id: int) -> tuple[list[StatusChange], bool]:
    """The changes, oldest first, and whether there are older ones than these."""
    changes = StatusChange.objects.filter(transaction_id=transaction_id).order_by("-id")
    found = list(changes[: MOST_CHANGES + 1])
    return found[:MOST_CHANGES][::-1], len(found) > MOST_CHANGES


def bank_calls(transaction_id: int) -> BankCalls:
    calls = BankCall.objects.filter(transaction_id=transaction_id)
    counts = calls.aggregate(
        transfers=Count("id", filter=Q(kind=BankCall.Kind.TRANSFER)),
        inquiries=Count("id", filter=Q(kind=BankCall.Kind.INQUIRY)),
    )
    return BankCalls(**counts, last=calls.order_by("id").last())


def _transactions(wallet_id: int) -> QuerySet[Transaction]:
    return of_one_wallet(Transaction.objects.all(), wallet_id)


def _wallet_states(rows: QuerySet[Wallet]) -> list[WalletState]:
    return [WalletState(*row) for row in rows.values_list(*_WALLET_COLUMNS)]


def _states(rows: QuerySet[Transaction]) -> list[TransactionState]:
    return [TransactionState(*row) for row in rows.values_list(*_COLUMNS)]
