from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.authentication import tenant_of
from wallets.api.cursors import Cursors
from wallets.api.envelope import Envelope
from wallets.api.openapi.operations import transactions as documented
from wallets.api.reads import transactions_page
from wallets.api.serializers import (
    TRANSACTION_FILTERS,
    page_request,
    transaction_json,
    wallet_ref,
)
from wallets.api.texts import PAGE
from wallets.api.views.base import ApiView
from wallets.domain.wallets import find_wallet
from wallets.models import Scope


class TransactionsView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @documented
    def get(self, request: Request, wallet_id: str) -> Envelope:
        wallet = find_wallet(wallet_ref(wallet_id, tenant_of(request, reading=True)))
        cursors = Cursors(f"transactions of {wallet.pk}")
        asked = page_request(request, cursors, TRANSACTION_FILTERS)
        page = transactions_page(
            wallet.pk, filters=asked.filters, cursor=asked.cursor, limit=asked.limit
        )
        return ok(page.as_json(request, cursors, transaction_json), PAGE)
