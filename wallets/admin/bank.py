from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.admin.deeds import WithDeeds
from wallets.admin.filters import PeriodFilter, StartedFilter
from wallets.admin.history import transaction
from wallets.admin.lookup import of_transactions_called
from wallets.admin.pausing import GATE_DEEDS
from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import ID, code, column, moment, number
from wallets.admin.words import in_words
from wallets.models import BankCall, BankGate, PayoutPause


@admin.register(BankCall)
class BankCallAdmin(ReadOnlyAdmin):
    verdict = column(BankCall, "verdict", in_words)
    reference = column(BankCall, "reference", code)
    duration = column(BankCall, "duration_ms", number)
    started_at = column(BankCall, "started_at", moment)
    digest = column(BankCall, "answer_digest", code)

    list_display = (
        ID,
        transaction,
        "kind",
        "http_status",
        verdict,
        reference,
        duration,
        started_at,
    )
    list_filter = ("kind", StartedFilter)
    search_fields = ("id",)
    search_help_text = _(
        "Finds exactly this id or transaction id, wallet UUID, bank key, request key or bank "
        "reference."
    )
    page = (
        (
            None,
            (
                ID,
                transaction,
                "epoch",
                "kind",
                started_at,
                duration,
                "http_status",
                verdict,
                reference,
                digest,
            ),
        ),
    )

    def find(self, term: str) -> Q:
        return of_transactions_called(term)


@admin.register(BankGate)
class BankGateAdmin(WithDeeds):
    deeds = GATE_DEEDS
    paused_until = column(BankGate, "paused_until", moment)
    retry_at = column(BankGate, "retry_at", moment)
    halted_at = column(BankGate, "halted_at", moment)
    refilled_at = column(BankGate, "refilled_at", moment)

    list_display = (
        "name",
        halted_at,
        "halted_by",
        "halted_reason",
        paused_until,
        "breaker",
        "consecutive_failures",
        retry_at,
    )
    page = (
        (
            None,
            (
                "name",
                halted_at,
                "halted_by",
                "halted_reason",
                paused_until,
                "breaker",
                "consecutive_failures",
                retry_at,
                "tokens",
                refilled_at,
            ),
        ),
    )


@admin.register(PayoutPause)
class PayoutPauseAdmin(ReadOnlyAdmin):
    created_at = column(PayoutPause, "created_at", moment)

    list_display = (ID, "gate", "step", "reason", "by", created_at)
    list_filter = ("step", PeriodFilter)
    page = ((None, (ID, "gate", "step", "reason", "by", created_at)),)
