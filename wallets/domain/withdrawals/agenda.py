"""When there will be something to do."""

from datetime import timedelta

from django.db.models import Subquery
from django.db.models.functions import Now

from wallets.domain.gate import GATE
from wallets.models import BankGate, Status, Transaction


def next_work_in() -> timedelta | None:
    """How long until the next withdrawal is due or the next lease lapses; ``None``: nothing is.

    One statement, two index look-ups: this is all that an idle executor asks.
    """
    due = Transaction.objects.filter(status=Status.SCHEDULED).order_by("execute_at", "id")
    lapse = Transaction.objects.filter(status=Status.PROCESSING).order_by("lease_expires_at", "id")
    now, *times = BankGate.objects.values_list(
        Now(),
        Subquery(due.values("execute_at")[:1]),
        Subquery(lapse.values("lease_expires_at")[:1]),
    ).get(name=GATE)
    coming = [time for time in times if time is not None]
    return max(min(coming) - now, timedelta(0)) if coming else None


def count_due() -> int:
    return Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=Now()).count()
