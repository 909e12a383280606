"""Answer a repeated request for deposits in bulk as it was answered first."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from wallets.domain.errors import IdempotencyKeyReused
from wallets.domain.requests import of_account
from wallets.models import BulkRequest
from wallets.models.clock import database_now

# What was answered about one item: its ``index`` and its envelope.
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BulkKey:
    """The client's ``Idempotency-Key``, whose it is, and what the request said."""

    tenant_id: int | None
    key: str
    mode: str
    items_fingerprint: str


class _Raced(Exception):
    """The same key was kept by another request while ours was worked on."""


def answer_once(
    key: BulkKey | None, work: Callable[[Sequence[Result] | None], list[Result]]
) -> tuple[list[Result], bool]:
    """The results of ``work``, and whether they are those of an earlier request with this key.

    ``work`` runs in the transaction that keeps the key. It is given what the earlier request had
    refused, or ``None``, and may raise to undo everything.

    Raises ``IdempotencyKeyReused``, with the names of the ``fields`` that differ.
    """
    try:
        return _answer(key, work)
    except _Raced:
        # The other one has committed, so this time it is found.
        return _answer(key, work)


def _answer(
    key: BulkKey | None, work: Callable[[Sequence[Result] | None], list[Result]]
) -> tuple[list[Result], bool]:
    with transaction.atomic():
        earlier = _earlier(key)
        results = work(None if earlier is None else json.loads(earlier.refused))
        if key is not None and earlier is None:
            _keep(key, results)
    return results, earlier is not None


def _earlier(key: BulkKey | None) -> BulkRequest | None:
    if key is None:
        return None
    earlier = BulkRequest.objects.filter(of_account(key.tenant_id), request_key=key.key).first()
    if earlier is None:
        return None
    differs = {
        "items": earlier.items_fingerprint != key.items_fingerprint,
        "mode": earlier.mode != key.mode,
    }
    fields = [name for name, yes in differs.items() if yes]
    if fields:
        raise IdempotencyKeyReused(first_used_at=earlier.created_at, fields=fields)
    return earlier


def _keep(key: BulkKey, results: Sequence[Result]) -> None:
    refused = [result for result in results if result["status"] != 201]
    if len(refused) == len(results):
        return
    try:
        with transaction.atomic():
            BulkRequest.objects.create(
                tenant_id=key.tenant_id,
                request_key=key.key,
                mode=key.mode,
                items_fingerprint=key.items_fingerprint,
                # Escaped: what a client sent may be no text that a database takes.
                refused=json.dumps(refused),
                created_at=database_now(),
            )
    except IntegrityError:
        if _earlier(key) is None:
            raise
        raise _Raced from None
