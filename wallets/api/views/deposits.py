from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import created
from wallets.api.authentication import tenant_of
from wallets.api.envelope import Envelope
from wallets.api.limits import wallet_limits
from wallets.api.mismatch import from_earlier_transaction, naming_what_differs
from wallets.api.openapi.operations import deposit as documented
from wallets.api.serializers import deposit_request, wallet_ref
from wallets.api.texts import DEPOSITED
from wallets.api.views.base import ApiView
from wallets.domain.deposits import deposit
from wallets.models import Scope, Type


class DepositView(ApiView):
    scopes: ClassVar = {"POST": Scope.DEPOSITS_WRITE}

    @documented
    def post(self, request: Request, wallet_id: str) -> Envelope:
        wallet = wallet_ref(wallet_id, tenant_of(request))
        asked = deposit_request(request)
        with naming_what_differs(lambda: from_earlier_transaction(wallet, Type.DEPOSIT, asked)):
            receipt = deposit(
                wallet=wallet,
                amount=asked.amount,
                currency=asked.currency,
                request=asked.client,
                limits=wallet_limits(),
            )
        return created(receipt, f"{asked.amount} was added to the balance.", DEPOSITED)
