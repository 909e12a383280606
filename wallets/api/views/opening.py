from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import created, ok
from wallets.api.authentication import tenant_of
from wallets.api.cursors import Cursors
from wallets.api.envelope import Envelope
from wallets.api.mismatch import from_earlier_opening, naming_what_differs
from wallets.api.openapi.operations import opening
from wallets.api.openapi.reading import wallets
from wallets.api.reads import wallets_page
from wallets.api.serializers import WALLET_FILTERS, opening_request, page_request, wallet_json
from wallets.api.texts import OPENED, WALLETS_PAGE
from wallets.api.views.base import ApiView
from wallets.domain.opening import open_wallet
from wallets.models import Scope


class WalletsView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ, "POST": Scope.WALLETS_CREATE}

    @wallets
    def get(self, request: Request) -> Envelope:
        tenant_id = tenant_of(request, reading=True)
        cursors = Cursors(f"wallets of {tenant_id}")
        asked = page_request(request, cursors, WALLET_FILTERS)
        page = wallets_page(
            tenant_id, filters=asked.filters, cursor=asked.cursor, limit=asked.limit
        )
        return ok(page.as_json(request, cursors, wallet_json), WALLETS_PAGE)

    @opening
    def post(self, request: Request) -> Envelope:
        asked = opening_request(request)
        with naming_what_differs(from_earlier_opening):
            receipt = open_wallet(
                currency=asked.currency, request=asked.client, tenant_id=tenant_of(request)
            )
        return created(receipt, f"Wallet {receipt.wallet.id} was created.", OPENED)
