from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import created
from wallets.api.authentication import tenant_of
from wallets.api.envelope import Envelope
from wallets.api.mismatch import from_earlier_opening, naming_what_differs
from wallets.api.openapi.operations import opening
from wallets.api.serializers import opening_request
from wallets.api.texts import OPENED
from wallets.api.views.base import ApiView
from wallets.domain.opening import open_wallet
from wallets.models import Scope


class WalletsView(ApiView):
    scopes: ClassVar = {"POST": Scope.WALLETS_CREATE}

    @opening
    def post(self, request: Request) -> Envelope:
        asked = opening_request(request)
        with naming_what_differs(from_earlier_opening):
            receipt = open_wallet(
                currency=asked.currency, request=asked.client, tenant_id=tenant_of(request)
            )
        return created(receipt, f"Wallet {receipt.wallet.id} was created.", OPENED)
