"""Answer a repeated request to cancel or move a withdrawal as it was answered first."""

from dataclasses import replace
from datetime import datetime
from typing import cast

from django.db import IntegrityError, transaction

from wallets.domain.errors import IdempotencyKeyReused
from wallets.domain.receipts import ClientRequest, PlanReceipt, TransactionState
from wallets.domain.withdrawals.finding import Planned
from wallets.models import PlanRequest, Status, Transaction

Operation = PlanRequest.Operation

_STATUS_AFTER = {Operation.CANCEL: Status.CANCELLED, Operation.RESCHEDULE: Status.SCHEDULED}


def earlier_answer(
    withdrawal: Transaction, operation: Operation, request: ClientRequest | None
) -> PlanReceipt | None:
    """The first answer to ``request``. ``withdrawal``: under lock, so that its twin has ended.

    Raises ``IdempotencyKeyReused``: it was about another withdrawal, or said something else.
    """
    if request is None:
        return None
    earlier = PlanRequest.objects.filter(
        wallet=withdrawal.wallet_id, operation=operation, request_key=request.key
    ).first()
    if earlier is None:
        return None
    if (earlier.transaction_id, earlier.request_fingerprint) != (
        withdrawal.pk,
        request.fingerprint,
    ):
        raise IdempotencyKeyReused(first_used_at=earlier.created_at)
    state = replace(
        TransactionState.of(withdrawal),
        status=_STATUS_AFTER[operation].value,
        execute_at=earlier.execute_at,
        updated_at=earlier.withdrawal_updated_at,
        # While it could still be cancelled or moved, it had none of these.
        bank_reference=None,
        failure_reason=None,
        in_doubt_since=None,
    )
    return PlanReceipt(withdrawal=state, replayed=True)


def answered(
    withdrawal: Transaction, operation: Operation, request: ClientRequest | None, planned: Planned
) -> PlanReceipt:
    """The answer to ``request``, kept under its key. ``withdrawal``: as it is now.

    Raises ``IdempotencyKeyReused`` when a request about another withdrawal came first.
    """
    if request is not None:
        try:
            with transaction.atomic():
                PlanRequest.objects.create(
                    wallet_id=withdrawal.wallet_id,
                    operation=operation,
                    request_key=request.key,
                    request_fingerprint=request.fingerprint,
                    transaction=withdrawal,
                    # A CHECK has it that every withdrawal has a time.
                    execute_at=cast(datetime, withdrawal.execute_at),
                    withdrawal_updated_at=withdrawal.updated_at,
                    created_at=planned.now,
                )
        except IntegrityError:
            # Our insert waited for the commit of the other, so that it can be seen now.
            earlier = earlier_answer(withdrawal, operation, request)
            if earlier is None:
                raise
            return earlier
    return PlanReceipt(withdrawal=TransactionState.of(withdrawal), replayed=False)
