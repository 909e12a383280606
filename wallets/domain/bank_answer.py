"""The body of a bank's answer, read strictly: a word that is not exactly known says nothing."""

import json
import re
from functools import cached_property
from typing import Any

REASON_LENGTH = 200
REFERENCE_LENGTH = 255

_FAILED = frozenset({"failed", "failure", "declined", "rejected"})
_PENDING = frozenset({"pending", "processing"})
_GOOD = frozenset({"success", "succeeded", "ok", "paid", "completed"})
_OTHER_BODY = re.compile(r"re-?use|mismatch|differ|another.(body|payload|request)", re.IGNORECASE)
# Minor units as text, perhaps with an empty fraction, as in 100.0.
_WHOLE_NUMBER = re.compile(r"([0-9]{1,19})(?:\.0{1,10})?")


class BankAnswer:
    """What a body says, and whether it speaks about the payment that was asked for."""

    def __init__(self, body: bytes, *, idempotency_key: str, amount: int, currency: str) -> None:
        self._fields = read_json_object(body)
        self._idempotency_key = idempotency_key
        self._amount = amount
        self._currency = currency

    @cached_property
    def _word(self) -> str:
        word = self._fields.get("data")
        return word if isinstance(word, str) else ""

    @property
    def says_paid(self) -> bool:
        """ "success", and no status in the body that denies it."""
        status = self._fields.get("status")
        return self._word == "success" and (status is None or _is_good_status(status))

    @property
    def says_refused(self) -> bool:
        status = self._fields.get("status")
        # {"data": "failed", "status": "paid"} contradicts itself. A number does not: like the HTTP
        # status around it, it may tell of the request and not of the payment.
        return self._word in _FAILED and not (
            isinstance(status, str) and (status in _GOOD or status in _PENDING)
        )

    @property
    def says_pending(self) -> bool:
        return self._word in _PENDING

    @property
    def says_not_found(self) -> bool:
        return self._word == "not_found"

    @property
    def hints_at_payment(self) -> bool:
        return self._word == "success" or self._word in _PENDING

    @property
    def speaks_of_another_body(self) -> bool:
        """Whether the key is said to have been used for something else."""
        texts = (self._fields.get(name) for name in ("code", "reason", "message", "data"))
        return any(isinstance(text, str) and _OTHER_BODY.search(text) for text in texts)

    @property
    def is_ours(self) -> bool:
        """Whether every key, amount and currency that was echoed is the one we sent."""
        key, currency = (
            self._fields.get("idempotency_key"),
            self._fields.get("currency"),
        )
        return (
            (key is None or key == self._idempotency_key)
            and (currency is None or currency == self._currency)
            and _is_amount(self._fields.get("amount"), self._amount)
        )

    @property
    def reason(self) -> str:
        for name in ("reason", "code", "message"):
            text = self._fields.get(name)
            if isinstance(text, str) and (cleaned := clean_text(text, REASON_LENGTH)):
                return cleaned
        return ""

    @property
    def reference(self) -> str | None:
        """The bank's own name for the payment. Our key, given back, is none."""
        reference = self._fields.get("reference")
        if isinstance(reference, int) and not isinstance(reference, bool):
            reference = str(reference)
        if not isinstance(reference, str) or reference == self._idempotency_key:
            return None
        return clean_text(reference, REFERENCE_LENGTH) or None


def _is_good_status(status: object) -> bool:
    # A bool is an int to Python, and True is no status.
    if isinstance(status, int) and not isinstance(status, bool):
        return 200 <= status < 300
    if not isinstance(status, str):
        return False
    return status in _GOOD or re.fullmatch("2[0-9][0-9]", status) is not None


def _is_amount(echoed: object, amount: int) -> bool:
    if echoed is None:
        return True
    if isinstance(echoed, bool):
        return False
    if isinstance(echoed, int):
        return echoed == amount
    number = _WHOLE_NUMBER.fullmatch(echoed) if isinstance(echoed, str) else None
    return number is not None and int(number[1]) == amount


def read_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``, or an empty one when there is none to be had.

    Two values for one name are no answer: which of them counts would be our guess. Numbers with a
    fraction stay text, as a binary fraction cannot hold every amount.
    """
    try:
        answer = json.loads(
            body.decode(),
            object_pairs_hook=_without_duplicates,
            parse_float=str,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def clean_text(text: str, length: int) -> str:
    """``text`` fit for a database and a log: printable, one line, at most ``length`` characters.

    NUL and lone surrogates, which PostgreSQL refuses, are not printable and go with the rest.
    """
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(text.split())[:length].rstrip()
