"""Filters of the lists. None asks the database for its choices by reading a whole table."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from wallets.admin.shown import movement
from wallets.models import Account, Status, Wallet
from wallets.models.clock import database_now
from wallets.models.ledger import LEGS

# A withdrawal is overdue when it has been due for longer than any executor would leave it.
OVERDUE = timedelta(minutes=1)
# Newest wallets that are looked at to offer currencies.
_WALLETS_READ = 1_000

Choices = Iterable[tuple[str, Any]]


class InDoubtFilter(admin.SimpleListFilter):
    title = _("in doubt")
    parameter_name = "in_doubt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return (("yes", _("In doubt")),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(in_doubt_since__isnull=False)
        return queryset


class DueFilter(admin.SimpleListFilter):
    title = _("time to execute")
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return (
            ("later", _("Due later")),
            ("now", _("Due")),
            ("overdue", _("Overdue by more than a minute")),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = {
            "later": Q(execute_at__gt=Now()),
            "now": Q(execute_at__lte=Now()),
            "overdue": Q(execute_at__lte=Now() - OVERDUE),
        }.get(self.value() or "")
        if condition is None:
            return queryset
        return queryset.filter(condition, status=Status.SCHEDULED)


class CurrencyFilter(admin.SimpleListFilter):
    title = _("currency")
    parameter_name = "currency"
    path = "wallet__currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        newest = Wallet.objects.order_by("-pk").values_list("currency", flat=True)[:_WALLETS_READ]
        seen = {settings.WALLET_DEFAULT_CURRENCY, *newest}
        return [(code, code) for code in sorted(seen | {self.value() or ""} - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value():
            return queryset.filter(**{self.path: self.value()})
        return queryset


class WalletCurrencyFilter(CurrencyFilter):
    path = "currency"


class PeriodFilter(admin.SimpleListFilter):
    """When a row was made, in the operator's days."""

    title = _("date")
    parameter_name = "made"
    path = "created_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return (
            ("hour", _("Last hour")),
            ("today", _("Today")),
            ("yesterday", _("Yesterday")),
            ("week", _("Last 7 days")),
            ("month", _("Last 30 days")),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = database_now()
        midnight = _midnight(now)
        since, until = {
            "hour": (now - timedelta(hours=1), None),
            "today": (midnight, None),
            "yesterday": (_midnight(midnight - timedelta(hours=1)), midnight),
            "week": (now - timedelta(days=7), None),
            "month": (now - timedelta(days=30), None),
        }.get(self.value() or "", (None, None))
        if since is not None:
            queryset = queryset.filter(**{f"{self.path}__gte": since})
        if until is not None:
            queryset = queryset.filter(**{f"{self.path}__lt": until})
        return queryset


class StartedFilter(PeriodFilter):
    path = "started_at"


class MovementFilter(admin.SimpleListFilter):
    title = _("movement")
    parameter_name = "movement"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            (f"{debit.value}-{credit.value}", movement(debit.label, credit.label))
            for debit, credit in LEGS
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        debit, _separator, credit = (self.value() or "").partition("-")
        if debit in Account.values and credit in Account.values:
            return queryset.filter(debit_account=debit, credit_account=credit)
        return queryset


def _midnight(moment: datetime) -> datetime:
    zone = ZoneInfo(settings.ADMIN_TIME_ZONE)
    return datetime.combine(moment.astimezone(zone).date(), time(), tzinfo=zone)
