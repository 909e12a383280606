"""What comparing a statement with our withdrawals can find."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    MATCHED = "matched"
    WOULD_SETTLE = "would_settle"
    SETTLED = "settled"
    RETURN_MATCHED = "return_matched"
    WOULD_RETURN = "would_return"
    RETURNED = "returned"
    PAID_BUT_FAILED = "paid_but_failed"
    PAID_BUT_SCHEDULED = "paid_but_scheduled"
    PAID_BUT_CANCELLED = "paid_but_cancelled"
    ABSENT = "succeeded_but_absent"
    AMOUNT_MISMATCH = "amount_mismatch"
    REFERENCE_MISMATCH = "reference_mismatch"
    REFERENCE_REUSED = "reference_reused"
    UNKNOWN_KEY = "unknown_key"
    DUPLICATE = "duplicate"
    CONTRADICTORY = "contradictory_lines"
    RETURNED_BUT_NOT_PAID = "returned_but_not_paid"
    RETURN_REFUSED = "return_refused"


AGREED = frozenset({Kind.MATCHED, Kind.SETTLED, Kind.RETURN_MATCHED, Kind.RETURNED})
# Neither the executor nor --apply will ever settle these: somebody has to look.
ALARMS = frozenset(
    {
        Kind.PAID_BUT_FAILED,
        Kind.PAID_BUT_SCHEDULED,
        Kind.PAID_BUT_CANCELLED,
        Kind.ABSENT,
        Kind.AMOUNT_MISMATCH,
        Kind.REFERENCE_MISMATCH,
        Kind.REFERENCE_REUSED,
        Kind.CONTRADICTORY,
        Kind.RETURNED_BUT_NOT_PAID,
        Kind.RETURN_REFUSED,
    }
)

SENTENCES = {
    Kind.MATCHED: "paid there and SUCCEEDED here, under one reference",
    Kind.WOULD_SETTLE: "paid there and in doubt here: --apply makes it SUCCEEDED",
    Kind.SETTLED: "paid there and in doubt here: now SUCCEEDED",
    Kind.RETURN_MATCHED: "returned there and here",
    Kind.WOULD_RETURN: "returned there and not here: --apply credits the wallet",
    Kind.RETURNED: "returned there: the wallet is credited now",
    Kind.PAID_BUT_FAILED: "PAID THERE AND FAILED HERE: the wallet has had its money back",
    Kind.PAID_BUT_SCHEDULED: "PAID THERE AND SCHEDULED HERE: the database lost what it knew",
    Kind.PAID_BUT_CANCELLED: "PAID THERE AND CANCELLED HERE: it was never to be sent",
    Kind.ABSENT: "SUCCEEDED here and not on the statement",
    Kind.AMOUNT_MISMATCH: "another amount or currency than ours",
    Kind.REFERENCE_MISMATCH: "another reference than the one we were given",
    Kind.REFERENCE_REUSED: "a reference that belongs to another payment or return as well",
    Kind.UNKNOWN_KEY: "a key that is none of ours",
    Kind.DUPLICATE: "a line that says what an earlier line said",
    Kind.CONTRADICTORY: "lines of one key that say different things: paid twice?",
    Kind.RETURNED_BUT_NOT_PAID: "returned there and not SUCCEEDED here",
    Kind.RETURN_REFUSED: "returned there, and the wallet could not be credited",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """``line``: in the statement, ``None`` for what is not there. ``amount``: the statement's."""

    kind: Kind
    key: str
    amount: int
    currency: str
    reference: str | None
    line: int | None = None
    withdrawal_id: int | None = None
    detail: str = ""
