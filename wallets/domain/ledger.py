"""The one writer of money: only this module changes balances and writes ledger entries."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import DataError, IntegrityError, connection, transaction

from wallets.domain.errors import LedgerIntegrityError
from wallets.domain.statements import for_database, portable
from wallets.domain.statements.prepared import Forgotten
from wallets.domain.statements.rows import (
    BalanceRow,
    Batch,
    DepositedRow,
    DepositRow,
    EntryRow,
    LockedWallet,
)
from wallets.models import MAX_BALANCE, Account
from wallets.models.ledger import LEGS

NOTHING = Batch()


@dataclass(frozen=True, slots=True)
class Movement:
    """``amount`` minor units leave ``debit`` for ``credit`` on behalf of a transaction."""

    transaction_id: int
    wallet_id: int
    debit: Account
    credit: Account
    amount: int

    @property
    def delta(self) -> int:
        """What the movement does to the wallet's balance."""
        if self.credit == Account.WALLET:
            return self.amount
        return -self.amount if self.debit == Account.WALLET else 0


def deposited(transaction_id: int, wallet_id: int, amount: int) -> Movement:
    return Movement(transaction_id, wallet_id, Account.BANK, Account.WALLET, amount)


def held(transaction_id: int, wallet_id: int, amount: int) -> Movement:
    return Movement(transaction_id, wallet_id, Account.WALLET, Account.IN_TRANSIT, amount)


def paid_out(transaction_id: int, wallet_id: int, amount: int) -> Movement:
    return Movement(transaction_id, wallet_id, Account.IN_TRANSIT, Account.BANK, amount)


def refunded(transaction_id: int, wallet_id: int, amount: int) -> Movement:
    return Movement(transaction_id, wallet_id, Account.IN_TRANSIT, Account.WALLET, amount)


def lock_wallets(ids: Iterable[int]) -> dict[int, LockedWallet]:
    """Lock the wallets in id order, the order everybody keeps, and read them as they are now."""
    _demand_transaction()
    return portable.lock_wallets(ids)


def post(
    movements: Sequence[Movement],
    *,
    locked: dict[int, LockedWallet],
    now: datetime,
    along: Batch = NOTHING,
) -> list[int]:
    """Apply the movements in their order; return each one's resulting wallet balance.

    ``now``: read once the wallets were locked, so that the times of a wallet's entries are in the
    entries' order. ``along``: what else the same statement is to write, without balances and
    entries.

    Raises ``LedgerIntegrityError``, and so rolls back, when a movement is not one the books know,
    would leave a balance below zero or past what can be stored, or meets a balance that is not
    the locked one; or when a withdrawal is not in its expected state.
    """
    _demand_transaction()
    if along.balances or along.entries:
        raise LedgerIntegrityError("money moves by movements only")
    entries, balances = _entries(movements, locked)
    changes = [
        BalanceRow(wallet_id, before=wallet.balance, delta=balances[wallet_id] - wallet.balance)
        for wallet_id, wallet in locked.items()
        if balances[wallet_id] != wallet.balance
    ]
    batch = replace(along, balances=changes, entries=entries)
    if batch != NOTHING:
        _write(batch, now)
    return [entry.balance_after for entry in entries]


def _entries(
    movements: Sequence[Movement], locked: dict[int, LockedWallet]
) -> tuple[list[EntryRow], dict[int, int]]:
    """The entries of the movements, and the balances they leave."""
    balances = {wallet_id: wallet.balance for wallet_id, wallet in locked.items()}
    entries = []
    for movement in movements:
        _check(movement, balances)
        balances[movement.wallet_id] += movement.delta
        entries.append(
            EntryRow(
                transaction_id=movement.transaction_id,
                wallet_id=movement.wallet_id,
                debit_account=movement.debit.value,
                credit_account=movement.credit.value,
                amount=movement.amount,
                balance_after=balances[movement.wallet_id],
            )
        )
    return entries, balances


def _write(batch: Batch, now: datetime) -> None:
    moved, changed = for_database().write(batch, now)
    if moved != len(batch.balances):
        raise LedgerIntegrityError(f"{len(batch.balances)} balances were to move, {moved} did")
    if changed != len(batch.states):
        raise LedgerIntegrityError(f"{len(batch.states)} withdrawals were to change, {changed} did")


def deposit_in_one_statement(row: DepositRow) -> DepositedRow | None:
    """Make the deposit if nothing at all is in its way, where the database can do so at once.

    ``None``, with nothing changed: something is in its way, or it cannot. A lone statement is its
    own ``atomic()``: PostgreSQL runs it as one transaction, committed when it answers. An explicit
    BEGIN and COMMIT around it would be two more round trips, of which one holds the wallet's lock.
    """
    alone = connection.get_autocommit()
    try:
        with nullcontext() if alone else transaction.atomic():
            made: DepositedRow | None = for_database().deposit(row)
            return made
    except (IntegrityError, DataError, Forgotten):
        return None


def _check(movement: Movement, balances: dict[int, int]) -> None:
    if movement.wallet_id not in balances:
        raise LedgerIntegrityError(f"wallet {movement.wallet_id} is not locked")
    if (movement.debit, movement.credit) not in LEGS or movement.amount <= 0:
        raise LedgerIntegrityError(f"{movement} is not a movement the books know")
    after = balances[movement.wallet_id] + movement.delta
    if not 0 <= after <= MAX_BALANCE:
        raise LedgerIntegrityError(f"{movement} would leave a balance of {after}")


def _demand_transaction() -> None:
    if not connection.in_atomic_block:
        raise LedgerIntegrityError("money moves only inside transaction.atomic()")
