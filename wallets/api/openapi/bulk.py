"""What the endpoint for many deposits takes and gives."""

from wallets.api import texts
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    BODY,
    DATABASE,
    KEY_HEADER,
    REPLAYED,
    answer,
    body,
    operation,
    response,
)

_KEY = KEY_HEADER | {
    "description": "Makes the whole request safe to repeat: the same key with the same items in "
    "the same order gets the first answer again, with others 422. Unique per account."
}
_ACCEPTED = {
    "index": 0,
    **answer(
        201,
        "150000 was added to the balance.",
        texts.DEPOSITED,
        {"wallet": examples.WALLET, "transaction": examples.DEPOSIT},
    ),
}
_REFUSED = {"index": 1, **examples.of_code("wallet_not_found")}

bulk = operation(
    "depositInBulk",
    "Make up to 1,000 deposits",
    description="As if they came one after the other, in one transaction: all or nothing, or each "
    "on its own. A result is what the deposit's own endpoint would have answered. Before "
    "all_or_nothing asks about wallets and balances, every item must be well-formed.",
    parameters=[_KEY],
    body=body(
        "BulkRequest",
        {
            "each": {
                "mode": "each",
                "items": [
                    {"wallet": 1, "amount": 150000, "idempotency_key": "pay-1"},
                    {"wallet": examples.WALLET["uuid"], "amount": 5, "currency": "IRR"},
                ],
            }
        },
    ),
    success={
        "201": response(
            "Every deposit was applied.",
            "BulkApplied",
            {
                "applied": answer(
                    201,
                    "1 of 1 deposits were accepted.",
                    texts.BULK_APPLIED,
                    {"accepted": 1, "refused": 0, "results": [_ACCEPTED]},
                )
            },
            headers=REPLAYED,
        ),
        "200": response(
            "With mode each: some deposits, or all, were refused.",
            "BulkAppliedInPart",
            {
                "in part": answer(
                    200,
                    "1 of 2 deposits were accepted.",
                    texts.BULK_IN_PART,
                    {"accepted": 1, "refused": 1, "results": [_ACCEPTED, _REFUSED]},
                )
            },
            headers=REPLAYED,
        ),
    },
    errors=[*BODY, "required", "items_invalid", "choice_invalid", "bulk_refused", *DATABASE],
)
