"""Cancel withdrawals that nobody has taken up yet."""

import uuid

from django.db import transaction

from wallets.domain.errors import WithdrawalNotCancellable
from wallets.domain.receipts import TransactionState
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.finding import find_withdrawal, lock_planned
from wallets.models import Status


def cancel(*, wallet: int | uuid.UUID | WalletRef, withdrawal_id: int, by: str) -> TransactionState:
    """End a SCHEDULED withdrawal before its time. No money is held for it, so none moves.

    One that is cancelled already stays as it is. ``by``: as the history will say it.

    Raises ``WalletNotFound``, ``WithdrawalNotFound``, ``WithdrawalNotCancellable``.
    """
    with transaction.atomic():
        found = find_wallet(wallet)
        planned = lock_planned(found, withdrawal_id)
        if planned.row.status == Status.CANCELLED:
            return TransactionState.of(planned.withdrawal)
        if planned.row.status != Status.SCHEDULED:
            raise WithdrawalNotCancellable(status=planned.row.status)
        lifecycle.apply([lifecycle.cancelled(planned.row)], locked={}, worker=by, now=planned.now)
        return TransactionState.of(find_withdrawal(found, withdrawal_id))
