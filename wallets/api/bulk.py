"""Many deposits in one request: read each on its own, answer each as if it had come alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rest_framework.request import Request

from wallets.api import fields
from wallets.api.errors import exception_handler
from wallets.api.idempotency import fingerprint
from wallets.api.mismatch import fields_that_differ
from wallets.api.refusals import InvalidFields, Problem, Unfit
from wallets.api.serializers import read_post, transaction_json, wallet_json, wallet_reference
from wallets.api.texts import DEPOSITED
from wallets.domain.bulk_deposits import MOST_ITEMS, BulkItem
from wallets.domain.bulk_requests import BulkKey, Result
from wallets.domain.errors import DomainError, IdempotencyKeyReused
from wallets.domain.receipts import ClientRequest, Receipt

ALL_OR_NOTHING = "all_or_nothing"
MODES = [ALL_OR_NOTHING, "each"]

# What was asked for, what is wrong with it, or what was answered to it before.
Asked = BulkItem | InvalidFields | Result


@dataclass(frozen=True, slots=True)
class BulkAsked:
    items: list[Asked]
    all_or_nothing: bool
    key: BulkKey | None

    @property
    def valid(self) -> list[BulkItem]:
        return [item for item in self.items if isinstance(item, BulkItem)]

    def answered(self, refused: Sequence[Result]) -> "BulkAsked":
        """Without what was ``refused`` before, which is not decided again."""
        before = {result["index"]: result for result in refused}
        items = [before.get(nth, item) for nth, item in enumerate(self.items)]
        return replace(self, items=items)


def bulk_request(request: Request, tenant_id: int | None) -> BulkAsked:
    """Raises ``Refusal``, ``InvalidFields``: what is wrong with one item is kept with it."""
    values, client = read_post(
        request, required={"items": _items}, optional={"mode": fields.one_of(MODES)}
    )
    mode = values.get("mode", ALL_OR_NOTHING)
    return BulkAsked(
        items=[
            _item(given, tenant_id, _derived_key(client, nth))
            for nth, given in enumerate(values["items"])
        ],
        all_or_nothing=mode == ALL_OR_NOTHING,
        key=(
            None
            if client is None
            else BulkKey(
                tenant_id=tenant_id,
                key=client.key,
                mode=mode,
                items_fingerprint=fingerprint({"items": values["items"]}),
            )
        ),
    )


def results(
    asked: Sequence[Asked], decided: Sequence[Receipt | DomainError | None]
) -> list[Result]:
    """Of every item that was accepted or refused; ``decided``: what became of the valid ones."""
    _name_what_differs(asked, decided)
    of_valid = iter(decided)
    outcomes = [next(of_valid, None) if isinstance(item, BulkItem) else item for item in asked]
    return [
        {"index": nth, **_answer(outcome)}
        for nth, outcome in enumerate(outcomes)
        if outcome is not None
    ]


def _answer(outcome: Receipt | DomainError | InvalidFields | Result) -> Result:
    if isinstance(outcome, dict):
        return outcome
    if isinstance(outcome, Receipt):
        return _accepted(outcome)
    envelope: Result = json.loads(exception_handler(outcome, {}).content)
    return envelope


def _accepted(receipt: Receipt) -> Result:
    data = {"wallet": wallet_json(receipt.wallet)}
    amount = 0
    if receipt.transaction is not None:
        data["transaction"] = transaction_json(receipt.transaction)
        amount = receipt.transaction.amount
    return {
        "detail": f"{amount} was added to the balance.",
        "message": DEPOSITED.as_json(),
        "status": 201,
        "data": data,
    }


def _items(value: object) -> list[dict[str, Any]]:
    """Raises ``Unfit``."""
    if isinstance(value, list) and 1 <= len(value) <= MOST_ITEMS:
        objects = [each for each in value if isinstance(each, dict)]
        if len(objects) == len(value):
            return objects
    raise Unfit("items_invalid", f"must be an array of 1 to {MOST_ITEMS} JSON objects")


def _item(given: dict[str, Any], tenant_id: int | None, derived_key: str | None) -> Asked:
    problems: list[Problem] = []
    values = fields.read_fields(
        given,
        place="body",
        problems=problems,
        required={
            "wallet": lambda value: wallet_reference(value, tenant_id),
            "amount": fields.amount,
        },
        optional={"currency": fields.currency, "idempotency_key": fields.idempotency_key},
    )
    if problems:
        return InvalidFields(problems)
    key = values.get("idempotency_key", derived_key)
    # As that of a single deposit, so that either replays the other.
    said = {name: value for name, value in values.items() if name in ("amount", "currency")}
    return BulkItem(
        wallet=values["wallet"],
        amount=values["amount"],
        currency=values.get("currency"),
        request=None if key is None else ClientRequest(key, fingerprint(said)),
    )


def _derived_key(client: ClientRequest | None, nth: int) -> str | None:
    """For an item without a key of its own: that of the request, and which of its items it is.

    The request's key is refused to other items, so these are the same whenever it is repeated.
    """
    if client is None:
        return None
    return f"bulk-{hashlib.sha256(client.key.encode()).hexdigest()[:40]}-{nth}"


def _name_what_differs(
    asked: Sequence[Asked], decided: Sequence[Receipt | DomainError | None]
) -> None:
    valid = [item for item in asked if isinstance(item, BulkItem)]
    reused = [
        (item, outcome)
        for item, outcome in zip(valid, decided, strict=False)
        if isinstance(outcome, IdempotencyKeyReused)
    ]
    for (_, outcome), names in zip(
        reused, fields_that_differ([item for item, _ in reused]), strict=True
    ):
        outcome.details["fields"] = names
