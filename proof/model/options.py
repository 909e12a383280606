"""What is varied: the bank, the sizes, the guards that are taken away, the assumptions broken."""

from dataclasses import dataclass, field
from typing import NamedTuple

from wallets.domain.outcomes import Idempotency

FULL, SUCCESS_ONLY, NONE = Idempotency.FULL, Idempotency.SUCCESS_ONLY, Idempotency.NONE


class Rule(NamedTuple):
    """``bank`` and ``inquiry``: where the fewest states show what happens without it."""

    text: str
    bank: Idempotency
    inquiry: bool


GUARDS = {
    "epoch": Rule("a settle names the epoch at which the row was claimed", FULL, False),
    "lease_owner": Rule("a settle names the worker that claimed the row", NONE, True),
    "maybe_sent": Rule(
        "a refusal of a row that may have been sent before is no proof", FULL, False
    ),
    "vanished": Rule(
        "a row taken over from a worker that vanished counts as maybe sent", NONE, False
    ),
    "not_found_grace": Rule("'not found' counts only long after the last send", NONE, True),
    "not_found_retention": Rule(
        "'not found' counts only while the bank still knows the key", NONE, True
    ),
    "inquiry_sticks": Rule(
        "'failed' of a bank that forgets refusals counts only after the grace", SUCCESS_ONLY, True
    ),
    "same_key": Rule("every send of a withdrawal carries the same key", SUCCESS_ONLY, False),
    "lease_deadline": Rule(
        "nothing is sent once the lease has ended by the sender's own clock", NONE, True
    ),
    "no_resend": Rule("nothing is sent again to a bank that ignores keys", NONE, False),
    "key_retention": Rule(
        "nothing is sent again once the bank may have forgotten the key", FULL, False
    ),
    "terminal_burn": Rule("a terminal row is never taken up again", NONE, False),
    "paid_on_processing": Rule("a payment ends only a row that is being processed", NONE, False),
    "claimed_once": Rule("only a scheduled row is claimed", NONE, False),
    "order": Rule("a wallet's withdrawals are decided in order", NONE, False),
}

# Backed up by another guard: taken away alone, nothing goes wrong.
REDUNDANT = {
    "lease_owner": "as long as the database keeps its commits, the epoch says the same",
}

ASSUMPTIONS = {
    "grace": Rule(
        "no request is executed later than the grace of 'not found' after it was sent", NONE, True
    ),
    "no_copies": Rule("nothing between us and the bank repeats a request by itself", NONE, False),
    "door": Rule(
        "429, 401, 403, 404, 405 and a bare 503 mean: this request was not executed", NONE, False
    ),
    "retention": Rule(
        "the bank keeps a key for longer than we send it, by as long as a request is under way",
        FULL,
        False,
    ),
    "durable": Rule("a commit that the database has acknowledged is never lost", NONE, False),
    "promise": Rule(
        "the bank keeps the promise that BANK_IDEMPOTENCY says it gives", SUCCESS_ONLY, False
    ),
}


@dataclass(frozen=True, slots=True)
class Size:
    """``retries``: further tries of a call. ``stale``: hands on one row older than its epoch.
    ``requests``: requests under way that nobody waits for, counted up to this."""

    retries: int = 1
    stale: int = 1
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Options:
    bank: Idempotency
    inquiry: bool
    withdrawals: int = 1
    # What the wallet has at the start. Each withdrawal is of 60: 100 covers one, 120 covers two.
    deposited: int = 100
    size: Size = field(default_factory=Size)
    without: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for names, known in ((self.without, GUARDS), (self.broken, ASSUMPTIONS)):
            unknown = names - known.keys()
            if unknown:
                raise ValueError(f"{', '.join(sorted(unknown))}: known are {', '.join(known)}")

    def keeps(self, guard: str) -> bool:
        return guard not in self.without

    def assumes(self, assumption: str) -> bool:
        return assumption not in self.broken
