"""What the API shows without changing anything."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import QuerySet

from wallets.api.cursors import Cursor
from wallets.domain.receipts import TransactionState
from wallets.models import Transaction

RECENT = 10

# Read as plain tuples: instances cost more than the query.
_COLUMNS = [field.name for field in fields(TransactionState)]


@dataclass(frozen=True, slots=True)
class Page:
    results: list[TransactionState]
    next: Cursor | None
    previous: Cursor | None


def recent_transactions(wallet_id: int) -> list[TransactionState]:
    return _states(_newest_first(wallet_id)[:RECENT])


def transactions_page(
    wallet_id: int, *, filters: Mapping[str, Any], cursor: Cursor | None, limit: int
) -> Page:
    """``filters`` are keyword arguments of ``QuerySet.filter``."""
    rows = _newest_first(wallet_id).filter(**filters)
    if cursor is None:
        found = _states(rows[: limit + 1])
        return _page(found[:limit], more_older=len(found) > limit, more_newer=False)
    if cursor.older:
        found = _states(rows.filter(id__lt=cursor.id)[: limit + 1])
        page = _page(found[:limit], more_older=len(found) > limit, more_newer=True)
        return page if found else Page([], None, Cursor(older=False, id=cursor.id - 1))
    found = _states(rows.filter(id__gt=cursor.id).order_by("id")[: limit + 1])
    page = _page(found[:limit][::-1], more_older=True, more_newer=len(found) > limit)
    return page if found else Page([], Cursor(older=True, id=cursor.id + 1), None)


def _newest_first(wallet_id: int) -> QuerySet[Transaction]:
    return Transaction.objects.filter(wallet_id=wallet_id).order_by("-id")


def _states(rows: QuerySet[Transaction]) -> list[TransactionState]:
    return [TransactionState(*row) for row in rows.values_list(*_COLUMNS)]


def _page(results: list[TransactionState], *, more_older: bool, more_newer: bool) -> Page:
    return Page(
        results,
        next=Cursor(older=True, id=results[-1].id) if results and more_older else None,
        previous=Cursor(older=False, id=results[0].id) if results and more_newer else None,
    )
