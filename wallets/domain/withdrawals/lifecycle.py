"""Every legal step of a withdrawal, one constructor each, and the one place that writes them.

SCHEDULED -> PROCESSING              claimed
SCHEDULED -> FAILED                  refused_for_funds
SCHEDULED -> CANCELLED               cancelled
PROCESSING -> PROCESSING             reclaimed, stranded, left_in_doubt, handed_back
PROCESSING -> SUCCEEDED              paid
PROCESSING -> FAILED                 refused
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wallets.domain import ledger
from wallets.domain.ledger import LockedWallet, Movement
from wallets.domain.statements.rows import Batch, CallRow, ChangeRow, StateRow
from wallets.domain.withdrawals.rows import Row
from wallets.models import Status

AWAITING_OPERATOR = "awaiting_operator"


@dataclass(frozen=True, slots=True)
class Transition:
    state: StateRow
    reason: str = ""
    movement: Movement | None = None
    # A step that repeats what the history already says is not written again.
    recorded: bool = True


def _state(row: Row, status: Status, **changed: Any) -> StateRow:
    """The state with everything but ``changed`` as it was, without a lease."""
    values: dict[str, Any] = {
        "epoch": row.epoch,
        "maybe_sent": row.maybe_sent,
        "first_sent_at": row.first_sent_at,
        "last_sent_at": row.last_sent_at,
        "in_doubt_since": row.in_doubt_since,
    }
    return StateRow(
        id=row.id,
        expected_status=row.status,
        expected_epoch=row.epoch,
        status=status.value,
        **(values | changed),
    )


def claimed(row: Row, *, worker: uuid.UUID, until: datetime, now: datetime) -> Transition:
    """Take the money out of the wallet and hold it."""
    state = _state(
        row,
        Status.PROCESSING,
        epoch=row.epoch + 1,
        lease_owner=worker,
        lease_expires_at=until,
        first_sent_at=now,
    )
    held = ledger.held(row.id, row.wallet_id, row.amount)
    return Transition(state, reason="claimed", movement=held)


def refused_for_funds(row: Row) -> Transition:
    reason = "insufficient_funds"
    state = _state(row, Status.FAILED, failure_reason=reason)
    return Transition(state, reason=reason)


def cancelled(row: Row) -> Transition:
    return Transition(_state(row, Status.CANCELLED), reason="cancelled")


def reclaimed(row: Row, *, worker: uuid.UUID, until: datetime, now: datetime) -> Transition:
    """Take over a row whose lease ran out, or that was handed back.

    A worker that vanished may have sent up to the last moment of its lease. One that handed the
    row back has said what it sent.
    """
    vanished = row.lease_owner is not None
    state = _state(
        row,
        Status.PROCESSING,
        epoch=row.epoch + 1,
        lease_owner=worker,
        lease_expires_at=until,
        maybe_sent=row.maybe_sent or vanished,
        first_sent_at=row.first_sent_at or now,
        last_sent_at=now if vanished else row.last_sent_at,
    )
    return Transition(state, reason="lease_lapsed", recorded=vanished)


def stranded(row: Row, *, until: datetime, now: datetime, known: bool) -> Transition:
    """Nothing may be sent and nothing can be asked: it waits for a person.

    ``until``: when it is looked at again, as the settings may have changed by then. ``known``: the
    history says already that it waits.
    """
    vanished = row.lease_owner is not None
    state = _state(
        row,
        Status.PROCESSING,
        epoch=row.epoch + 1,
        lease_expires_at=until,
        maybe_sent=True,
        last_sent_at=now if vanished else row.last_sent_at,
        in_doubt_since=row.in_doubt_since or now,
    )
    return Transition(state, reason=AWAITING_OPERATOR, recorded=not known)


def paid(row: Row, *, reference: str | None) -> Transition:
    state = _state(row, Status.SUCCEEDED, in_doubt_since=None, bank_reference=reference)
    movement = ledger.paid_out(row.id, row.wallet_id, row.amount)
    return Transition(state, reason="paid", movement=movement)


def refused(row: Row, *, reason: str) -> Transition:
    """Give the money back. The key is burnt: a terminal row is never sent again."""
    state = _state(row, Status.FAILED, in_doubt_since=None, failure_reason=reason)
    movement = ledger.refunded(row.id, row.wallet_id, row.amount)
    return Transition(state, reason=reason, movement=movement)


def left_in_doubt(
    row: Row, *, reason: str, ask_again_at: datetime, sent: bool, now: datetime
) -> Transition:
    """Keep the money held until the bank or a person tells what became of it."""
    state = _state(
        row,
        Status.PROCESSING,
        lease_expires_at=ask_again_at,
        maybe_sent=True,
        last_sent_at=now if sent else row.last_sent_at,
        in_doubt_since=row.in_doubt_since or now,
    )
    return Transition(
        state, reason=f"in_doubt: {reason}"[:200], recorded=row.in_doubt_since is None
    )


def handed_back(row: Row, *, reason: str, try_again_at: datetime) -> Transition:
    """Keep the money held; nothing reached the bank this time, so the row is as clean as it was."""
    state = _state(
        row,
        Status.PROCESSING,
        lease_expires_at=try_again_at,
        first_sent_at=row.first_sent_at if row.maybe_sent else None,
    )
    return Transition(state, reason=f"handed_back: {reason}"[:200])


def apply(
    transitions: Sequence[Transition],
    *,
    locked: dict[int, LockedWallet],
    worker: str,
    now: datetime,
    calls: Sequence[CallRow] = (),
) -> None:
    """Write the steps, their money and the ``calls`` that led to them, in one statement.

    The caller holds the rows' locks and the open transaction. Raises ``LedgerIntegrityError``, and
    so rolls back, when a row is not in the state it was locked in.
    """
    ledger.post(
        [t.movement for t in transitions if t.movement is not None],
        locked=locked,
        now=now,
        along=Batch(
            states=[t.state for t in transitions],
            history=[_history(t, worker) for t in transitions if t.recorded],
            calls=calls,
        ),
    )


def _history(transition: Transition, worker: str) -> ChangeRow:
    return ChangeRow(
        transaction_id=transition.state.id,
        from_status=transition.state.expected_status,
        to_status=transition.state.status,
        reason=transition.reason,
        worker=worker,
    )
