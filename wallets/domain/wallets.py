"""Find a wallet by what callers call it."""

import uuid
from dataclasses import dataclass

from wallets.domain.errors import WalletNotFound
from wallets.models import Wallet


@dataclass(frozen=True, slots=True)
class WalletRef:
    """A wallet as one account may name it; ``tenant_id`` ``None``: whoever it belongs to."""

    ref: int | uuid.UUID
    tenant_id: int | None = None


def find_wallet(wallet: int | uuid.UUID | WalletRef, *, lock: bool = False) -> Wallet:
    """The wallet with this id or UUID, locked until the transaction ends if asked.

    Raises ``WalletNotFound``, also for a wallet of another account.
    """
    named = wallet if isinstance(wallet, WalletRef) else WalletRef(wallet)
    wallets = Wallet.objects.all()
    if lock:
        wallets = wallets.select_for_update(no_key=True)
    if named.tenant_id is not None:
        wallets = wallets.filter(tenant_id=named.tenant_id)
    by_ref = {"uuid": named.ref} if isinstance(named.ref, uuid.UUID) else {"pk": named.ref}
    found = wallets.filter(**by_ref).first()
    if found is None:
        raise WalletNotFound
    return found
