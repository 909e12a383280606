"""Tell a client what differs when it used an Idempotency-Key for two different requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from wallets.api.serializers import (
    CancelRequest,
    DepositRequest,
    RescheduleRequest,
    WithdrawalRequest,
)
from wallets.domain.bulk_deposits import BulkItem
from wallets.domain.errors import IdempotencyKeyReused
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.models import PlanRequest, Transaction, Type, Wallet


@contextmanager
def naming_what_differs(differing: Callable[[], list[str]]) -> Iterator[None]:
    """Adds ``fields``, the names of what differs, to an ``IdempotencyKeyReused`` on its way."""
    try:
        yield
    except IdempotencyKeyReused as reused:
        reused.details["fields"] = differing()
        raise


def from_earlier_opening() -> list[str]:
    return ["currency"]


def from_earlier_transaction(
    wallet: WalletRef, type: Type, asked: DepositRequest | WithdrawalRequest
) -> list[str]:
    if asked.client is None:
        return []
    found = find_wallet(wallet)
    earlier = Transaction.objects.get(wallet=found, type=type, request_key=asked.client.key)
    differs = {
        "amount": asked.amount != earlier.amount,
        "execute_at": _execute_at_differs(earlier, asked),
        "currency": asked.currency not in (None, found.currency),
    }
    # The fingerprints do differ, and what is left is that just one of the two named a currency.
    return [name for name, yes in differs.items() if yes] or ["currency"]


def _execute_at_differs(earlier: Transaction, asked: DepositRequest | WithdrawalRequest) -> bool:
    if isinstance(asked, DepositRequest) or earlier.request_snapshot is None:
        return False
    # As it was asked for then, whatever has become of the withdrawal.
    first = datetime.fromisoformat(earlier.request_snapshot["execute_at"])
    return asked.execute_at != first


def from_earlier_plan(
    wallet: WalletRef,
    operation: PlanRequest.Operation,
    withdrawal_id: int,
    asked: CancelRequest | RescheduleRequest,
) -> list[str]:
    if asked.client is None:
        return []
    earlier = PlanRequest.objects.get(
        wallet=find_wallet(wallet), operation=operation, request_key=asked.client.key
    )
    time_differs = isinstance(asked, RescheduleRequest) and asked.execute_at != earlier.execute_at
    differs = {
        "withdrawal_id": withdrawal_id != earlier.transaction_id,
        "execute_at": time_differs,
    }
    return [name for name, yes in differs.items() if yes]


def fields_that_differ(items: Sequence[BulkItem]) -> list[list[str]]:
    """Of each item with a key that was used for something else. In one query for all of them."""
    keys = [item.request.key for item in items if item.request is not None]
    refs = {_named(item) for item in items}
    wallets = Wallet.objects.filter(
        Q(pk__in=[ref for ref in refs if isinstance(ref, int)])
        | Q(uuid__in=[ref for ref in refs if isinstance(ref, UUID)])
    )
    rows = Transaction.objects.filter(
        wallet__in=wallets.values("pk"), type=Type.DEPOSIT, request_key__in=keys
    ).values_list("request_key", "wallet_id", "wallet__uuid", "amount", "wallet__currency")
    earlier = {
        (key, ref): (amount, currency)
        for key, pk, ref_uuid, amount, currency in (rows if keys else ())
        for ref in (pk, ref_uuid)
    }
    return [_fields_of(item, earlier) for item in items]


def _fields_of(
    item: BulkItem, earlier: Mapping[tuple[str | None, int | UUID], tuple[int, str]]
) -> list[str]:
    found = earlier.get((item.request.key if item.request else None, _named(item)))
    if found is None:
        return []  # used by an item of the same request, which was not made either
    amount, currency = found
    differs = {
        "amount": item.amount != amount,
        "currency": item.currency not in (None, currency),
    }
    return [name for name, yes in differs.items() if yes] or ["currency"]


def _named(item: BulkItem) -> int | UUID:
    return item.wallet.ref if isinstance(item.wallet, WalletRef) else item.wallet
