"""When there will be something to do."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Subquery
from django.db.models.functions import Now

from wallets.domain.gate import GATE
from wallets.domain.statements.rows import BEGINNING, Horizon
from wallets.models import BankGate, Status, Transaction


@dataclass(frozen=True, slots=True)
class Outlook:
    """``next_work_in``: until a withdrawal is due or a lease lapses; ``None``: nothing is coming.

    ``halted_reason``: why payouts are paused, empty while they are not.
    """

    next_work_in: timedelta | None
    halted_reason: str


def look_ahead(since: Horizon = BEGINNING, within: timedelta | None = None) -> Outlook:
    """One statement, two index look-ups: this is all that an idle executor asks.

    ``since``: as for a claim. ``within``: as far as it matters; nothing later is looked for.
    """
    due = Transaction.objects.filter(status=Status.SCHEDULED).order_by("execute_at", "id")
    lapse = Transaction.objects.filter(status=Status.PROCESSING).order_by("lease_expires_at", "id")
    if since.due is not None:
        due = due.filter(execute_at__gte=since.due)
    if since.lapsed is not None:
        lapse = lapse.filter(lease_expires_at__gte=since.lapsed)
    if within is not None:
        due = due.filter(execute_at__lte=Now() + within)
        lapse = lapse.filter(lease_expires_at__lte=Now() + within)
    halted_reason, now, *times = BankGate.objects.values_list(
        "halted_reason",
        Now(),
        Subquery(due.values("execute_at")[:1]),
        Subquery(lapse.values("lease_expires_at")[:1]),
    ).get(name=GATE)
    coming = [time for time in times if time is not None]
    wait = max(min(coming) - now, timedelta(0)) if coming else None
    return Outlook(next_work_in=wait, halted_reason=halted_reason)


def count_due() -> int:
    return Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=Now()).count()
