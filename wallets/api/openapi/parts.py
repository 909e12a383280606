"""The parts that the descriptions of endpoints are made of."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema

from wallets.api.catalogue import CATALOGUE, Text
from wallets.api.openapi import examples
from wallets.api.openapi.schemas import IDEMPOTENCY_KEY, WALLET_ID, ref

View = TypeVar("View", bound=Callable[..., Any])
Json = dict[str, Any]

EVERYWHERE = ["bad_request", "host_not_allowed", "https_required", "method_not_allowed"]
UNKNOWN_PARAMETERS = ["unknown_field"]
# Of a request that is safe to repeat without a key.
PLAIN_BODY = [
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
]
BODY = [*PLAIN_BODY, "idempotency_key_reused", "request_in_progress"]
AMOUNT = [
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
TIME = ["time_invalid", "time_without_offset", "time_out_of_range"]
DATABASE = ["database_unavailable"]
KEYED = ["authentication_required", "api_key_invalid", "scope_missing", "too_many_requests"]

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
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "Sent when this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
WALLET = {
    "name": "wallet_id",
    "in": "path",
    "required": True,
    "description": "The wallet's id or its uuid.",
    "schema": WALLET_ID,
}
PAGE_PARAMETERS = [
    {
        "name": "limit",
        "in": "query",
        "description": "Most of them on a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "Taken from data.next or data.previous; not to be made up.",
        "schema": {"type": "string", "minLength": 1},
    },
]
PAGE_REFUSALS = [*UNKNOWN_PARAMETERS, "repeated_parameter", "limit_invalid", "cursor_invalid"]
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to repeat: the same key with the same body gets the "
    "first answer again, with another body 422. Unique per wallet and operation, and kept as "
    "long as what it made. A UUID is a good key.",
    "schema": IDEMPOTENCY_KEY,
}


def moment_parameter(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", "format": "date-time"},
    }


def operation(
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
    refusals = [*EVERYWHERE, *([] if public else KEYED), *errors, "internal_error"]
    described: Json = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": success | _error_responses(refusals),
        # Nobody ({}) is let in only where the service is run open, for development.
        "security": [] if public else [{"apiKey": []}, {}],
    }
    if description:
        described["description"] = description
    if body is not None:
        described["requestBody"] = body
    decorator: Callable[[View], View] = extend_schema(operation=described)
    return decorator


def _error_responses(codes: Sequence[str]) -> dict[str, Json]:
    statuses = sorted({CATALOGUE[code].status for code in codes})
    return {
        str(status): response(
            HTTPStatus(status).phrase,
            f"Error{status}",
            {code: examples.of_code(code) for code in codes if CATALOGUE[code].status == status},
            headers=_HEADERS.get(status),
        )
        for status in statuses
    }


def response(
    description: str,
    component: str,
    shown: dict[str, Json],
    *,
    headers: Json | None = None,
    links: Json | None = None,
) -> Json:
    described: Json = {
        "description": description,
        "content": {
            "application/json": {
                "schema": ref(component),
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }
    if headers:
        described["headers"] = headers
    if links:
        described["links"] = links
    return described


def body(component: str, shown: dict[str, Json], *, required: bool = True) -> Json:
    return {
        "required": required,
        "content": {
            "application/json": {
                "schema": ref(component),
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }


def answer(status: int, detail: str, message: Text, data: Json) -> Json:
    return {"detail": detail, "message": message.as_json(), "status": status, "data": data}


def links(expression: str) -> Json:
    return {
        name: {"operationId": name, "parameters": {"wallet_id": expression}}
        for name in ("showWallet", "deposit", "scheduleWithdrawal", "listTransactions")
    }
