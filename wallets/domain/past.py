"""A wallet at a moment of the past: its balance, and what moved between two moments.

Entries are cut by time, not by id: of two wallets' entries the later id may commit earlier. Within
a wallet both have one order, as ids and times are taken under the wallet's lock. What could still
be written with a time of the past is written by whoever holds that lock now.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from wallets.domain.errors import MomentInFuture, PeriodReversed
from wallets.domain.statements import for_database
from wallets.models import Account, LedgerEntry, Type, Wallet, of_one_wallet
from wallets.models.clock import database_now

# Longer than a statement needs from reading the clock to asking for the wallet's lock.
_JUST_NOW = timedelta(seconds=10)
_AT_A_TIME = 1_000
# As the index has it that finds a wallet's entries.
_NEWEST_FIRST = ("-wallet_id", "-id")
_OLDEST_FIRST = ("wallet_id", "id")
_MOVES_THE_BALANCE = Q(debit_account=Account.WALLET) | Q(credit_account=Account.WALLET)


@dataclass(frozen=True, slots=True)
class Line:
    """One change of the balance, in minor units; ``kind``: deposit, return, withdrawal, refund."""

    id: int
    at: datetime
    kind: str
    transaction_id: int
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What moved from ``since`` on and before ``until``.

    ``after`` and ``last``: the ids of the last changes before the period and in it.
    """

    wallet: Wallet
    since: datetime
    until: datetime
    opening_balance: int
    closing_balance: int
    after: int
    last: int

    def lines(self, *, after: int | None = None, most: int) -> list[Line]:
        """The first ``most`` lines, or the first after the one with the id ``after``."""
        start = self.after if after is None else max(after, self.after)
        entries = _changes(self.wallet).filter(id__gt=start, id__lte=self.last)
        columns = ("id", "created_at", "debit_account", "transaction_id", "transaction__type")
        rows = entries.order_by(*_OLDEST_FIRST).values_list(*columns, "amount", "balance_after")
        return [_line(*row) for row in rows[:most]]

    def every_line(self) -> Iterator[Line]:
        """In constant memory, and without a transaction: nothing in the period can change."""
        after = self.after
        while lines := self.lines(after=after, most=_AT_A_TIME):
            yield from lines
            after = lines[-1].id


def balance_at(*, wallet: Wallet, at: datetime) -> int:
    """The balance in minor units once everything had been done that was done by ``at``.

    Raises ``MomentInFuture``.
    """
    _settle_the_past(wallet, at)
    entry = _last_until(wallet, at, inclusive=True)
    return entry.balance_after if entry else 0


def statement(*, wallet: Wallet, since: datetime | None, until: datetime | None) -> Statement:
    """``since``: from when the wallet was opened unless said; ``until``: up to now.

    Raises ``MomentInFuture``, ``PeriodReversed``.
    """
    until = until or database_now()
    since = since or min(wallet.created_at, until)
    if since > until:
        raise PeriodReversed(**{"from": since, "to": until})
    _settle_the_past(wallet, until)
    before, last = (_last_until(wallet, moment, inclusive=False) for moment in (since, until))
    return Statement(
        wallet=wallet,
        since=since,
        until=until,
        opening_balance=before.balance_after if before else 0,
        closing_balance=last.balance_after if last else 0,
        after=before.pk if before else 0,
        last=last.pk if last else 0,
    )


def _settle_the_past(wallet: Wallet, at: datetime) -> None:
    """Wait until nothing can be written any more with a time of ``at`` or earlier.

    Raises ``MomentInFuture``.
    """
    now = database_now()
    if at > now:
        raise MomentInFuture(database_time=now)
    with transaction.atomic():
        if at < now - _JUST_NOW:
            Wallet.objects.select_for_update(no_key=True).get(pk=wallet.pk)
        else:
            # A deposit that has read the clock and not reached the row yet would not notice a lock.
            # That the row was written makes it read the clock again.
            Wallet.objects.filter(pk=wallet.pk).update(updated_at=F("updated_at"))


def _last_until(wallet: Wallet, moment: datetime, *, inclusive: bool) -> LedgerEntry | None:
    """The last change of the balance by then, found by halving: times have the order of ids.

    An index on the times would cost every movement of money; this costs some thirty look-ups.
    """
    newest = _changes(wallet).order_by(*_NEWEST_FIRST).first()
    if newest is None or _is_by(newest, moment, inclusive):
        return newest
    found: int | None = for_database().last_entry_in_time(
        wallet_id=wallet.pk, too_late=newest.pk, moment=moment, inclusive=inclusive
    )
    return None if found is None else LedgerEntry.objects.get(pk=found)


def _is_by(entry: LedgerEntry, moment: datetime, inclusive: bool) -> bool:
    return entry.created_at <= moment if inclusive else entry.created_at < moment


def _changes(wallet: Wallet) -> QuerySet[LedgerEntry]:
    return of_one_wallet(LedgerEntry.objects.filter(_MOVES_THE_BALANCE), wallet.pk)


def _line(
    id: int,
    at: datetime,
    debit_account: str,
    transaction_id: int,
    type: str,
    amount: int,
    balance_after: int,
) -> Line:
    if debit_account == Account.WALLET:
        kind, amount = "withdrawal", -amount
    elif debit_account == Account.IN_TRANSIT:
        kind = "refund"
    else:
        kind = "return" if type == Type.RETURN else "deposit"
    return Line(id, at, kind, transaction_id, amount, balance_after)
