from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _now, gettext_lazy as _

from wallets.admin.deeds import WithDeeds
from wallets.admin.filters import CurrencyFilter, DueFilter, InDoubtFilter, PeriodFilter
from wallets.admin.lookup import transactions_called
from wallets.admin.resolving import WITHDRAWAL_DEEDS
from wallets.admin.shown import (
    ID,
    NOTHING,
    code,
    column,
    labelled,
    link,
    moment,
    money,
    transaction_link,
    wallet_link,
)
from wallets.admin.story import tell
from wallets.admin.words import in_words
from wallets.models import Transaction


def _status(row: Transaction) -> str:
    in_doubt = row.in_doubt_since is not None
    return format_html(
        '<span class="status status-{}">{}</span>',
        "in-doubt" if in_doubt else row.status.lower(),
        _now("In doubt") if in_doubt else row.get_status_display(),
    )


def _outcome(row: Transaction) -> str:
    if row.bank_reference:
        return code(row.bank_reference)
    return in_words(row.failure_reason) if row.failure_reason else NOTHING


def _returned(row: Transaction) -> str:
    """The withdrawal that a return credits, or the return of a withdrawal."""
    if row.returned_withdrawal_id is not None:
        return transaction_link(row.returned_withdrawal_id)
    credit = Transaction.objects.filter(returned_withdrawal=row).values_list("pk", flat=True)
    found = credit.first()
    return NOTHING if found is None else transaction_link(found)


transaction = labelled("transaction", _("ID"), lambda row: link("transaction", row.pk, row.pk))
wallet = labelled("wallet", _("wallet"), lambda row: wallet_link(row.wallet_id))
status = labelled("status", _("status"), _status)
kind = labelled("type", _("type"), lambda row: row.get_type_display())
amount = labelled("amount", _("amount"), lambda row: money(row.amount, row.wallet.currency))
execute_at = column(Transaction, "execute_at", moment)
created_at = column(Transaction, "created_at", moment)
updated_at = column(Transaction, "updated_at", moment)
bank_reference = column(Transaction, "bank_reference", code)
outcome = labelled("outcome", _("reference or reason"), _outcome)
failure_reason = column(Transaction, "failure_reason", in_words)

TRANSACTION_COLUMNS = (
    transaction,
    kind,
    status,
    amount,
    outcome,
    execute_at,
    created_at,
)


@admin.register(Transaction)
class TransactionAdmin(WithDeeds):
    """The list, and for each transaction the page that tells its story."""

    deeds = WITHDRAWAL_DEEDS
    list_display = (ID, wallet, *TRANSACTION_COLUMNS[1:])
    list_filter = ("type", "status", InDoubtFilter, DueFilter, CurrencyFilter, PeriodFilter)
    list_select_related = ("wallet",)
    search_fields = ("id",)
    search_help_text = _(
        "Finds exactly this id, bank key, request key or bank reference; a wallet's UUID finds all "
        "of its transactions."
    )
    page = (
        (
            None,
            (
                wallet,
                kind,
                status,
                amount,
                execute_at,
                bank_reference,
                failure_reason,
                labelled("returned", _("returned as or for"), _returned),
                created_at,
                updated_at,
            ),
        ),
        (
            _("What the bank was sent"),
            (
                column(Transaction, "idempotency_key", code),
                column(Transaction, "first_sent_at", moment),
                column(Transaction, "last_sent_at", moment),
                "maybe_sent",
                column(Transaction, "in_doubt_since", moment),
            ),
        ),
        (
            _("What the client asked for"),
            (
                column(Transaction, "request_key", code),
                column(Transaction, "request_fingerprint", code),
            ),
        ),
        (
            _("Which executor holds it"),
            (
                "epoch",
                column(Transaction, "lease_owner", code),
                column(Transaction, "lease_expires_at", moment),
            ),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("wallet")

    def find(self, term: str) -> Q:
        return transactions_called(term)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        context |= {"story": tell(row), "subtitle": f"{row.get_type_display()} {row.pk}"}
        return super().render_change_form(request, context, *args, **kwargs)
