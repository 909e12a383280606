"""The withdrawals a worker has in its hands, and what came back for them."""

from dataclasses import dataclass

from wallets.domain.outcomes import Outcome
from wallets.domain.withdrawals.claim import Claimed


@dataclass(slots=True)
class InHand:
    """One claimed withdrawal on its way through the threads.

    ``deadline`` is when the lease ends by this process's monotonic clock, counted from before the
    claim began; the main thread moves it when the lease is renewed. Nothing is sent after it, nor
    after ``key_kept_until``, when the bank forgets the key.
    """

    claimed: Claimed
    deadline: float
    key_kept_until: float


@dataclass(frozen=True, slots=True)
class Finished:
    item: InHand
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Crashed:
    """A thread met an error that is nobody's answer: the executor stops with it."""

    error: Exception
