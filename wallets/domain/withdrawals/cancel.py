"""Cancel withdrawals that nobody has taken up yet."""

import uuid

from django.db import transaction

from wallets.domain.errors import WithdrawalNotCancellable
from wallets.domain.receipts import ClientRequest, PlanReceipt
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.finding import find_withdrawal, lock_planned
from wallets.domain.withdrawals.plan_requests import Operation, answered, earlier_answer
from wallets.models import Status


def cancel(
    *,
    wallet: int | uuid.UUID | WalletRef,
    withdrawal_id: int,
    by: str,
    request: ClientRequest | None = None,
) -> PlanReceipt:
    """End a SCHEDULED withdrawal before its time. No money is held for it, so none moves.

    One that is cancelled already stays as it is. ``by``: as the history will say it.

    Raises ``WalletNotFound``, ``WithdrawalNotFound``, ``IdempotencyKeyReused``,
    ``WithdrawalNotCancellable``.
    """
    with transaction.atomic():
        found = find_wallet(wallet)
        planned = lock_planned(found, withdrawal_id)
        earlier = earlier_answer(planned.withdrawal, Operation.CANCEL, request)
        if earlier is not None:
            return earlier
        row = planned.row
        if row.status not in (Status.SCHEDULED, Status.CANCELLED):
            raise WithdrawalNotCancellable(status=row.status)
        if row.status == Status.SCHEDULED:
            lifecycle.apply([lifecycle.cancelled(row)], locked={}, worker=by, now=planned.now)
        now_is = find_withdrawal(found, withdrawal_id)
        return answered(now_is, Operation.CANCEL, request, planned)
