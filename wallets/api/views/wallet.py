from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.authentication import tenant_of
from wallets.api.envelope import Envelope
from wallets.api.openapi.operations import wallet as documented
from wallets.api.reads import recent_transactions
from wallets.api.serializers import (
    read_query,
    transaction_json,
    wallet_json,
    wallet_ref,
)
from wallets.api.texts import WALLET
from wallets.api.views.base import ApiView
from wallets.domain.receipts import WalletState
from wallets.domain.wallets import find_wallet
from wallets.models import Scope


class WalletView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @documented
    def get(self, request: Request, wallet_id: str) -> Envelope:
        ref = wallet_ref(wallet_id, tenant_of(request, reading=True))
        read_query(request)
        wallet = WalletState.of(find_wallet(ref))
        recent = recent_transactions(wallet.id)
        return ok(
            {
                "wallet": wallet_json(wallet),
                "recent_transactions": [transaction_json(row) for row in recent],
            },
            WALLET,
        )
