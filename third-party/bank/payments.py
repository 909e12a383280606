"""A payment as a client asks for it, read strictly."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from bank.answers import MAX_AMOUNT

MAX_TEXT = 255
_CURRENCY = re.compile("[A-Z]{3}")
_KEY_HEADERS = ("idempotency-key", "x-idempotency-key")


class InvalidError(Exception):
    """A request that says in plain words what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Payment:
    """``amount`` in minor units. ``fingerprint`` tells two bodies for one key apart."""

    key: str
    wallet_owner_ref: str
    amount: int
    currency: str
    fingerprint: str


def read_payment(body: bytes, headers: dict[str, str]) -> Payment:
    """Raises ``InvalidError``. A key in a header is not asked for, but must be the body's."""
    fields = read_json_object(body)
    key = _text(fields, "idempotency_key")
    for name in _KEY_HEADERS:
        # Header values arrive as Latin-1, whatever the client wrote.
        if name in headers and headers[name] not in (key, _as_latin_1(key)):
            raise InvalidError(f"the header {name} is not the idempotency_key of the body")
    currency = fields.get("currency")
    if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
        raise InvalidError("currency must be three capital letters")
    return Payment(
        key=key,
        wallet_owner_ref=_text(fields, "wallet_owner_ref"),
        amount=read_amount(fields.get("amount")),
        currency=currency,
        fingerprint=_fingerprint(fields),
    )


def read_json_object(body: bytes) -> dict[str, Any]:
    """Raises ``InvalidError`` for what is no JSON object or has a name twice."""
    try:
        fields = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidError("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise InvalidError("the body is not a JSON object")
    return fields


def read_amount(amount: object) -> int:
    # A bool is an int to Python.
    if not isinstance(amount, int) or isinstance(amount, bool) or not 1 <= amount <= MAX_AMOUNT:
        raise InvalidError(f"amount must be a whole number from 1 to {MAX_AMOUNT}")
    return amount


def _text(fields: dict[str, Any], name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        raise InvalidError(f"{name} must be 1 to {MAX_TEXT} printable characters")
    return text


def _as_latin_1(text: str) -> str:
    return text.encode().decode("latin-1")


def _fingerprint(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_CANONICAL.encode(fields).encode()).hexdigest()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Made once: json.loads and json.dumps would make one per request.
_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
_CANONICAL = json.JSONEncoder(sort_keys=True)
