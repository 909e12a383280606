from collections.abc import Sequence
from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import REPLAYED
from wallets.api.authentication import tenant_of
from wallets.api.bulk import BulkAsked, bulk_request, results
from wallets.api.envelope import Envelope
from wallets.api.limits import wallet_limits
from wallets.api.openapi.bulk import bulk as documented
from wallets.api.refusals import Refusal
from wallets.api.texts import BULK_APPLIED, BULK_IN_PART
from wallets.api.views.base import ApiView
from wallets.domain.bulk_deposits import deposit_many
from wallets.domain.bulk_requests import Result, answer_once
from wallets.domain.errors import DomainError
from wallets.domain.receipts import Receipt
from wallets.models import Scope

Decided = list[Receipt | DomainError | None]


class BulkDepositsView(ApiView):
    scopes: ClassVar = {"POST": Scope.DEPOSITS_WRITE}

    @documented
    def post(self, request: Request) -> Envelope:
        asked = bulk_request(request, tenant_of(request))
        all_replayed = False

        def work(refused: Sequence[Result] | None) -> list[Result]:
            nonlocal all_replayed
            left = asked if refused is None else asked.answered(refused)
            decided = _decide(left)
            told = results(left.items, decided)
            if asked.all_or_nothing and any(result["status"] != 201 for result in told):
                raise Refusal("bulk_refused", "No deposit was made.", results=told)
            all_replayed = all(isinstance(each, Receipt) and each.replayed for each in decided)
            return told

        told, repeated = answer_once(asked.key, work)
        refused = sum(result["status"] != 201 for result in told)
        return _answer(told, refused, replayed=repeated or (all_replayed and not refused))


def _decide(asked: BulkAsked) -> Decided:
    whole = len(asked.valid) == len(asked.items)
    if asked.all_or_nothing and not whole:
        return [None] * len(asked.valid)
    return deposit_many(
        items=asked.valid, all_or_nothing=asked.all_or_nothing, limits=wallet_limits()
    )


def _answer(told: list[Result], refused: int, *, replayed: bool) -> Envelope:
    accepted = len(told) - refused
    return Envelope(
        200 if refused else 201,
        f"{accepted} of {len(told)} deposits were accepted.",
        BULK_IN_PART if refused else BULK_APPLIED,
        {"accepted": accepted, "refused": refused, "results": told},
        {REPLAYED: "true"} if replayed else None,
    )
