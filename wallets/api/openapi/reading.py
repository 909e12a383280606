"""What the endpoints that read many wallets, or one through time, take and give."""

from wallets.api import texts
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    DATABASE,
    PAGE_PARAMETERS,
    PAGE_REFUSALS,
    TIME,
    answer,
    moment_parameter,
    operation,
    response,
)
from wallets.api.openapi.schemas import BALANCE, CURRENCY

wallets = operation(
    "listWallets",
    "List the wallets of the key's account, newest first",
    description="Follow data.next and data.previous as they are. They keep the filters.",
    parameters=[
        *PAGE_PARAMETERS,
        moment_parameter("created_after", "Created at this moment or later."),
        moment_parameter("created_before", "Created earlier than this moment."),
        {
            "name": "min_balance",
            "in": "query",
            "description": "With this balance or more, in minor units.",
            "schema": BALANCE,
        },
        {"name": "currency", "in": "query", "schema": CURRENCY},
    ],
    success={
        "200": response(
            "A page.",
            "WalletsPage",
            {
                "page": answer(
                    200,
                    texts.WALLETS_PAGE.en,
                    texts.WALLETS_PAGE,
                    {"results": [examples.WALLET], "next": None, "previous": None},
                )
            },
        )
    },
    errors=[*PAGE_REFUSALS, "balance_invalid", "currency_invalid", *TIME, *DATABASE],
)
