"""The bank's memory: what was decided for each key, and every payment that was made.

One process owns the file. Payments are written at once but committed in groups: ``when_committed``
calls back when everything written so far would survive a ``kill -9``, which is when it may be told.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from bank.payments import Payment

PAID, FAILED, PENDING = "paid", "failed", "pending"

# Rows read at a time where all are wanted.
_BATCH = 2_000
_LOCK_WAIT_SECONDS = 1.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS transfers (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    wallet_owner_ref TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('paid', 'failed', 'pending')),
    http_status INTEGER NOT NULL,
    reason TEXT,
    reference TEXT,
    settles_at REAL,
    settles_as TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transfers_to_settle ON transfers (settles_at)
    WHERE outcome = 'pending';
CREATE TABLE IF NOT EXISTS payments (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    wallet_owner_ref TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    reference TEXT NOT NULL,
    paid_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS payments_by_key ON payments (key);
"""

_UPSERT = """
INSERT INTO transfers (key, fingerprint, wallet_owner_ref, amount, currency,
                       outcome, http_status, reason, reference, settles_at, settles_as)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    fingerprint = excluded.fingerprint, wallet_owner_ref = excluded.wallet_owner_ref,
    amount = excluded.amount, currency = excluded.currency, outcome = excluded.outcome,
    http_status = excluded.http_status, reason = excluded.reason, reference = excluded.reference,
    settles_at = excluded.settles_at, settles_as = excluded.settles_as
"""

_PAY = """
INSERT INTO payments (key, wallet_owner_ref, amount, currency, reference, paid_at)
VALUES (?, ?, ?, ?, ?, ?)
"""

_FIND = """
SELECT key, wallet_owner_ref, amount, currency, fingerprint,
       outcome, http_status, reason, reference, settles_at, settles_as
  FROM transfers
"""

# A sum of 64-bit amounts may need more than 64 bits, which SQLite refuses to add up.
_TOTALS = """
SELECT count(*), coalesce(sum(amount >> 32), 0), coalesce(sum(amount & 4294967295), 0) FROM payments
"""

_ENTRIES = """
SELECT id, key, wallet_owner_ref, amount, currency, reference, paid_at,
       (SELECT count(*) FROM payments AS same WHERE same.key = payments.key) AS times_paid
  FROM payments
 WHERE id > :after AND id <= :last AND (:key IS NULL OR key = :key)
 ORDER BY id
 LIMIT :limit
"""

