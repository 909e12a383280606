"""The bank: everything that its promise about keys leaves open, it may do."""

from collections.abc import Iterator

from proof.model.states import PAID, PENDING, REFUSED, UNKNOWN, Bank
from wallets.domain.outcomes import Idempotency

# More payments than two tell nothing new.
_MOST = 2


def receive(bank: Bank, kind: Idempotency, *, known_key: bool) -> Iterator[tuple[Bank, str]]:
    """What may become of a request that arrives, with the bank's word for it."""
    if known_key and kind is not Idempotency.NONE:
        if bank.memory in (PAID, PENDING):
            yield bank, bank.memory
            return
        if bank.memory == REFUSED and kind is Idempotency.FULL:
            yield bank, REFUSED
            return
    yield _pay(bank), PAID
    yield _refuse(bank), REFUSED
    if bank.memory != PENDING:
        yield bank._replace(memory=PENDING), PENDING


def settle_pending(bank: Bank) -> Iterator[tuple[Bank, str]]:
    yield _pay(bank), PAID
    yield _refuse(bank), REFUSED


def words_about(bank: Bank, kind: Idempotency) -> tuple[str, ...]:
    """What a truthful inquiry may say. Whether a refusal that does not stick is told is open."""
    if bank.memory == REFUSED and kind is not Idempotency.FULL:
        return REFUSED, UNKNOWN
    return (bank.memory,)


def forget(bank: Bank) -> Bank:
    return bank if bank.memory == PENDING else bank._replace(memory=UNKNOWN)


def _pay(bank: Bank) -> Bank:
    return Bank(paid=min(_MOST, bank.paid + 1), memory=PAID)


def _refuse(bank: Bank) -> Bank:
    return bank if bank.memory == PAID else bank._replace(memory=REFUSED)
