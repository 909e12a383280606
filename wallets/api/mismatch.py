"""Tell a client what differs when it used an Idempotency-Key for two different requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from wallets.api.serializers import DepositRequest, WithdrawalRequest
from wallets.domain.errors import IdempotencyKeyReused
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.models import Transaction, Type


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
