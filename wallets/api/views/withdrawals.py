from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import created
from wallets.api.authentication import tenant_of
from wallets.api.envelope import Envelope
from wallets.api.limits import wallet_limits
from wallets.api.mismatch import from_earlier_transaction, naming_what_differs
from wallets.api.openapi.operations import withdrawal as documented
from wallets.api.serializers import wallet_ref, withdrawal_request
from wallets.api.texts import SCHEDULED
from wallets.api.views.base import ApiView
from wallets.domain.scheduling import schedule_withdrawal
from wallets.models import Scope, Type


class WithdrawalsView(ApiView):
    scopes: ClassVar = {"POST": Scope.WITHDRAWALS_WRITE}

    @documented
    def post(self, request: Request, wallet_id: str) -> Envelope:
        wallet = wallet_ref(wallet_id, tenant_of(request))
        asked = withdrawal_request(request)
        with naming_what_differs(lambda: from_earlier_transaction(wallet, Type.WITHDRAWAL, asked)):
            receipt = schedule_withdrawal(
                wallet=wallet,
                amount=asked.amount,
                currency=asked.currency,
                execute_at=asked.execute_at,
                request=asked.client,
                limits=wallet_limits(),
            )
        return created(
            receipt, "The balance is checked when the withdrawal is due, not now.", SCHEDULED
        )
