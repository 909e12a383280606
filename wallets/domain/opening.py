"""Open wallets."""

from dataclasses import replace

from django.db import IntegrityError, transaction

from wallets.domain.receipts import ClientRequest, Receipt, WalletState
from wallets.domain.requests import earlier_wallet
from wallets.models import Wallet
from wallets.models.clock import database_now


def open_wallet(
    *, currency: str, request: ClientRequest | None, tenant_id: int | None = None
) -> Receipt:
    """Open an empty wallet in ``currency`` (ISO 4217) for an account, or for nobody.

    Raises ``IdempotencyKeyReused``.
    """
    with transaction.atomic():
        earlier = earlier_wallet(request=request, tenant_id=tenant_id)
        if earlier is not None:
            return _replay(earlier)
        now = database_now()
        wallet = Wallet(
            tenant_id=tenant_id,
            currency=currency,
            balance=0,
            request_key=request.key if request else None,
            request_fingerprint=request.fingerprint if request else None,
            created_at=now,
            updated_at=now,
        )
        try:
            with transaction.atomic():
                wallet.save(force_insert=True)
        except IntegrityError:
            # The same key raced us; our insert waited for its commit, so it can be seen now.
            earlier = earlier_wallet(request=request, tenant_id=tenant_id)
            if earlier is None:
                raise
            return _replay(earlier)
    return Receipt(wallet=WalletState.of(wallet), transaction=None, replayed=False)


def _replay(wallet: Wallet) -> Receipt:
    """The first answer: the wallet as it was when it was opened."""
    first = replace(WalletState.of(wallet), balance=0, updated_at=wallet.created_at)
    return Receipt(wallet=first, transaction=None, replayed=True)
