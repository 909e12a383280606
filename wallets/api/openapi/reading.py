"""What the endpoints that read many wallets, or one through time, take and give."""

from wallets.api import texts
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    DATABASE,
    PAGE_PARAMETERS,
    PAGE_REFUSALS,
    TIME,
    UNKNOWN_PARAMETERS,
    WALLET,
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

balance = operation(
    "showBalance",
    "Tell the balance at a moment of the past",
    description="Once everything had been done that was done by then. It never changes again.",
    parameters=[WALLET, moment_parameter("at", "Not later than now.") | {"required": True}],
    success={
        "200": response(
            "The balance.",
            "BalanceShown",
            {
                "balance": answer(
                    200,
                    texts.BALANCE_AT.en,
                    texts.BALANCE_AT,
                    {
                        "wallet_id": 1,
                        "currency": "IRR",
                        "at": "2026-11-27T16:00:00.000000Z",
                        "balance": 150000,
                    },
                )
            },
        )
    },
    errors=[
        *UNKNOWN_PARAMETERS,
        "repeated_parameter",
        "required",
        *TIME,
        "moment_in_future",
        "wallet_not_found",
        *DATABASE,
    ],
)

_statement_shown = response(
    "The statement.",
    "StatementShown",
    {
        "statement": answer(
            200,
            texts.STATEMENT.en,
            texts.STATEMENT,
            {
                "wallet_id": 1,
                "currency": "IRR",
                "from": "2026-11-01T00:00:00.000000Z",
                "to": "2026-11-27T16:00:00.000000Z",
                "opening_balance": 0,
                "closing_balance": 150000,
                "entries": [
                    {
                        "id": 1,
                        "at": "2026-11-27T15:45:56.123456Z",
                        "kind": "deposit",
                        "transaction_id": 7,
                        "amount": 150000,
                        "balance_after": 150000,
                    }
                ],
                "next": None,
            },
        )
    },
)
_statement_shown["content"]["text/csv"] = {"schema": {"type": "string"}}

statement_of_period = operation(
    "showStatement",
    "Show what moved in a period, with the balances before and after it",
    description="Oldest first. With format=csv all of it at once, without limit and cursor.",
    parameters=[
        WALLET,
        moment_parameter("from", "From this moment on; left out, since the wallet was created."),
        moment_parameter("to", "Earlier than this moment, which may not be later than now."),
        {"name": "format", "in": "query", "schema": {"type": "string", "enum": ["json", "csv"]}},
        *PAGE_PARAMETERS,
    ],
    success={"200": _statement_shown},
    errors=[
        *PAGE_REFUSALS,
        "choice_invalid",
        *TIME,
        "moment_in_future",
        "period_reversed",
        "wallet_not_found",
        *DATABASE,
    ],
)
