"""What each endpoint takes and gives. Views wear these as decorators."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema

from wallets.api import texts
from wallets.api.catalogue import CATALOGUE, Text
from wallets.api.openapi import examples
from wallets.api.openapi.schemas import IDEMPOTENCY_KEY, WALLET_ID, ref
from wallets.models import Status, Type

View = TypeVar("View", bound=Callable[..., Any])
Json = dict[str, Any]

_EVERYWHERE = ["bad_request", "host_not_allowed", "https_required", "method_not_allowed"]
_UNKNOWN_PARAMETERS = ["unknown_field"]
_BODY = [
    "malformed_json",
    "number_not_plain",
    "json_too_deep",
    "body_not_utf8",
    "body_incomplete",
    "body_not_object",
    "duplicate_key",
    "unknown_field",
    "idempotency_key_invalid",
    "length_required",
    "body_too_large",
    "unsupported_media_type",
    "idempotency_key_reused",
    "request_in_progress",
]
_AMOUNT = [
    "required",
    "amount_not_integer",
    "amount_has_fraction",
    "amount_is_text",
    "amount_has_foreign_digits",
    "amount_has_separators",
    "amount_out_of_range",
    "currency_invalid",
    "currency_mismatch",
]
_TIME = ["time_invalid", "time_without_offset", "time_out_of_range"]
_DATABASE = ["database_unavailable"]
_KEYED = ["authentication_required", "api_key_invalid", "scope_missing", "too_many_requests"]

_RETRY_AFTER = {
    "description": "Seconds to wait before trying again.",
    "schema": {"type": "integer", "minimum": 1},
}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}},
    405: {"Allow": {"description": "The methods that exist.", "schema": {"type": "string"}}},
    409: {"Retry-After": _RETRY_AFTER},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "Sent when this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_WALLET_ID = {
    "name": "wallet_id",
    "in": "path",
    "required": True,
    "description": "The wallet's id or its uuid.",
    "schema": WALLET_ID,
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to repeat: the same key with the same body gets the "
    "first answer again, with another body 422. Unique per wallet and operation, and kept as "
    "long as what it made. A UUID is a good key.",
    "schema": IDEMPOTENCY_KEY,
}


def _operation(
    name: str,
    summary: str,
    *,
    tag: str = "wallets",
    description: str = "",
    success: dict[str, Json],
    errors: Sequence[str],
    parameters: Sequence[Json] = (),
    body: Json | None = None,
) -> Callable[[View], View]:
    public = tag == "about"
    refusals = [*_EVERYWHERE, *([] if public else _KEYED), *errors, "internal_error"]
    operation: Json = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": success | _error_responses(refusals),
        # Nobody ({}) is let in only where the service is run open, for development.
        "security": [] if public else [{"apiKey": []}, {}],
    }
    if description:
        operation["description"] = description
    if body is not None:
        operation["requestBody"] = body
    decorator: Callable[[View], View] = extend_schema(operation=operation)
    return decorator


def _error_responses(codes: Sequence[str]) -> dict[str, Json]:
    statuses = sorted({CATALOGUE[code].status for code in codes})
    return {
        str(status): _response(
            HTTPStatus(status).phrase,
            f"Error{status}",
            {code: examples.of_code(code) for code in codes if CATALOGUE[code].status == status},
            headers=_HEADERS.get(status),
        )
        for status in statuses
    }


def _response(
    description: str,
    component: str,
    shown: dict[str, Json],
    *,
    headers: Json | None = None,
    links: Json | None = None,
) -> Json:
    response: Json = {
        "description": description,
        "content": {
            "application/json": {
                "schema": ref(component),
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }
    if headers:
        response["headers"] = headers
    if links:
        response["links"] = links
    return response


def _body(component: str, shown: dict[str, Json], *, required: bool = True) -> Json:
    return {
        "required": required,
        "content": {
            "application/json": {
                "schema": ref(component),
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }


def _answer(status: int, detail: str, message: Text, data: Json) -> Json:
    return {"detail": detail, "message": message.as_json(), "status": status, "data": data}


def _links(expression: str) -> Json:
    return {
        name: {"operationId": name, "parameters": {"wallet_id": expression}}
        for name in ("showWallet", "deposit", "scheduleWithdrawal", "listTransactions")
    }


opening = _operation(
    "openWallet",
    "Create a wallet",
    description="The body may be left out; the currency is then the service's default.",
    parameters=[_IDEMPOTENCY_KEY],
    body=_body("OpeningRequest", {"rials": {"currency": "IRR"}, "default": {}}, required=False),
    success={
        "201": _response(
            "The wallet was created.",
            "WalletOpened",
            {
                "created": _answer(
                    201,
                    "Wallet 1 was created.",
                    texts.OPENED,
                    {"wallet": examples.WALLET | {"balance": 0}},
                )
            },
            headers=_REPLAYED,
            links=_links("$response.body#/data/wallet/uuid"),
        )
    },
    errors=[*_BODY, "currency_invalid", *_DATABASE],
)

deposit = _operation(
    "deposit",
    "Deposit into a wallet",
    description="Applied at once.",
    parameters=[_WALLET_ID, _IDEMPOTENCY_KEY],
    body=_body(
        "DepositRequest",
        {"amount": {"amount": 150000}, "with currency": {"amount": 150000, "currency": "IRR"}},
    ),
    success={
        "201": _response(
            "The deposit was applied.",
            "MoneyMoved",
            {
                "deposited": _answer(
                    201,
                    "150000 was added to the balance.",
                    texts.DEPOSITED,
                    {"wallet": examples.WALLET, "transaction": examples.DEPOSIT},
                )
            },
            headers=_REPLAYED,
        )
    },
    errors=[
        *_BODY,
        *_AMOUNT,
        "wallet_not_found",
        "balance_overflow",
        "balance_limit_exceeded",
        *_DATABASE,
    ],
)

withdrawal = _operation(
    "scheduleWithdrawal",
    "Schedule a withdrawal",
    description="The balance is checked when the withdrawal is due, not when it is scheduled. "
    "Withdrawals of a wallet are decided in order of execute_at, then id.",
    parameters=[_WALLET_ID, _IDEMPOTENCY_KEY],
    body=_body(
        "WithdrawalRequest",
        {"withdrawal": {"amount": 50000, "execute_at": "2030-01-31T12:30:00+03:30"}},
    ),
    success={
        "201": _response(
            "The withdrawal was scheduled.",
            "MoneyMoved",
            {
                "scheduled": _answer(
                    201,
                    "The balance is checked when the withdrawal is due, not now.",
                    texts.SCHEDULED,
                    {"wallet": examples.WALLET, "transaction": examples.WITHDRAWAL},
                )
            },
            headers=_REPLAYED,
        )
    },
    errors=[
        *_BODY,
        *_AMOUNT,
        *_TIME,
        "execute_at_not_in_future",
        "withdrawal_limit_exceeded",
        "daily_limit_exceeded",
        "wallet_not_found",
        *_DATABASE,
    ],
)

wallet = _operation(
    "showWallet",
    "Show a wallet and its ten newest transactions",
    parameters=[_WALLET_ID],
    success={
        "200": _response(
            "The wallet.",
            "WalletShown",
            {
                "wallet": _answer(
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
    errors=[*_UNKNOWN_PARAMETERS, "wallet_not_found", *_DATABASE],
)

transactions = _operation(
    "listTransactions",
    "List the transactions of a wallet, newest first",
    description="Follow data.next and data.previous as they are. They keep the filters.",
    parameters=[
        _WALLET_ID,
        {
            "name": "limit",
            "in": "query",
            "description": "Most transactions on a page.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
        },
        {
            "name": "cursor",
            "in": "query",
            "description": "Taken from data.next or data.previous; not to be made up.",
            "schema": {"type": "string", "minLength": 1},
        },
        {"name": "type", "in": "query", "schema": {"type": "string", "enum": Type.values}},
        {"name": "status", "in": "query", "schema": {"type": "string", "enum": Status.values}},
        {
            "name": "created_after",
            "in": "query",
            "description": "Created at this moment or later.",
            "schema": {"type": "string", "format": "date-time"},
        },
        {
            "name": "created_before",
            "in": "query",
            "description": "Created earlier than this moment.",
            "schema": {"type": "string", "format": "date-time"},
        },
    ],
    success={
        "200": _response(
            "A page.",
            "TransactionsPage",
            {
                "page": _answer(
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
        *_UNKNOWN_PARAMETERS,
        "repeated_parameter",
        "limit_invalid",
        "choice_invalid",
        "cursor_invalid",
        *_TIME,
        "wallet_not_found",
        *_DATABASE,
    ],
)

errors = _operation(
    "listErrors",
    "List every error code, with what to do about it",
    tag="about",
    success={
        "200": _response(
            "The catalogue.",
            "ErrorCatalogue",
            {
                "catalogue": _answer(
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
    errors=_UNKNOWN_PARAMETERS,
)

openapi = _operation(
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
    errors=[*_UNKNOWN_PARAMETERS, "choice_invalid"],
)

health = _operation(
    "health",
    "Say whether the service can work",
    tag="about",
    success={
        "200": _response(
            "The database answers.",
            "Healthy",
            {
                "healthy": _answer(
                    200,
                    "The service is healthy.",
                    texts.HEALTHY,
                    {"database": "ok"},
                )
            },
        )
    },
    errors=_DATABASE,
)
