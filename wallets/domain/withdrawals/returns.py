"""Late bad news: a payout that the bank sends back after it succeeded.

The withdrawal stays as it was: it did succeed. Its money comes back as a transaction of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from wallets.domain import gate, ledger
from wallets.domain.people import (
    OperatorRefusal,
    checked_name,
    checked_reason,
    checked_reference,
)
from wallets.models import MAX_BALANCE, Status, StatusChange, Transaction, Type
from wallets.models.clock import database_now


class NotReturnable(OperatorRefusal):
    """Only a withdrawal that has succeeded can be returned, once."""

    code = "not_returnable"


@dataclass(frozen=True, slots=True)
class Return:
    withdrawal_id: int
    # The bank's reference of the return, not of the payment.
    reference: str
    # As the history will say it.
    reason: str


def record_return(*, withdrawal_id: int, reference: str, reason: str, by: str) -> int:
    """Credit the whole withdrawal back to its wallet; return the new transaction's id.

    Raises ``NotReturnable`` and ``BadInput``.
    """
    reason = f"returned: {checked_reason(reason)}"
    back = Return(withdrawal_id, checked_reference(reference), reason)
    [made] = record_returns([back], worker=f"operator:{checked_name(by)}"[:150])
    return made


def record_returns(returns: Sequence[Return], *, worker: str) -> list[int]:
    """Credit the withdrawals back, all or none; return the new transactions' ids, in their order.

    Raises ``NotReturnable``. ``returns`` names each withdrawal once.
    """
    # SQLite cannot be asked for larger ids.
    ids = {each.withdrawal_id for each in returns if each.withdrawal_id <= MAX_BALANCE}
    with transaction.atomic():
        # Returns take turns, so that two of them do not find one reference unused.
        gate.keep_claims_out()
        withdrawals = Transaction.objects.filter(pk__in=ids, type=Type.WITHDRAWAL)
        rows = {row.pk: row for row in withdrawals.select_for_update(no_key=True).order_by("pk")}
        for each in returns:
            _check(each.withdrawal_id, rows.get(each.withdrawal_id))
        _check_references(returns)
        locked = ledger.lock_wallets(row.wallet_id for row in rows.values())
        left = {pk: MAX_BALANCE - wallet.balance for pk, wallet in locked.items()}
        now = database_now()
        made = []
        for each in returns:
            withdrawal = rows[each.withdrawal_id]
            left[withdrawal.wallet_id] -= withdrawal.amount
            if left[withdrawal.wallet_id] < 0:
                raise NotReturnable(f"Wallet {withdrawal.wallet_id} cannot hold the return.")
            credit = Transaction(
                wallet_id=withdrawal.wallet_id,
                type=Type.RETURN,
                status=Status.SUCCEEDED,
                amount=withdrawal.amount,
                returned_withdrawal=withdrawal,
                bank_reference=each.reference,
                created_at=now,
                updated_at=now,
            )
            # One by one, as only so does every database tell the new id.
            credit.save(force_insert=True)
            made.append(credit)
        StatusChange.objects.bulk_create(
            StatusChange(
                transaction=credit,
                to_status=Status.SUCCEEDED,
                reason=each.reason,
                worker=worker,
                created_at=now,
            )
            for each, credit in zip(returns, made, strict=True)
        )
        # From the bank into the wallet, as a deposit's money.
        movements = [ledger.deposited(row.pk, row.wallet_id, row.amount) for row in made]
        ledger.post(movements, locked=locked, now=now)
    return [row.pk for row in made]


def owners_of_references(references: Iterable[str]) -> dict[str, int]:
    """The withdrawals that were returned under these references."""
    rows = Transaction.objects.filter(type=Type.RETURN, bank_reference__in=set(references))
    return {
        reference: pk
        for reference, pk in rows.order_by("-pk").values_list(
            "bank_reference", "returned_withdrawal_id"
        )
        if reference is not None and pk is not None
    }


def _check_references(returns: Sequence[Return]) -> None:
    """One return credits one withdrawal, also when a person mistypes the id the first time."""
    owners = owners_of_references(each.reference for each in returns)
    for each in returns:
        if owners.setdefault(each.reference, each.withdrawal_id) != each.withdrawal_id:
            raise NotReturnable(
                f"Return {each.reference} belongs to withdrawal {owners[each.reference]} already."
            )


def _check(withdrawal_id: int, row: Transaction | None) -> None:
    if row is None:
        raise NotReturnable(f"There is no withdrawal {withdrawal_id}.")
    if row.status != Status.SUCCEEDED:
        raise NotReturnable(
            f"Withdrawal {row.pk} is {row.status}: only what has been paid can come back."
        )
    credit = Transaction.objects.filter(returned_withdrawal=row).first()
    if credit is not None:
        raise NotReturnable(
            f"Withdrawal {row.pk} has been returned already, by transaction {credit.pk} under "
            f"reference {credit.bank_reference}."
        )
