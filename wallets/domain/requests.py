"""Find what an earlier request with the same ``Idempotency-Key`` made."""

from django.db.models import Q

from wallets.domain.errors import IdempotencyKeyReused
from wallets.domain.receipts import ClientRequest
from wallets.models import Transaction, Type, Wallet


def earlier_transaction(
    *, wallet: Wallet, type: Type, request: ClientRequest | None
) -> Transaction | None:
    """Raises ``IdempotencyKeyReused`` when the key was used with another body."""
    if request is None:
        return None
    earlier = Transaction.objects.filter(wallet=wallet, type=type, request_key=request.key).first()
    if earlier is not None and earlier.request_fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(first_used_at=earlier.created_at)
    return earlier


def earlier_wallet(*, request: ClientRequest | None, tenant_id: int | None) -> Wallet | None:
    """Raises ``IdempotencyKeyReused`` when the key was used with another body."""
    if request is None:
        return None
    earlier = Wallet.objects.filter(of_account(tenant_id), request_key=request.key).first()
    if earlier is not None and earlier.request_fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(first_used_at=earlier.created_at)
    return earlier


def of_account(tenant_id: int | None) -> Q:
    """Keys are an account's own; those of nobody are shared by whoever came without one."""
    return Q(tenant__isnull=True) if tenant_id is None else Q(tenant_id=tenant_id)
