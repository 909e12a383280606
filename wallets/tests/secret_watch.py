"""Listens to everything that is logged while tests run, and finds secrets in it.

A test in which one is logged fails with pytest, and the run fails with ``manage.py test``.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from wallet.logs import JsonFormatter

_SECRETS = {
    "a key of the API": re.compile(r"wlt_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"),
    "an Authorization header": re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,}"),
    "a password in an address": re.compile(r"\w://[^/\s:@]+:[^/\s@]+@"),
}
_formatter = JsonFormatter()
_handle = logging.Logger.handle
# What and where; never the secret itself, which would end up in the log of the run.
leaks: list[str] = []


def listen() -> None:
    """All records that pass their logger's level, whatever its handlers do with them.

    The service's own are not printed: what a test expects to be logged it asserts, and the rest
    would bury the results. They are made all the same.
    """
    logging.Logger.handle = _watched  # type: ignore[assignment,method-assign]
    for handler in logging.getLogger("wallets").handlers:
        handler.setLevel(logging.CRITICAL)


def secrets_in(text: str) -> list[str]:
    found = [what for what, pattern in _SECRETS.items() if pattern.search(text)]
    return [*found, "DJANGO_SECRET_KEY"] if settings.SECRET_KEY in text else found


@contextmanager
def on_purpose() -> Iterator[list[str]]:
    """What leaks in here is taken back."""
    before = len(leaks)
    here: list[str] = []
    try:
        yield here
    finally:
        here += leaks[before:]
        del leaks[before:]


def _watched(logger: logging.Logger, record: logging.LogRecord) -> None:
    # As it would be written, with what came in through ``extra`` and the exception.
    found = secrets_in(_formatter.format(record))
    leaks.extend(f"{what} in the log of {record.name}, {record.pathname}" for what in found)
    _handle(logger, record)
