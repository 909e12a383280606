"""The bank's statement, line by line: what a line may look like and what it says. Pure.

Columns, in any order, named by the first line: ``key`` (our idempotency key), ``reference``,
``amount`` (minor units), ``currency`` (ISO 4217), ``paid_at`` (ISO 8601 with an offset), and if the
bank has such a thing ``type``: payment (or empty) or return. Other columns are passed over.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from wallets.domain.bank_answer import REFERENCE_LENGTH
from wallets.models import MAX_BALANCE

_REQUIRED = ("key", "reference", "amount", "currency", "paid_at")
_OPTIONAL = "type"
_KEY_LENGTH = 255
_AMOUNT = re.compile(r"[0-9]{1,19}")
_CURRENCY = re.compile(r"[A-Z]{3}")


class LineType(StrEnum):
    PAYMENT = "payment"
    RETURN = "return"


_TYPES = {
    "": LineType.PAYMENT,
    "payment": LineType.PAYMENT,
    "return": LineType.RETURN,
    "returned": LineType.RETURN,
}


class BadStatement(Exception):
    """The file cannot be read as a statement. The text says what is wrong with it."""


class BadLine(BadStatement):
    """One line cannot be read. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Line:
    """``number``: the line's place in the file; a row that spans several counts its last."""

    number: int
    type: LineType
    # Ours if it is a UUID; other payments from the account have keys of their own.
    key: str
    reference: str
    amount: int
    currency: str
    paid_at: str

    @property
    def uuid(self) -> uuid.UUID | None:
        return _uuid(self.key)


class Columns:
    """Where each column is, by the first line. Raises ``BadStatement``."""

    def __init__(self, header: Sequence[str]) -> None:
        names = [name.strip().lower() for name in header]
        missing = [name for name in _REQUIRED if name not in names]
        if missing:
            raise BadStatement(
                f"The first line must name the columns {', '.join(_REQUIRED)}, separated by "
                f"commas; {', '.join(missing)} is not there."
            )
        known = [name for name in names if name in (*_REQUIRED, _OPTIONAL)]
        if len(known) != len(set(known)):
            raise BadStatement("The first line names a column twice.")
        self._places = {name: names.index(name) for name in known}
        self._count = len(names)

    def read(self, number: int, fields: Sequence[str]) -> Line:
        """Raises ``BadLine``."""
        if len(fields) != self._count:
            raise BadLine(f"{self._count} fields are expected, {len(fields)} are there")
        values = {name: fields[place].strip() for name, place in self._places.items()}
        return Line(
            number=number,
            type=_type(values.get(_OPTIONAL, "")),
            key=_key(values["key"]),
            reference=_text("reference", values["reference"], REFERENCE_LENGTH),
            amount=_amount(values["amount"]),
            currency=_currency(values["currency"]),
            paid_at=_paid_at(values["paid_at"]),
        )


def _type(text: str) -> LineType:
    found = _TYPES.get(text.lower())
    if found is None:
        raise BadLine(f"type accepts payment or return, not {text!r}")
    return found


def _key(text: str) -> str:
    key = _text("key", text, _KEY_LENGTH)
    ours = _uuid(key)
    # However the bank writes a UUID, it is the same key, and its lines are the same line twice.
    return key if ours is None else str(ours)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _text(name: str, text: str, length: int) -> str:
    # Bytes that are not UTF-8 arrive as lone surrogates, which are not printable either.
    if not text or len(text) > length or not text.isprintable():
        raise BadLine(f"{name} must have 1 to {length} printable characters")
    return text


def _amount(text: str) -> int:
    if not _AMOUNT.fullmatch(text) or not 1 <= int(text) <= MAX_BALANCE:
        raise BadLine(f"amount must be a whole number of minor units from 1, not {text!r}")
    return int(text)


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise BadLine(f"currency must be an ISO 4217 code, three capital letters, not {text!r}")
    return text


def _paid_at(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadLine(f"paid_at must be ISO 8601 with an offset, not {text!r}")
    return moment.isoformat()
