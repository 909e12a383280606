"""What must hold, whatever happened, found from the rows and the bank's own book alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from proof.harness.bank import MockBank, Payment
from proof.harness.databases import Database

_HELD = ("WALLET", "IN_TRANSIT")
_PAID = ("IN_TRANSIT", "BANK")
_REFUNDED = ("IN_TRANSIT", "WALLET")
_CREDITED = ("BANK", "WALLET")

# The movements a row of that type and status may have had, and no others.
_LEGS: dict[tuple[str, str], tuple[tuple[tuple[str, str], ...], ...]] = {
    ("DEPOSIT", "SUCCEEDED"): ((_CREDITED,),),
    ("RETURN", "SUCCEEDED"): ((_CREDITED,),),
    ("WITHDRAWAL", "SCHEDULED"): ((),),
    ("WITHDRAWAL", "PROCESSING"): ((_HELD,),),
    ("WITHDRAWAL", "SUCCEEDED"): ((_HELD, _PAID),),
    ("WITHDRAWAL", "FAILED"): ((), (_HELD, _REFUNDED)),
}
_STEPS = {
    ("", "SCHEDULED"),
    ("SCHEDULED", "PROCESSING"),
    ("SCHEDULED", "FAILED"),
    ("PROCESSING", "PROCESSING"),
    ("PROCESSING", "SUCCEEDED"),
    ("PROCESSING", "FAILED"),
}


@dataclass(frozen=True, slots=True)
class Movement:
    id: int
    transaction_id: int
    wallet_id: int
    debit: str
    credit: str
    amount: int
    balance_after: int

    @property
    def leg(self) -> tuple[str, str]:
        return self.debit, self.credit


@dataclass(frozen=True, slots=True)
class Payout:
    """A transaction of any type, as the table has it."""

    id: int
    wallet_id: int
    type: str
    status: str
    amount: int
    key: str | None
    reference: str | None
    in_doubt: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Books:
    balances: dict[int, int]
    owners: dict[int, str]
    rows: tuple[Payout, ...]
    movements: tuple[Movement, ...]
    # Transaction, from, to, reason, and when, which is one moment for all of a batch.
    steps: tuple[tuple[int, str, str, str, Any], ...]
    payments: tuple[Payment, ...]

    @property
    def statuses(self) -> dict[int, str]:
        return {row.id: row.status for row in self.rows}

    @property
    def withdrawals(self) -> list[Payout]:
        return [row for row in self.rows if row.type == "WITHDRAWAL"]

    def count(self, status: str) -> int:
        return sum(row.status == status for row in self.withdrawals)


def read_books(database: Database, bank: MockBank) -> Books:
    """Read when nobody writes any more: it is not one moment of the database."""
    owners = database.rows("SELECT id, uuid, balance FROM wallets_wallet")
    return Books(
        balances={pk: balance for pk, _, balance in owners},
        owners={pk: _hex(owner) or "" for pk, owner, _ in owners},
        rows=tuple(
            Payout(pk, wallet, kind, status, amount, _hex(key), reference, bool(doubt), reason)
            for pk, wallet, kind, status, amount, key, reference, doubt, reason in database.rows(
                "SELECT id, wallet_id, type, status, amount, idempotency_key, bank_reference,"
                " in_doubt_since IS NOT NULL, failure_reason FROM wallets_transaction ORDER BY id"
            )
        ),
        movements=tuple(
            Movement(*row)
            for row in database.rows(
                "SELECT id, transaction_id, wallet_id, debit_account, credit_account, amount,"
                " balance_after FROM wallets_ledgerentry ORDER BY id"
            )
        ),
        steps=tuple(
            database.rows(
                "SELECT transaction_id, from_status, to_status, reason, created_at"
                " FROM wallets_statuschange ORDER BY id"
            )
        ),
        payments=tuple(bank.payments()),
    )


def broken_promises(
    books: Books,
    *,
    waiting: Set[int] = frozenset(),
    lied_about: Set[str] = frozenset(),
    references_change: bool = False,
) -> list[str]:
    """Sentences, none when everything holds. See ``World.check`` for the exceptions."""
    return [
        *_wallets(books),
        *_legs(books),
        *_history(books),
        *_conservation(books),
        *_bank(books, {_hex(key) for key in lied_about}, references_change),
        *_ends(books, waiting),
    ]


def _wallets(books: Books) -> Iterator[str]:
    running: Counter[int] = Counter()
    for one in books.movements:
        if one.credit == "WALLET":
            running[one.wallet_id] += one.amount
        elif one.debit == "WALLET":
            running[one.wallet_id] -= one.amount
        if running[one.wallet_id] != one.balance_after or one.balance_after < 0:
            yield f"entry {one.id}: balance_after {one.balance_after}, not {running[one.wallet_id]}"
    for wallet_id, balance in books.balances.items():
        if balance != running[wallet_id] or balance < 0:
            yield f"wallet {wallet_id} has {balance}, its entries say {running[wallet_id]}"


def _legs(books: Books) -> Iterator[str]:
    legs: dict[int, list[Movement]] = defaultdict(list)
    for movement in books.movements:
        legs[movement.transaction_id].append(movement)
    for row in books.rows:
        mine = legs[row.id]
        if tuple(one.leg for one in mine) not in _LEGS.get((row.type, row.status), ()):
            yield f"{row.type} {row.id} is {row.status} and moved {[one.leg for one in mine]}"
        if any(one.amount != row.amount or one.wallet_id != row.wallet_id for one in mine):
            yield f"{row.type} {row.id}: an entry has another amount or wallet"


def _history(books: Books) -> Iterator[str]:
    last: dict[int, str] = {}
    for pk, before, after, reason, _ in books.steps:
        if (before, after) not in _STEPS or last.get(pk, "") != before:
            yield f"withdrawal {pk} went from {last.get(pk, '')} by {before}->{after} ({reason})"
        last[pk] = after
    for row in books.withdrawals:
        if last.get(row.id) != row.status:
            yield f"withdrawal {row.id} is {row.status}, its history says {last.get(row.id)}"


def _conservation(books: Books) -> Iterator[str]:
    """Wallets + in transit + paid out = deposits + returns."""
    came = sum(row.amount for row in books.rows if row.type != "WITHDRAWAL")
    in_transit = sum(row.amount for row in books.withdrawals if row.status == "PROCESSING")
    out = sum(row.amount for row in books.withdrawals if row.status == "SUCCEEDED")
    here = sum(books.balances.values())
    if here + in_transit + out != came:
        yield f"{here} in wallets + {in_transit} in transit + {out} paid out is not {came}"


def _bank(books: Books, lied_about: Set[str | None], references_change: bool) -> Iterator[str]:
    times = Counter(_hex(payment.key) for payment in books.payments)
    for key, count in times.items():
        if count > 1:
            yield f"the bank paid key {key} {count} times"
    paid = {_hex(payment.key): payment for payment in books.payments}
    by_key = {row.key: row for row in books.withdrawals}
    for key in paid.keys() - by_key.keys():
        yield f"the bank paid key {key}, which is nobody's"
    for key, row in by_key.items():
        payment = paid.get(key)
        if row.status == "SUCCEEDED" and payment is None:
            yield f"withdrawal {row.id} SUCCEEDED and the bank never paid it"
        if payment is None:
            continue
        if row.status in ("SCHEDULED", "FAILED") and key not in lied_about:
            yield f"withdrawal {row.id} is {row.status} ({row.reason}) and the bank paid it"
        if (payment.amount, _hex(payment.wallet_owner_ref)) != (
            row.amount,
            books.owners[row.wallet_id],
        ):
            yield f"withdrawal {row.id}: the bank paid another amount or owner"
        same = references_change or row.reference in (payment.reference, None)
        if row.status == "SUCCEEDED" and not same:
            yield f"withdrawal {row.id} has reference {row.reference}, not {payment.reference}"


def _ends(books: Books, waiting: Set[int]) -> Iterator[str]:
    for row in books.withdrawals:
        if row.status in ("SUCCEEDED", "FAILED"):
            continue
        if row.id not in waiting or row.status != "PROCESSING" or not row.in_doubt:
            yield f"withdrawal {row.id} is still {row.status}"


def _hex(key: Any) -> str | None:
    """Keys and owners, however a database writes a UUID."""
    return None if key is None else str(key).replace("-", "")
