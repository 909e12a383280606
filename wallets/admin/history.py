from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.admin.filters import PeriodFilter
from wallets.admin.lookup import of_transactions_called
from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import ID, code, column, labelled, moment, transaction_link, worker
from wallets.admin.words import in_words
from wallets.models import Resolution, StatusChange

_HELP = _(
    "Finds exactly this id or transaction id, wallet UUID, bank key, request key or bank reference."
)

transaction = labelled(
    "transaction", _("transaction"), lambda row: transaction_link(row.transaction_id)
)


def _reason(reason: str) -> str:
    kind, separator, detail = reason.partition(": ")
    return in_words(detail if separator and kind in ("in_doubt", "handed_back") else reason)


@admin.register(StatusChange)
class StatusChangeAdmin(ReadOnlyAdmin):
    reason = column(StatusChange, "reason", _reason)
    worker = column(StatusChange, "worker", worker)
    created_at = column(StatusChange, "created_at", moment)

    list_display = (
        ID,
        transaction,
        "from_status",
        "to_status",
        reason,
        worker,
        created_at,
    )
    list_filter = ("from_status", "to_status", PeriodFilter)
    search_fields = ("id",)
    search_help_text = _HELP
    page = (
        (
            None,
            (ID, transaction, "from_status", "to_status", reason, "reason", "worker", created_at),
        ),
    )

    def find(self, term: str) -> Q:
        return of_transactions_called(term)


@admin.register(Resolution)
class ResolutionAdmin(ReadOnlyAdmin):
    reference = column(Resolution, "reference", code)
    created_at = column(Resolution, "created_at", moment)

    list_display = (ID, transaction, "step", "verdict", reference, "reason", "by", created_at)
    list_filter = ("step", "verdict", PeriodFilter)
    search_fields = ("id",)
    search_help_text = _HELP
    page = ((None, (ID, transaction, "step", "verdict", reference, "reason", "by", created_at)),)

    def find(self, term: str) -> Q:
        return of_transactions_called(term)
