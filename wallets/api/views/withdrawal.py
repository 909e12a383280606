from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import changed, ok
from wallets.api.authentication import caller_name, tenant_of
from wallets.api.envelope import Envelope
from wallets.api.limits import wallet_limits
from wallets.api.mismatch import from_earlier_plan, naming_what_differs
from wallets.api.openapi.withdrawals import cancelling, rescheduling, shown
from wallets.api.reads import bank_calls, status_history
from wallets.api.serializers import (
    bank_calls_json,
    cancel_request,
    change_json,
    read_query,
    reschedule_request,
    transaction_json,
    wallet_ref,
    withdrawal_number,
)
from wallets.api.texts import CANCELLED, RESCHEDULED, WITHDRAWAL
from wallets.api.views.base import ApiView
from wallets.domain.receipts import TransactionState
from wallets.domain.wallets import find_wallet
from wallets.domain.withdrawals.cancel import cancel
from wallets.domain.withdrawals.finding import find_withdrawal
from wallets.domain.withdrawals.reschedule import reschedule
from wallets.models import PlanRequest, Scope


class WithdrawalView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @shown
    def get(self, request: Request, wallet_id: str, withdrawal_id: str) -> Envelope:
        wallet = find_wallet(wallet_ref(wallet_id, tenant_of(request, reading=True)))
        read_query(request)
        found = find_withdrawal(wallet, withdrawal_number(withdrawal_id))
        changes, truncated = status_history(found.pk)
        return ok(
            {
                "withdrawal": transaction_json(TransactionState.of(found)),
                "history": [change_json(change) for change in changes],
                "history_truncated": truncated,
                "bank_calls": bank_calls_json(bank_calls(found.pk)),
            },
            WITHDRAWAL,
        )


class CancelView(ApiView):
    scopes: ClassVar = {"POST": Scope.WITHDRAWALS_WRITE}

    @cancelling
    def post(self, request: Request, wallet_id: str, withdrawal_id: str) -> Envelope:
        wallet = wallet_ref(wallet_id, tenant_of(request))
        number = withdrawal_number(withdrawal_id)
        asked = cancel_request(request)
        with naming_what_differs(
            lambda: from_earlier_plan(wallet, PlanRequest.Operation.CANCEL, number, asked)
        ):
            receipt = cancel(
                wallet=wallet, withdrawal_id=number, by=caller_name(request), request=asked.client
            )
        return changed(receipt, CANCELLED)


class RescheduleView(ApiView):
    scopes: ClassVar = {"POST": Scope.WITHDRAWALS_WRITE}

    @rescheduling
    def post(self, request: Request, wallet_id: str, withdrawal_id: str) -> Envelope:
        wallet = wallet_ref(wallet_id, tenant_of(request))
        number = withdrawal_number(withdrawal_id)
        asked = reschedule_request(request)
        with naming_what_differs(
            lambda: from_earlier_plan(wallet, PlanRequest.Operation.RESCHEDULE, number, asked)
        ):
            receipt = reschedule(
                wallet=wallet,
                withdrawal_id=number,
                execute_at=asked.execute_at,
                limits=wallet_limits(),
                by=caller_name(request),
                request=asked.client,
            )
        return changed(receipt, RESCHEDULED)
