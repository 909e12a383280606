"""Find a withdrawal of a wallet, and lock it for a change of plan."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from wallets.domain import gate
from wallets.domain.errors import WithdrawalNotFound
from wallets.domain.withdrawals.rows import COLUMNS, Row
from wallets.models import Status, Transaction, Type, Wallet
from wallets.models.clock import database_now

# Longer than anybody waits between looking at the time and having the lock.
_SOON = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Planned:
    """A withdrawal under lock, and the database's time after that."""

    withdrawal: Transaction
    row: Row
    now: datetime


def find_withdrawal(wallet: Wallet, withdrawal_id: int, *, lock: bool = False) -> Transaction:
    """Raises ``WithdrawalNotFound``, also for a deposit, and for a withdrawal of another wallet."""
    withdrawals = Transaction.objects.filter(wallet=wallet, type=Type.WITHDRAWAL)
    if lock:
        withdrawals = withdrawals.select_for_update(no_key=True)
    found = withdrawals.filter(pk=withdrawal_id).first()
    if found is None:
        raise WithdrawalNotFound
    return found


def lock_planned(wallet: Wallet, withdrawal_id: int) -> Planned:
    """Lock a withdrawal that may still be SCHEDULED, inside the open transaction.

    A claim passes over rows that are locked. One that is due, and stays so because the change is
    refused, would be passed over in favour of a later one of its wallet; so claims are kept out
    while a withdrawal is held that is or may become due. One that is not SCHEDULED never is again,
    and must not keep anybody out: it may be asked about for ever.

    Raises ``WithdrawalNotFound``.
    """
    seen = find_withdrawal(wallet, withdrawal_id)
    if seen.status == Status.SCHEDULED and _due_soon(seen):
        gate.keep_claims_out()
    found = find_withdrawal(wallet, withdrawal_id, lock=True)
    row = Row(**{name: getattr(found, name) for name in COLUMNS})
    return Planned(found, row, database_now())


def _due_soon(withdrawal: Transaction) -> bool:
    return withdrawal.execute_at is not None and withdrawal.execute_at <= database_now() + _SOON
