"""Read the fields of a body and the parameters of a query, and say everything that is wrong."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from wallets.api.currencies import CURRENCIES
from wallets.api.idempotency import KEY
from wallets.api.refusals import Problem, Unfit
from wallets.models import MAX_BALANCE

Parse = Callable[[Any], Any]

_SEPARATED_DIGITS = re.compile(r"[0-9][\s,_'٬،][0-9]")
_JSON_TYPES = {bool: "a boolean", type(None): "null", list: "an array", dict: "an object"}


def read_fields(
    given: Mapping[str, Any],
    *,
    place: str,
    problems: list[Problem],
    required: Mapping[str, Parse] | None = None,
    optional: Mapping[str, Parse] | None = None,
) -> dict[str, Any]:
    """The parsed values of the fields that are there; what is wrong is added to ``problems``."""
    required, optional = required or {}, optional or {}
    parsers = {**required, **optional}
    values = {}
    for name, value in given.items():
        parse = parsers.get(name)
        if parse is None:
            problems.append(Problem(place, name, "unknown_field", "is not known here"))
            continue
        try:
            values[name] = parse(value)
        except Unfit as unfit:
            problems.append(Problem(place, name, unfit.code, unfit.detail))
    for name in required:
        if name not in given:
            problems.append(Problem(place, name, "required", "is required"))
    return values


def amount(value: object) -> int:
    """Minor units. Raises ``Unfit``."""
    if isinstance(value, str):
        raise _amount_in_text(value)
    if isinstance(value, float):
        raise Unfit("amount_has_fraction", "must have neither a decimal point nor an exponent")
    if type(value) is not int:
        found = _JSON_TYPES.get(type(value), "something else")
        raise Unfit("amount_not_integer", f"must be a JSON integer, not {found}")
    if not 1 <= value <= MAX_BALANCE:
        raise Unfit("amount_out_of_range", f"must be between 1 and {MAX_BALANCE}")
    return value


def _amount_in_text(text: str) -> Unfit:
    if any(character.isdecimal() and not character.isascii() for character in text):
        return Unfit(
            "amount_has_foreign_digits", "must be a JSON integer with the digits 0-9, not text"
        )
    if _SEPARATED_DIGITS.search(text):
        return Unfit("amount_has_separators", "must be a JSON integer without separators, not text")
    return Unfit("amount_is_text", "must be a JSON integer, not a string")


def currency(value: object) -> str:
    """Raises ``Unfit``."""
    if not isinstance(value, str) or value not in CURRENCIES:
        raise Unfit("currency_invalid", "must be the three capital letters of an ISO 4217 code")
    return value


def idempotency_key(value: object) -> str:
    """Raises ``Unfit``."""
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise Unfit("idempotency_key_invalid", "must have 1 to 128 printable ASCII characters")
    return value


def limit(text: str) -> int:
    """Raises ``Unfit``."""
    if not re.fullmatch(r"[1-9][0-9]?|100", text):
        raise Unfit("limit_invalid", "must be a whole number from 1 to 100")
    return int(text)


def balance(text: str) -> int:
    """Minor units. Raises ``Unfit``."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text) or int(text) > MAX_BALANCE:
        raise Unfit("balance_invalid", f"must be a whole number from 0 to {MAX_BALANCE}")
    return int(text)


def one_of(choices: list[str]) -> Callable[[object], str]:
    def choice(text: object) -> str:
        if not isinstance(text, str) or text not in choices:
            raise Unfit("choice_invalid", f"must be one of {', '.join(choices)}")
        return text

    return choice


def flag(text: str) -> bool:
    """Raises ``Unfit``."""
    return one_of(["true", "false"])(text) == "true"
