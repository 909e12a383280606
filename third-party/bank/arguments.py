"""What may be given to a fault, read from JSON or from the command line."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_SECONDS = 3600.0
MAX_HUGE_BYTES = 64 * 1024 * 1024
# A header must stay one line, and text of Latin-1.
_HEADER_TEXT = re.compile(r"[\x20-\x7e\xa0-\xff]{1,1000}")


@dataclass(frozen=True, slots=True)
class Argument:
    """``read`` raises ``ValueError`` saying what is accepted."""

    what: str
    default: Any
    read: Callable[[Any], Any]

    def describe(self) -> str:
        if self.default is None:
            return self.what
        default = self.default.code if isinstance(self.default, Status) else self.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        return f"{self.what}, default {shown}"


@dataclass(frozen=True, slots=True)
class Status:
    """A status to answer with, ``body`` as JSON unless it is text, paying first or not."""

    code: int
    body: Any = None
    pay: bool = False


def nothing() -> Argument:
    return Argument("", None, _read_nothing)


def seconds(default: float, what: str = "seconds") -> Argument:
    return Argument(what, default, _read_seconds)


def text(default: str, what: str) -> Argument:
    return Argument(what, default, _read_text)


def header(default: str, what: str) -> Argument:
    return Argument(what, default, _read_header)


def amount(what: str) -> Argument:
    return Argument(what, None, _read_amount)


def optional_text(what: str) -> Argument:
    return Argument(what, None, _read_text)


def size(default: int) -> Argument:
    return Argument("bytes", default, _read_size)


def status() -> Argument:
    return Argument('code, or {"code": .., "body": .., "pay": true}', Status(500), _read_status)


def _read_nothing(value: Any) -> None:
    raise ValueError("takes no argument")


def _read_seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("takes seconds, a number")
    if not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"takes seconds from 0 to {MAX_SECONDS:g}")
    return float(value)


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 1000 or not value.isprintable():
        raise ValueError("takes a text of 1 to 1000 printable characters")
    return value


def _read_header(value: Any) -> str:
    line = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(line, str) or _HEADER_TEXT.fullmatch(line) is None:
        raise ValueError("takes a number or one line of text")
    return line


def _read_amount(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("takes an amount, a whole number")
    return value


def _read_size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_HUGE_BYTES:
        raise ValueError(f"takes bytes from 1 to {MAX_HUGE_BYTES}")
    return value


def _read_status(value: Any) -> Status:
    given = value if isinstance(value, dict) else {"code": value}
    code, pay = given.get("code"), given.get("pay", False)
    if not isinstance(code, int) or isinstance(code, bool) or not 200 <= code <= 599:
        raise ValueError("takes a status from 200 to 599")
    if not isinstance(pay, bool) or not given.keys() <= {"code", "body", "pay"}:
        raise ValueError('takes {"code": 409, "body": anything, "pay": true or false}')
    return Status(code, given.get("body"), pay)
