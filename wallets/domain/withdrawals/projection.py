"""What will become of the withdrawals that are scheduled, if nothing else happens."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from wallets.models import Status, Transaction, Type, Wallet

# More are not looked at.
MOST = 1_000


@dataclass(frozen=True, slots=True)
class Planned:
    id: int
    execute_at: datetime
    amount: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """``balance_after`` and ``missing`` in minor units; nothing is missing where it is covered."""

    planned: Planned
    balance_after: int
    missing: int

    @property
    def covered(self) -> bool:
        return self.missing == 0


@dataclass(frozen=True, slots=True)
class Projection:
    """``truncated``: there are more withdrawals than these."""

    balance: int
    foreseen: list[Foreseen]
    truncated: bool

    @property
    def first_shortfall(self) -> Foreseen | None:
        return next((each for each in self.foreseen if not each.covered), None)


def project(wallet: Wallet) -> Projection:
    """Decide everything scheduled as the executor will: in its order, against what is left then."""
    # The balance comes with the rows, in one statement: between two, a claim could take a
    # withdrawal away and its money with it, and only one of them would be seen.
    rows = (
        Transaction.objects.filter(wallet=wallet, type=Type.WITHDRAWAL, status=Status.SCHEDULED)
        .order_by("execute_at", "id")
        .values_list("id", "execute_at", "amount", "wallet__balance")[: MOST + 1]
    )
    found = list(rows)
    balance = (
        found[0][3] if found else Wallet.objects.values_list("balance", flat=True).get(pk=wallet.pk)
    )
    planned = [Planned(pk, at, amount) for pk, at, amount, _ in found[:MOST] if at is not None]
    return Projection(
        balance=balance,
        foreseen=foresee(balance, planned),
        truncated=len(found) > MOST,
    )


def foresee(balance: int, planned: Iterable[Planned]) -> list[Foreseen]:
    """Pay each in turn if what is left covers it: what does not fit does not block the next."""
    foreseen = []
    for each in planned:
        missing = max(0, each.amount - balance)
        if not missing:
            balance -= each.amount
        foreseen.append(Foreseen(each, balance_after=balance, missing=missing))
    return foreseen
