"""What the endpoints about the life of a withdrawal take and give."""

from wallets.api import texts
from wallets.api.openapi import examples
from wallets.api.openapi.parts import (
    DATABASE,
    KEY_HEADER,
    PAGE_PARAMETERS,
    PAGE_REFUSALS,
    PLAIN_BODY,
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
_NO_KEY_NEEDED = KEY_HEADER | {"description": "Not needed: the request is safe to repeat as it is."}

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
    parameters=[WALLET, _WITHDRAWAL, _NO_KEY_NEEDED],
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
        )
    },
    errors=[
        *PLAIN_BODY,
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
    parameters=[WALLET, _WITHDRAWAL, _NO_KEY_NEEDED],
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
        )
    },
    errors=[
        *PLAIN_BODY,
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
