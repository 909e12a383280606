"""What the endpoints about the life of a withdrawal take and give."""

from wallets.api import texts
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    BODY,
    DATABASE,
    KEY_HEADER,
    PAGE_PARAMETERS,
    PAGE_REFUSALS,
    REPLAYED,
    TIME,
    UNKNOWN_PARAMETERS,
    WALLET,
    Json,
    answer,
    body,
    moment_parameter,
    operation,
    response,
)
from wallets.api.openapi.schemas import WITHDRAWAL_ID
from wallets.models import Status

_WITHDRAWAL: Json = {
    "name": "withdrawal_id",
    "in": "path",
    "required": True,
    "description": "The withdrawal's id.",
    "schema": WITHDRAWAL_ID,
}
_SAFE = "Safe to repeat as it is, with or without a key."

listed = operation(
    "listWithdrawals",
    "List the withdrawals of a wallet, newest first",
    description="Follow data.next and data.previous as they are. They keep the filters.",
    parameters=[
        WALLET,
        *PAGE_PARAMETERS,
        {"name": "status", "in": "query", "schema": {"type": "string", "enum": Status.values}},
        moment_parameter("execute_after", "Due at this moment or later."),
        moment_parameter("execute_before", "Due earlier than this moment."),
        {
            "name": "in_doubt",
            "in": "query",
            "description": "Only those of which it is, or is not, unknown whether they were paid.",
            "schema": {"type": "string", "enum": ["true", "false"]},
        },
    ],
    success={
        "200": response(
            "A page.",
            "TransactionsPage",
            {
                "page": answer(
                    200,
                    "A page of withdrawals, newest first.",
                    texts.WITHDRAWALS_PAGE,
                    {"results": [examples.WITHDRAWAL], "next": None, "previous": None},
                )
            },
        )
    },
    errors=[*PAGE_REFUSALS, "choice_invalid", *TIME, "wallet_not_found", *DATABASE],
)

shown = operation(
    "showWithdrawal",
    "Show a withdrawal, its history and the calls to the bank",
    parameters=[WALLET, _WITHDRAWAL],
    success={
        "200": response(
            "The withdrawal.",
            "WithdrawalShown",
            {
                "withdrawal": answer(
                    200,
                    "The withdrawal and its history.",
                    texts.WITHDRAWAL,
                    {
                        "withdrawal": examples.WITHDRAWAL,
                        "history": [examples.SCHEDULED],
                        "history_truncated": False,
                        "bank_calls": {"transfers": 0, "inquiries": 0, "last": None},
                    },
                )
            },
        )
    },
    errors=[*UNKNOWN_PARAMETERS, "wallet_not_found", "withdrawal_not_found", *DATABASE],
)

cancelling = operation(
    "cancelWithdrawal",
    "Cancel a withdrawal that is SCHEDULED",
    description="It ends CANCELLED, and no money moves. One that is CANCELLED already is answered "
    f"with the same. {_SAFE}",
    parameters=[WALLET, _WITHDRAWAL, KEY_HEADER],
    body=body("Nothing", {"nothing": {}}, required=False),
    success={
        "200": response(
            "It is cancelled.",
            "WithdrawalChanged",
            {
                "cancelled": answer(
                    200,
                    texts.CANCELLED.en,
                    texts.CANCELLED,
                    {"withdrawal": examples.WITHDRAWAL | {"status": "CANCELLED"}},
                )
            },
            headers=REPLAYED,
        )
    },
    errors=[
        *BODY,
        "wallet_not_found",
        "withdrawal_not_found",
        "withdrawal_not_cancellable",
        *DATABASE,
    ],
)

rescheduling = operation(
    "rescheduleWithdrawal",
    "Move a withdrawal that is SCHEDULED to another time",
    description=f"Its id and its key stay the same. {_SAFE}",
    parameters=[WALLET, _WITHDRAWAL, KEY_HEADER],
    body=body("RescheduleRequest", {"later": {"execute_at": "2030-02-01T12:30:00+03:30"}}),
    success={
        "200": response(
            "It is scheduled for that time.",
            "WithdrawalChanged",
            {
                "rescheduled": answer(
                    200,
                    texts.RESCHEDULED.en,
                    texts.RESCHEDULED,
                    {
                        "withdrawal": examples.WITHDRAWAL
                        | {"execute_at": "2030-02-01T09:00:00.000000Z"}
                    },
                )
            },
            headers=REPLAYED,
        )
    },
    errors=[
        *BODY,
        "required",
        *TIME,
        "execute_at_not_in_future",
        "daily_limit_exceeded",
        "wallet_not_found",
        "withdrawal_not_found",
        "withdrawal_not_reschedulable",
        *DATABASE,
    ],
)

_COVERED = {
    "id": 8,
    "execute_at": "2030-01-31T09:00:00.000000Z",
    "amount": 50000,
    "covered": True,
    "missing": 0,
    "balance_after": 100000,
}
_SHORT = {
    "id": 9,
    "execute_at": "2030-02-28T09:00:00.000000Z",
    "amount": 120000,
    "covered": False,
    "missing": 20000,
    "balance_after": 100000,
}
projection = operation(
    "projectWithdrawals",
    "Foresee which scheduled withdrawals will be covered",
    description="From the balance of now, and in the order in which they will be decided: by "
    "execute_at, then id. What is not covered does not block the next. The first 1,000.",
    parameters=[WALLET],
    success={
        "200": response(
            "What will be covered, if nothing else happens.",
            "Projected",
            {
                "projection": answer(
                    200,
                    texts.PROJECTION.en,
                    texts.PROJECTION,
                    {
                        "balance": 150000,
                        "withdrawals": [_COVERED, _SHORT],
                        "totals": {
                            "scheduled": {"count": 2, "amount": 170000},
                            "covered": {"count": 1, "amount": 50000},
                            "not_covered": {"count": 1, "amount": 120000},
                        },
                        "balance_after": 100000,
                        "first_shortfall": _SHORT,
                        "truncated": False,
                    },
                )
            },
        )
    },
    errors=[*UNKNOWN_PARAMETERS, "wallet_not_found", *DATABASE],
)
