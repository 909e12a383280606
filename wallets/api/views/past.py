from typing import ClassVar

from django.http import StreamingHttpResponse
from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.authentication import tenant_of
from wallets.api.csv_statement import csv_response
from wallets.api.cursors import Cursor, Cursors
from wallets.api.envelope import Envelope
from wallets.api.openapi.reading import balance, statement_of_period
from wallets.api.paging import address
from wallets.api.serializers import balance_request, line_json, statement_request, wallet_ref
from wallets.api.texts import BALANCE_AT, STATEMENT
from wallets.api.times import written
from wallets.api.views.base import ApiView
from wallets.domain.past import balance_at, statement
from wallets.domain.wallets import find_wallet
from wallets.models import Scope


class BalanceView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @balance
    def get(self, request: Request, wallet_id: str) -> Envelope:
        wallet = find_wallet(wallet_ref(wallet_id, tenant_of(request, reading=True)))
        at = balance_request(request)
        return ok(
            {
                "wallet_id": wallet.pk,
                "currency": wallet.currency,
                "at": written(at),
                "balance": balance_at(wallet=wallet, at=at),
            },
            BALANCE_AT,
        )


class StatementView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @statement_of_period
    def get(self, request: Request, wallet_id: str) -> Envelope | StreamingHttpResponse:
        wallet = find_wallet(wallet_ref(wallet_id, tenant_of(request, reading=True)))
        cursors = Cursors(f"statement of {wallet.pk}")
        asked = statement_request(request, cursors)
        found = statement(wallet=wallet, since=asked.since, until=asked.until)
        if asked.as_csv:
            return csv_response(found)
        lines = found.lines(after=asked.after, most=asked.limit + 1)
        shown, more = lines[: asked.limit], len(lines) > asked.limit
        since, until = written(found.since), written(found.until)
        following = None
        if more:
            # With the period spelled out: that of the next page must not end later.
            cursor = cursors.write(Cursor(older=False, id=shown[-1].id))
            following = address(request, cursor=cursor, **{"from": since, "to": until})
        return ok(
            {
                "wallet_id": wallet.pk,
                "currency": wallet.currency,
                "from": since,
                "to": until,
                "opening_balance": found.opening_balance,
                "closing_balance": found.closing_balance,
                "entries": [line_json(line) for line in shown],
                "next": following,
            },
            STATEMENT,
        )