Callback: TypeAlias = Callable[[sqlite3.Error | None], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a payment. ``settles_after``, in seconds, is for pending ones."""

    outcome: str
    http_status: int = 200
    reason: str = ""
    settles_after: float = 0.0
    settles_as: str = ""


PAY = Decision(PAID)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was decided for one key."""

    payment: Payment
    outcome: str
    http_status: int
    reason: str | None
    reference: str | None
    settles_at: float | None
    settles_as: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    count: int
    sum: int
    keys_paid_twice: int


class Book:
    """Raises ``sqlite3.Error`` when the file is no book, is in use, or cannot be written.

    ``soon`` runs a function after what the server is doing right now (``loop.call_soon``).
    """

    def __init__(self, path: str, *, soon: Callable[[Callable[[], None]], Any]) -> None:
        self._soon = soon
        self._waiting: list[Callback] = []
        self._db = sqlite3.connect(path, timeout=_LOCK_WAIT_SECONDS, isolation_level=None)
        # Two banks over one book would each pay a key once.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        # An answered payment outlives the process; only a crash of the machine may lose the last.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        # Takes the lock, which a schema that already exists does not.
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("COMMIT")

    def find(self, key: str, *, now: float) -> Transfer | None:
        """``now`` in seconds since the epoch; what was due to settle by then has settled."""
        row = self._db.execute(_FIND + "WHERE key = ?", (key,)).fetchone()
        transfer = _transfer(row) if row else None
        if transfer and transfer.settles_at is not None and transfer.settles_at <= now:
            return self._settle(transfer)
        return transfer

    def decide(self, payment: Payment, decision: Decision, *, now: float) -> Transfer:
        """Write down what becomes of ``payment``, over whatever was decided for its key before."""
        pending = decision.outcome == PENDING
        transfer = Transfer(
            payment=payment,
            outcome=decision.outcome,
            http_status=decision.http_status,
            reason=decision.reason or None,
            reference=new_reference() if decision.outcome == PAID else None,
            settles_at=now + decision.settles_after if pending else None,
            settles_as=decision.settles_as if pending else None,
        )
        self._write(transfer, now)
        return transfer

    def forget(self, key: str) -> None:
        self._change("DELETE FROM transfers WHERE key = ?", (key,))

    def settle_due(self, *, now: float) -> None:
        """Before the payments are looked at: a pending one settles when it is due or seen."""
        due = self._db.execute(
            _FIND + "WHERE outcome = 'pending' AND settles_at <= ? ORDER BY settles_at", (now,)
        ).fetchall()
        for row in due:
            self._settle(_transfer(row))

    def totals(self) -> Totals:
        count, high, low = self._db.execute(_TOTALS).fetchone()
        (twice,) = self._db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM payments GROUP BY key HAVING count(*) > 1)"
        ).fetchone()
        return Totals(count, (high << 32) + low, twice)

    def entries(
        self, *, after: int, limit: int, last: int, key: str | None = None
    ) -> list[dict[str, Any]]:
        """Payments in the order they were made, those after and up to ``last`` by id."""
        cursor = self._db.execute(
            _ENTRIES, {"after": after, "limit": limit, "last": last, "key": key}
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def all_entries(
        self, *, after: int, limit: int | None, key: str | None
    ) -> Iterator[list[dict[str, Any]]]:
        """The same in batches, up to the last payment made when the first is taken."""
        last = self.last_id()
        left = last if limit is None else limit
        while left > 0:
            batch = self.entries(after=after, limit=min(left, _BATCH), last=last, key=key)
            if not batch:
                return
            yield batch
            after, left = batch[-1]["id"], left - len(batch)

    def last_id(self) -> int:
        (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM payments").fetchone()
        return int(last)

    def empty(self) -> None:
        self._change("DELETE FROM transfers", ())
        self._change("DELETE FROM payments", ())

    def when_committed(self, callback: Callback) -> None:
        """Call back, with the error if there was one, once all that was written is kept."""
        if self._db.in_transaction:
            self._waiting.append(callback)
        else:
            callback(None)

    def close(self) -> None:
        self._commit()
        self._db.close()

    def _settle(self, transfer: Transfer) -> Transfer:
        """End a pending one, as of the moment it was due and not of the first look at it."""
        paid = transfer.settles_as == PAID
        settled = Transfer(
            payment=transfer.payment,
            outcome=PAID if paid else FAILED,
            http_status=200,
            reason=None if paid else transfer.reason,
            reference=new_reference() if paid else None,
            settles_at=None,
            settles_as=None,
        )
        self._write(settled, transfer.settles_at or 0.0)
        return settled

    def _write(self, transfer: Transfer, now: float) -> None:
        payment = transfer.payment
        self._change(
            _UPSERT,
            (
                payment.key,
                payment.fingerprint,
                payment.wallet_owner_ref,
                payment.amount,
                payment.currency,
                transfer.outcome,
                transfer.http_status,
                transfer.reason,
                transfer.reference,
                transfer.settles_at,
                transfer.settles_as,
            ),
        )
        if transfer.outcome == PAID:
            self._change(
                _PAY,
                (
                    payment.key,
                    payment.wallet_owner_ref,
                    payment.amount,
                    payment.currency,
                    transfer.reference,
                    _iso(now),
                ),
            )

    def _change(self, statement: str, values: tuple[Any, ...]) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
            self._soon(self._commit)
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            # Half of a payment may stand, or SQLite may have undone the group: none of it counts.
            self._end_group(error)
            raise

    def _commit(self) -> None:
        failure: sqlite3.Error | None = None
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            failure = error
        self._end_group(failure)

    def _end_group(self, failure: sqlite3.Error | None) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback(failure)


def new_reference() -> str:
    return f"MB-{os.urandom(8).hex()}"


def _transfer(row: tuple[Any, ...]) -> Transfer:
    return Transfer(Payment(*row[:5]), *row[5:])


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return moment.replace("+00:00", "Z")
