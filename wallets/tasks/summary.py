"""What an executor did, counted."""

from dataclasses import dataclass

from wallets.domain.withdrawals.claim import ClaimBatch
from wallets.domain.withdrawals.settle import Settled


@dataclass(slots=True)
class Summary:
    """``processed`` counts withdrawals this cycle ended or left in doubt or handed back."""

    succeeded: int = 0
    failed: int = 0
    insufficient_funds: int = 0
    in_doubt: int = 0
    reclaimed: int = 0
    handed_back: int = 0
    lost: int = 0
    paused: bool = False

    @property
    def processed(self) -> int:
        return (
            self.succeeded + self.failed + self.insufficient_funds + self.in_doubt
        ) + self.handed_back

    def claimed(self, batch: ClaimBatch) -> None:
        self.reclaimed += batch.reclaimed
        self.insufficient_funds += batch.insufficient_funds
        self.in_doubt += batch.stranded

    def settled(self, settled: Settled) -> None:
        self.succeeded += settled.succeeded
        self.failed += settled.failed
        self.in_doubt += settled.in_doubt
        self.handed_back += settled.handed_back
        self.lost += settled.lost

    def __str__(self) -> str:
        return (
            f"processed={self.processed} succeeded={self.succeeded} failed={self.failed} "
            f"insufficient_funds={self.insufficient_funds} in_doubt={self.in_doubt} "
            f"reclaimed={self.reclaimed}{' paused=yes' if self.paused else ''}"
        )
