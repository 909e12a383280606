from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.admin.filters import CurrencyFilter, MovementFilter, PeriodFilter
from wallets.admin.lookup import of_transactions_called
from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import (
    ID,
    column,
    labelled,
    link,
    moment,
    money,
    movement as moved,
    transaction_link,
    wallet_link,
)
from wallets.models import LedgerEntry


def _movement(row: Any) -> str:
    return moved(row.get_debit_account_display(), row.get_credit_account_display())


entry = labelled("entry", _("ID"), lambda row: link("ledgerentry", row.pk, row.pk))
transaction = labelled(
    "transaction", _("transaction"), lambda row: transaction_link(row.transaction_id)
)
wallet = labelled("wallet", _("wallet"), lambda row: wallet_link(row.wallet_id))
movement = labelled("movement", _("movement"), _movement)
amount = labelled("amount", _("amount"), lambda row: money(row.amount, row.wallet.currency))
balance_after = labelled(
    "balance_after",
    _("balance after"),
    lambda row: money(row.balance_after, row.wallet.currency),
)
created_at = column(LedgerEntry, "created_at", moment)

ENTRY_COLUMNS = (entry, transaction, movement, amount, balance_after, created_at)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = (ID, wallet, transaction, movement, amount, balance_after, created_at)
    list_filter = (MovementFilter, CurrencyFilter, PeriodFilter)
    list_select_related = ("wallet",)
    search_fields = ("id",)
    search_help_text = _(
        "Finds exactly this entry or transaction id, wallet UUID, bank key, request key or bank "
        "reference."
    )
    page = ((None, (ID, wallet, transaction, movement, amount, balance_after, created_at)),)

    def find(self, term: str) -> Q:
        return of_transactions_called(term, wallet_path="wallet_id")
