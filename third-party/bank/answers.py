"""What the bank says, word by word."""

import json
from dataclasses import dataclass, replace
from typing import Any

from bank.wire import Response

MAX_AMOUNT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON object that goes with it."""

    status: int
    fields: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def says_success(self) -> bool:
        return self.fields.get("data") == "success"

    def but(self, **fields: Any) -> "Answer":
        """The same answer with some fields changed or added."""
        return replace(self, fields=self.fields | fields)

    def response(self) -> Response:
        body = json.dumps(self.fields).encode()
        return Response(self.status, body, headers=self.headers)


def success(*, reference: str, key: str, amount: int, currency: str) -> Answer:
    return Answer(
        200,
        {
            "data": "success",
            "status": 200,
            "reference": reference,
            "idempotency_key": key,
            "amount": amount,
            "currency": currency,
        },
    )


def failed(*, http_status: int, reason: str) -> Answer:
    """A payment that was refused; the body says 503 also where the HTTP status says 200."""
    return Answer(http_status, {"data": "failed", "status": 503, "reason": reason})


def error(status: int, code: str, detail: str, **headers: str) -> Answer:
    """Not about a payment, but about the request."""
    return Answer(
        status,
        {"data": "error", "status": status, "code": code, "detail": detail},
        tuple(headers.items()),
    )


def invalid_request(detail: str) -> Answer:
    return Answer(
        400, {"data": "failed", "status": 400, "reason": "invalid_request", "detail": detail}
    )


ACCEPTED = Answer(202, {"data": "pending", "status": 202})
PENDING = Answer(200, {"data": "pending"})
NOT_FOUND = Answer(404, {"data": "not_found"})
KEY_REUSED = Answer(409, {"data": "conflict", "status": 409, "code": "idempotency_key_reused"})
