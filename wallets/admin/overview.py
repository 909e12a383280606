"""How payouts stand right now, from partial indexes and one row."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _, gettext_lazy

from wallets.admin.filters import OVERDUE
from wallets.admin.shown import filled, moment, number
from wallets.domain.gate import GATE
from wallets.models import BankGate, Status, Transaction
from wallets.models.clock import database_now

# Counting stops here: whether it is ten thousand or a million, it is an outage.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    label: Any
    value: str
    query: str
    alarming: bool


@dataclass(frozen=True, slots=True)
class GateState:
    sentence: str
    open: bool


@dataclass(frozen=True, slots=True)
class Overview:
    figures: list[Figure]
    gate: GateState


# Label, rows, the list that shows them, and whether any at all is a reason to look.
_FIGURES: tuple[tuple[Any, Q, str, bool], ...] = (
    (
        gettext_lazy("In doubt"),
        Q(in_doubt_since__isnull=False),
        "in_doubt=yes",
        True,
    ),
    (
        gettext_lazy("Overdue by more than a minute"),
        Q(status=Status.SCHEDULED, execute_at__lte=Now() - OVERDUE),
        "due=overdue",
        True,
    ),
    (
        gettext_lazy("Due"),
        Q(status=Status.SCHEDULED, execute_at__lte=Now()),
        "due=now",
        False,
    ),
    (
        gettext_lazy("Being paid"),
        Q(status=Status.PROCESSING),
        f"status__exact={Status.PROCESSING.value}",
        False,
    ),
)


def payouts_now() -> Overview:
    url = reverse("admin:wallets_transaction_changelist")
    return Overview(
        figures=[
            _figure(label, condition, f"{url}?{query}", watched)
            for label, condition, query, watched in _FIGURES
        ],
        gate=_gate(),
    )


def _figure(label: Any, condition: Q, query: str, watched: bool) -> Figure:
    count = Transaction.objects.filter(condition).order_by()[: _MOST + 1].count()
    value = number(count) if count <= _MOST else number(_MOST) + "+"
    return Figure(label, value, query, alarming=watched and count > 0)


def _gate() -> GateState:
    gate = BankGate.objects.filter(name=GATE).first()
    if gate is None:
        return GateState(_("No executor has run yet."), open=True)
    sentence = _closed_because(gate)
    if sentence:
        return GateState(sentence, open=False)
    if gate.consecutive_failures:
        text = _("Open, after %(count)s calls in a row that did not reach the bank.")
        return GateState(text % {"count": number(gate.consecutive_failures)}, open=True)
    return GateState(_("Open: withdrawals are paid when they are due."), open=True)


def _closed_because(gate: BankGate) -> str:
    now = database_now()
    if gate.halted_at is not None:
        return _("Paused by %(person)s: %(reason)s") % {
            "person": gate.halted_by,
            "reason": gate.halted_reason,
        }
    if gate.paused_until is not None and gate.paused_until > now:
        return filled(_("The bank asked to wait until %(time)s."), time=moment(gate.paused_until))
    if gate.breaker == BankGate.Breaker.OPEN:
        return _("Closed: the bank is not reached, or does not accept our access.")
    if gate.breaker == BankGate.Breaker.HALF_OPEN:
        return _("Almost closed: one withdrawal at a time tries whether the bank is back.")
    return ""
