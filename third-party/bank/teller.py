"""What an honest bank does with a request, and the two habits that make it a worse bank."""

import time
from collections.abc import Callable
from dataclasses import replace

from bank.answers import ACCEPTED, KEY_REUSED, NOT_FOUND, PENDING, Answer, failed, success
from bank.book import FAILED, PAID, Book, Decision, Transfer
from bank.payments import Payment

KEYS_IGNORED = "keys_ignored"
REFUSALS_FORGOTTEN = "refusals_forgotten"
HABITS = frozenset({KEYS_IGNORED, REFUSALS_FORGOTTEN})


class Teller:
    """Answers are true once the book has committed, not before."""

    def __init__(self, book: Book, *, clock: Callable[[], float] = time.time) -> None:
        self._book = book
        self._clock = clock

    def transfer(self, payment: Payment, decision: Decision, habits: frozenset[str]) -> Answer:
        """The first answer for ever; ``decision`` counts only where there is none yet."""
        now = self._clock()
        known = self._book.find(payment.key, now=now)
        if known and known.outcome == FAILED and REFUSALS_FORGOTTEN in habits:
            self._book.forget(payment.key)
            known = None
        if known and not (KEYS_IGNORED in habits and decision.outcome == PAID):
            if known.payment.fingerprint != payment.fingerprint:
                return KEY_REUSED
            return _first_answer(known)
        if decision.outcome == FAILED and REFUSALS_FORGOTTEN in habits:
            return failed(http_status=decision.http_status, reason=decision.reason)
        return _first_answer(self._book.decide(payment, decision, now=now))

    def inquiry(self, key: str) -> Answer:
        known = self.find(key)
        if known is None:
            return NOT_FOUND
        answer = _first_answer(known)
        # Whatever status the transfer was answered with, this question was answered well.
        return PENDING if answer is ACCEPTED else replace(answer, status=200)

    def find(self, key: str) -> Transfer | None:
        return self._book.find(key, now=self._clock())


def _first_answer(transfer: Transfer) -> Answer:
    if transfer.outcome == PAID:
        return success(
            reference=transfer.reference or "",
            key=transfer.payment.key,
            amount=transfer.payment.amount,
            currency=transfer.payment.currency,
        )
    if transfer.outcome == FAILED:
        return failed(http_status=transfer.http_status, reason=transfer.reason or "")
    return ACCEPTED
