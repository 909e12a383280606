"""Find a wallet by what callers call it."""

import uuid

from wallets.domain.errors import WalletNotFound
from wallets.models import Wallet


def find_wallet(ref: int | uuid.UUID, *, lock: bool = False) -> Wallet:
    """The wallet with this id or UUID, locked until the transaction ends if asked.

    Raises ``WalletNotFound``.
    """
    wallets = Wallet.objects.all()
    if lock:
        wallets = wallets.select_for_update(no_key=True)
    by_ref = {"uuid": ref} if isinstance(ref, uuid.UUID) else {"pk": ref}
    wallet = wallets.filter(**by_ref).first()
    if wallet is None:
        raise WalletNotFound
    return wallet
