"""Find rows by what people hold in their hands: an id, a UUID, a key, the bank's reference."""

import uuid

from django.db.models import Q

from wallets.models import Transaction, Wallet

# A request key is unique within a wallet only, so one term may name many transactions.
_MOST_MATCHES = 1_000


def digits(term: str) -> int | None:
    """An id, also when typed with Persian or Arabic digits."""
    return int(term) if term.isdecimal() and len(term) <= 19 else None


def as_uuid(term: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(term)
    except ValueError:
        return None


def transactions_called(term: str) -> Q:
    """Transactions with this id, bank key, request key or bank reference, or of this wallet UUID.

    Each is looked up by itself, because the database would read the whole table for an OR over
    columns of which it finds one without an index.
    """
    wallet = _wallet_with_uuid(term)
    if wallet is not None:
        return Q(wallet_id=wallet)
    return Q(pk__in=transaction_ids(term))


def of_transactions_called(term: str, *, wallet_path: str = "transaction__wallet_id") -> Q:
    """The same for rows that belong to transactions; or with this id of their own."""
    wallet = _wallet_with_uuid(term)
    if wallet is not None:
        return Q((wallet_path, wallet))
    found = Q(transaction_id__in=transaction_ids(term))
    pk = digits(term)
    return found if pk is None else found | Q(pk=pk)


def transaction_ids(term: str) -> list[int]:
    conditions = [Q(request_key=term), Q(bank_reference=term)]
    key, pk = as_uuid(term), digits(term)
    if key is not None:
        conditions.append(Q(idempotency_key=key))
    if pk is not None:
        conditions.append(Q(pk=pk))
    found: set[int] = set()
    for condition in conditions:
        rows = Transaction.objects.filter(condition).values_list("pk", flat=True)
        found.update(rows.order_by()[:_MOST_MATCHES])
    return sorted(found)


def wallets_called(term: str) -> Q:
    """Wallets with this id, UUID or request key.

    The key is asked for twice because its two indexes, for wallets with and without an account,
    are partial.
    """
    found = Q(request_key=term, tenant__isnull=True) | Q(request_key=term, tenant__isnull=False)
    key, pk = as_uuid(term), digits(term)
    if key is not None:
        found |= Q(uuid=key)
    if pk is not None:
        found |= Q(pk=pk)
    return found


def _wallet_with_uuid(term: str) -> int | None:
    key = as_uuid(term)
    if key is None:
        return None
    return Wallet.objects.filter(uuid=key).values_list("pk", flat=True).first()
