from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from wallets.admin.api_keys import account
from wallets.admin.filters import PeriodFilter, WalletCurrencyFilter
from wallets.admin.ledger import ENTRY_COLUMNS
from wallets.admin.lookup import wallets_called
from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import ID, code, column, labelled, moment, money
from wallets.admin.tables import table
from wallets.admin.transaction import TRANSACTION_COLUMNS
from wallets.models import Wallet

_LAST = 20

uuid = column(Wallet, "uuid", code)
balance = labelled("balance", _("balance"), lambda row: money(row.balance, row.currency))
created_at = column(Wallet, "created_at", moment)
updated_at = column(Wallet, "updated_at", moment)
request_key = column(Wallet, "request_key", code)


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    list_display = (ID, uuid, account, "currency", balance, created_at, updated_at)
    list_select_related = ("tenant",)
    list_filter = (WalletCurrencyFilter, PeriodFilter)
    search_fields = ("id",)
    search_help_text = _("Finds exactly this id, UUID or request key.")
    page = ((None, (ID, uuid, account, "currency", balance, request_key, created_at, updated_at)),)

    def find(self, term: str) -> Q:
        return wallets_called(term)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        wallet = context["original"]
        entries = list(wallet.entries.order_by("-pk")[:_LAST])
        transactions = list(wallet.transactions.order_by("-pk")[:_LAST])
        for row in (*entries, *transactions):
            row.wallet = wallet
        context |= {
            "entries": table(ENTRY_COLUMNS, entries),
            "transactions": table(TRANSACTION_COLUMNS, transactions),
        }
        return super().render_change_form(request, context, *args, **kwargs)
