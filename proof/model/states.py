"""What a state of the machine consists of.

Only what somebody can act upon is kept. An epoch is "the row's" or "an older one", a time is "late
enough" or not, requests that are alike are counted: so the machine is finite without cutting a run
short after some number of claims.
"""

from typing import NamedTuple

SCHEDULED, PROCESSING, SUCCEEDED, FAILED = "SCHEDULED", "PROCESSING", "SUCCEEDED", "FAILED"
TERMINAL = (SUCCEEDED, FAILED)

# Executors, and the owner left behind by one that died: its id never comes back.
EXECUTORS = ("A", "B")
DEAD = "dead"
NOBODY = ""

# When something was last, or first, sent.
NEVER, RECENTLY, LONG_AGO = 0, 1, 2

# What the bank remembers of the key.
UNKNOWN, REFUSED, PENDING, PAID = "unknown", "refused", "pending", "paid"

SEND, ASK = "send", "ask"
# Phases of a withdrawal in an executor's hands.
IDLE, WAITING, ANSWERED = "idle", "waiting", "answered"


class Record(NamedTuple):
    """The withdrawal in our database."""

    status: str = SCHEDULED
    owner: str = NOBODY
    lapsed: bool = False
    maybe_sent: bool = False
    in_doubt: bool = False
    # LONG_AGO: longer than the key's retention.
    first_sent: int = NEVER
    # LONG_AGO: longer than the grace of a "not found".
    last_sent: int = NEVER


class Hand(NamedTuple):
    """The withdrawal in an executor's memory. What no longer matters in a phase is left empty."""

    who: str
    # Claimed at an epoch older than the row's.
    stale: bool
    step: str
    phase: str = IDLE
    # The executor's own clock has not seen the lease end.
    fresh: bool = False
    # Nor the end of the time for which the bank keeps the key.
    key_kept: bool = False
    maybe_sent: bool = False
    last_sent: int = NEVER
    # One letter for each finished try of the call; see ``ours.TRIES``.
    tries: str = ""
    # An index into ``ours.Ours.outcomes``.
    outcome: int = -1


class Bank(NamedTuple):
    """``paid`` counts payments made for this withdrawal."""

    paid: int = 0
    memory: str = UNKNOWN


class Payout(NamedTuple):
    """One withdrawal, wherever there is a trace of it.

    ``covered`` and ``loose`` count requests under way that nobody waits for: sent before the time
    that the row calls its last send, and after it.
    """

    record: Record = Record()
    hands: tuple[Hand, ...] = ()
    covered: int = 0
    loose: int = 0
    bank: Bank = Bank()

    def with_hands(self, hands: list[Hand]) -> "Payout":
        return self._replace(hands=tuple(sorted(hands)))


def swapped(payout: Payout) -> Payout:
    """The same with the two executors' names exchanged."""
    other = {"A": "B", "B": "A"}
    record = payout.record
    record = record._replace(owner=other.get(record.owner, record.owner))
    hands = [hand._replace(who=other[hand.who]) for hand in payout.hands]
    return payout._replace(record=record).with_hands(hands)
