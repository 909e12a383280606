"""The kill switch: stop payouts of all executors at once, and let them go on.

A pause is a column of the gate's row, which every claim locks: once ``pause_payouts`` has
returned, no claim commits any more. Withdrawals that were sent are still settled, and those in
doubt are still asked about; nothing new is paid and nothing is sent again.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from wallets.domain.gate import GATE, ensure_gate
from wallets.domain.people import checked_name, checked_reason
from wallets.models import BankGate, PayoutPause
from wallets.models.clock import database_now


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is in force, or was until it was lifted."""

    at: datetime
    by: str
    reason: str


def pause_payouts(*, by: str, reason: str) -> Pause | None:
    """Pause payouts. Returns the pause that was in force already, which stays as it is.

    The second reason is kept in the history all the same. Raises ``OperatorRefusal``.
    """
    by, reason = checked_name(by), checked_reason(reason)
    with transaction.atomic():
        gate, now = _lock()
        earlier = _pause(gate)
        if earlier is None:
            gate.halted_at, gate.halted_by, gate.halted_reason = now, by, reason
            gate.save(update_fields=["halted_at", "halted_by", "halted_reason"])
        _record(gate, PayoutPause.Step.PAUSED, by=by, reason=reason, now=now)
    return earlier


def resume_payouts(*, by: str, reason: str = "") -> list[Pause]:
    """Lift the pause; return every pause that was asked for since, the oldest first.

    Empty when payouts were not paused. Raises ``OperatorRefusal``.
    """
    by = checked_name(by)
    with transaction.atomic():
        gate, now = _lock()
        if gate.halted_at is None:
            return []
        asked = PayoutPause.objects.filter(
            gate=gate, step=PayoutPause.Step.PAUSED, created_at__gte=gate.halted_at
        ).order_by("id")
        lifted = [Pause(at=p.created_at, by=p.by, reason=p.reason) for p in asked]
        gate.halted_at, gate.halted_by, gate.halted_reason = None, "", ""
        gate.save(update_fields=["halted_at", "halted_by", "halted_reason"])
        _record(gate, PayoutPause.Step.RESUMED, by=by, reason=reason, now=now)
    return lifted


def current_pause() -> Pause | None:
    gate = BankGate.objects.filter(pk=GATE).first()
    return None if gate is None else _pause(gate)


def _lock() -> tuple[BankGate, datetime]:
    ensure_gate()
    gate = BankGate.objects.select_for_update(no_key=True).get(pk=GATE)
    return gate, database_now()


def _pause(gate: BankGate) -> Pause | None:
    if gate.halted_at is None:
        return None
    return Pause(at=gate.halted_at, by=gate.halted_by, reason=gate.halted_reason)


def _record(gate: BankGate, step: PayoutPause.Step, *, by: str, reason: str, now: datetime) -> None:
    PayoutPause.objects.create(gate=gate, step=step, reason=reason, by=by, created_at=now)
