"""What each endpoint takes and gives. Views wear these as decorators."""

from wallets.api import texts
from wallets.api.catalogue import CATALOGUE
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    AMOUNT,
    BODY,
    DATABASE,
    KEY_HEADER,
    PAGE_PARAMETERS,
    PAGE_REFUSALS,
    REPLAYED,
    TIME,
    UNKNOWN_PARAMETERS,
    WALLET,
    answer,
    body,
    links,
    moment_parameter,
    operation,
    response,
)
from wallets.models import Status, Type

opening = operation(
    "openWallet",
    "Create a wallet",
    description="The body may be left out; the currency is then the service's default.",
    parameters=[KEY_HEADER],
    body=body("OpeningRequest", {"rials": {"currency": "IRR"}, "default": {}}, required=False),
    success={
        "201": response(
            "The wallet was created.",
            "WalletOpened",
            {
                "created": answer(
                    201,
                    "Wallet 1 was created.",
                    texts.OPENED,
                    {"wallet": examples.WALLET | {"balance": 0}},
                )
            },
            headers=REPLAYED,
            links=links("$response.body#/data/wallet/uuid"),
        )
    },
    errors=[*BODY, "currency_invalid", *DATABASE],
)

deposit = operation(
    "deposit",
    "Deposit into a wallet",
    description="Applied at once.",
    parameters=[WALLET, KEY_HEADER],
    body=body(
        "DepositRequest",
        {"amount": {"amount": 150000}, "with currency": {"amount": 150000, "currency": "IRR"}},
    ),
    success={
        "201": response(
            "The deposit was applied.",
            "MoneyMoved",
            {
                "deposited": answer(
                    201,
                    "150000 was added to the balance.",
                    texts.DEPOSITED,
                    {"wallet": examples.WALLET, "transaction": examples.DEPOSIT},
                )
            },
            headers=REPLAYED,
        )
    },
    errors=[
        *BODY,
        *AMOUNT,
        "wallet_not_found",
        "balance_overflow",
        "balance_limit_exceeded",
        *DATABASE,
    ],
)

withdrawal = operation(
    "scheduleWithdrawal",
    "Schedule a withdrawal",
    description="The balance is checked when the withdrawal is due, not when it is scheduled. "
    "Withdrawals of a wallet are decided in order of execute_at, then id.",
    parameters=[WALLET, KEY_HEADER],
    body=body(
        "WithdrawalRequest",
        {"withdrawal": {"amount": 50000, "execute_at": "2030-01-31T12:30:00+03:30"}},
    ),
    success={
        "201": response(
            "The withdrawal was scheduled.",
            "MoneyMoved",
            {
                "scheduled": answer(
                    201,
                    "The balance is checked when the withdrawal is due, not now.",
                    texts.SCHEDULED,
                    {"wallet": examples.WALLET, "transaction": examples.WITHDRAWAL},
                )
            },
            headers=REPLAYED,
        )
    },
    errors=[
        *BODY,
        *AMOUNT,
        *TIME,
        "execute_at_not_in_future",
        "withdrawal_limit_exceeded",
        "daily_limit_exceeded",
        "wallet_not_found",
        *DATABASE,
    ],
)

wallet = operation(
    "showWallet",
    "Show a wallet and its ten newest transactions",
    parameters=[WALLET],
    success={
        "200": response(
            "The wallet.",
            "WalletShown",
            {
                "wallet": answer(
                    200,
                    "The wallet and its newest transactions.",
                    texts.WALLET,
                    {
                        "wallet": examples.WALLET,
                        "recent_transactions": [examples.WITHDRAWAL, examples.DEPOSIT],
                    },
                )
            },
        )
    },
    errors=[*UNKNOWN_PARAMETERS, "wallet_not_found", *DATABASE],
)

transactions = operation(
    "listTransactions",
    "List the transactions of a wallet, newest first",
    description="Follow data.next and data.previous as they are. They keep the filters.",
    parameters=[
        WALLET,
        *PAGE_PARAMETERS,
        {"name": "type", "in": "query", "schema": {"type": "string", "enum": Type.values}},
        {"name": "status", "in": "query", "schema": {"type": "string", "enum": Status.values}},
        moment_parameter("created_after", "Created at this moment or later."),
        moment_parameter("created_before", "Created earlier than this moment."),
    ],
    success={
        "200": response(
            "A page.",
            "TransactionsPage",
            {
                "page": answer(
                    200,
                    "A page of transactions, newest first.",
                    texts.PAGE,
                    {
                        "results": [examples.WITHDRAWAL, examples.DEPOSIT],
                        "next": None,
                        "previous": None,
                    },
                )
            },
        )
    },
    errors=[
        *PAGE_REFUSALS,
        "choice_invalid",
        *TIME,
        "wallet_not_found",
        *DATABASE,
    ],
)

errors = operation(
    "listErrors",
    "List every error code, with what to do about it",
    tag="about",
    success={
        "200": response(
            "The catalogue.",
            "ErrorCatalogue",
            {
                "catalogue": answer(
                    200,
                    "Every error code of this API.",
                    texts.ERRORS,
                    {
                        "errors": [
                            CATALOGUE["wallet_not_found"].as_json(),
                        ]
                    },
                )
            },
        )
    },
    errors=UNKNOWN_PARAMETERS,
)

openapi = operation(
    "showSchema",
    "This document",
    tag="about",
    description="Not in the envelope. JSON unless format=yaml, or Accept, asks for YAML.",
    parameters=[
        {"name": "format", "in": "query", "schema": {"type": "string", "enum": ["json", "yaml"]}}
    ],
    success={
        "200": {
            "description": "OpenAPI 3.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "application/yaml": {"schema": {"type": "object"}},
            },
        }
    },
    errors=[*UNKNOWN_PARAMETERS, "choice_invalid"],
)

health = operation(
    "health",
    "Say whether the service can work",
    tag="about",
    success={
        "200": response(
            "The database answers.",
            "Healthy",
            {
                "healthy": answer(
                    200,
                    "The service is healthy.",
                    texts.HEALTHY,
                    {"database": "ok"},
                )
            },
        )
    },
    errors=DATABASE,
)
