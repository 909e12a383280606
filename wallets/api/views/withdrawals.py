from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import created, ok
from wallets.api.authentication import tenant_of
from wallets.api.cursors import Cursors
from wallets.api.envelope import Envelope
from wallets.api.limits import wallet_limits
from wallets.api.mismatch import from_earlier_transaction, naming_what_differs
from wallets.api.openapi.operations import withdrawal as scheduling
from wallets.api.openapi.withdrawals import listed
from wallets.api.reads import withdrawals_page
from wallets.api.serializers import (
    WITHDRAWAL_FILTERS,
    page_request,
    transaction_json,
    wallet_ref,
    withdrawal_request,
)
from wallets.api.texts import SCHEDULED, WITHDRAWALS_PAGE
from wallets.api.views.base import ApiView
from wallets.domain.scheduling import schedule_withdrawal
from wallets.domain.wallets import find_wallet
from wallets.models import Scope, Type


class WithdrawalsView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ, "POST": Scope.WITHDRAWALS_WRITE}

    @listed
    def get(self, request: Request, wallet_id: str) -> Envelope:
        wallet = find_wallet(wallet_ref(wallet_id, tenant_of(request, reading=True)))
        cursors = Cursors(f"withdrawals of {wallet.pk}")
        asked = page_request(request, cursors, WITHDRAWAL_FILTERS)
        page = withdrawals_page(
            wallet.pk, filters=asked.filters, cursor=asked.cursor, limit=asked.limit
        )
        return ok(page.as_json(request, cursors, transaction_json), WITHDRAWALS_PAGE)

    @scheduling
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
