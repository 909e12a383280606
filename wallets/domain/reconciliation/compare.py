"""What one line means for the withdrawal it names. Pure."""

import uuid
from dataclasses import dataclass

from wallets.domain.reconciliation.findings import Finding, Kind
from wallets.domain.reconciliation.lines import Line
from wallets.domain.reconciliation.scratch import Placed
from wallets.models import Status


@dataclass(frozen=True, slots=True)
class Ours:
    """A withdrawal as we have it, and what came back of it."""

    id: int
    key: uuid.UUID
    status: str
    amount: int
    currency: str
    bank_reference: str | None
    return_reference: str | None = None


def look_at_payment(placed: Placed, ours: Ours | None, *, reference_owner: int | None) -> Finding:
    """``reference_owner``: the withdrawal that has the line's reference, if one has."""
    line = placed.line
    found = _wrong_among_lines(placed) or _wrong_about_ours(line, ours)
    if found is not None or ours is None:
        return found or finding(Kind.UNKNOWN_KEY, line)
    if ours.status == Status.FAILED:
        return finding(Kind.PAID_BUT_FAILED, line, ours)
    if ours.status == Status.SCHEDULED:
        return finding(Kind.PAID_BUT_SCHEDULED, line, ours)
    if ours.status == Status.CANCELLED:
        return finding(Kind.PAID_BUT_CANCELLED, line, ours)
    if reference_owner not in (None, ours.id):
        return finding(Kind.REFERENCE_REUSED, line, ours, f"by withdrawal {reference_owner}")
    if ours.status == Status.PROCESSING:
        return finding(Kind.WOULD_SETTLE, line, ours)
    if ours.bank_reference not in (None, line.reference):
        return finding(Kind.REFERENCE_MISMATCH, line, ours, f"ours is {ours.bank_reference}")
    return finding(Kind.MATCHED, line, ours)


def look_at_return(
    placed: Placed, ours: Ours | None, *, payment_is_there: bool, reference_owner: int | None
) -> Finding:
    """``payment_is_there``: the statement also says that the withdrawal was paid.

    ``reference_owner``: the withdrawal that was returned under the line's reference, if one was.
    """
    line = placed.line
    found = _wrong_among_lines(placed) or _wrong_about_ours(line, ours)
    if found is not None or ours is None:
        return found or finding(Kind.UNKNOWN_KEY, line)
    if ours.return_reference is not None:
        if ours.return_reference != line.reference:
            detail = f"ours is {ours.return_reference}"
            return finding(Kind.REFERENCE_MISMATCH, line, ours, detail)
        return finding(Kind.RETURN_MATCHED, line, ours)
    if reference_owner not in (None, ours.id):
        return finding(Kind.REFERENCE_REUSED, line, ours, f"by withdrawal {reference_owner}")
    in_doubt_and_paid = ours.status == Status.PROCESSING and payment_is_there
    if ours.status == Status.SUCCEEDED or in_doubt_and_paid:
        return finding(Kind.WOULD_RETURN, line, ours)
    return finding(Kind.RETURNED_BUT_NOT_PAID, line, ours, f"it is {ours.status}")


def _wrong_among_lines(placed: Placed) -> Finding | None:
    """What is wrong with the line whatever we have. A line that is wrong so settles nothing."""
    line = placed.line
    if placed.rival is not None:
        return finding(Kind.CONTRADICTORY, line, detail=f"compare line {placed.rival}")
    if placed.is_repeated:
        return finding(Kind.DUPLICATE, line, detail=f"of line {placed.first}")
    if placed.namesake is not None:
        return finding(Kind.REFERENCE_REUSED, line, detail=f"by line {placed.namesake}")
    return None


def _wrong_about_ours(line: Line, ours: Ours | None) -> Finding | None:
    if ours is None:
        return finding(Kind.UNKNOWN_KEY, line)
    if (ours.amount, ours.currency) != (line.amount, line.currency):
        detail = f"ours is {ours.amount} {ours.currency}"
        return finding(Kind.AMOUNT_MISMATCH, line, ours, detail)
    return None


def finding(kind: Kind, line: Line, ours: Ours | None = None, detail: str = "") -> Finding:
    return Finding(
        kind=kind,
        key=line.key,
        amount=line.amount,
        currency=line.currency,
        reference=line.reference,
        line=line.number,
        withdrawal_id=None if ours is None else ours.id,
        detail=detail,
    )
