"""Read settings from the environment, loudly.

Every reader returns the default when the variable is unset or empty, and raises
``ImproperlyConfigured`` naming the variable and what it accepts when the value is unusable.
"""

import os
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def _raw(name: str) -> str:
    return os.environ.get(name, "").strip()


def _refuse(name: str, value: str, accepts: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}={value!r} is not usable: it accepts {accepts}.")


def text(name: str, default: str = "") -> str:
    return _raw(name) or default


def flag(name: str, default: bool) -> bool:
    value = _raw(name)
    if not value:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise _refuse(name, value, "True or False")


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = _raw(name)
    if not value:
        return default
    accepts = f"a whole number from {minimum} to {maximum}"
    try:
        number = int(value)
    except ValueError:
        raise _refuse(name, value, accepts) from None
    if not minimum <= number <= maximum:
        raise _refuse(name, value, accepts)
    return number


def decimal(name: str, default: float, *, minimum: float, maximum: float) -> float:
    value = _raw(name)
    if not value:
        return default
    accepts = f"a number from {minimum:g} to {maximum:g}"
    try:
        number = float(value)
    except ValueError:
        raise _refuse(name, value, accepts) from None
    # Written so that NaN, which compares false with everything, is refused too.
    if not minimum <= number <= maximum:
        raise _refuse(name, value, accepts)
    return number


def choice(name: str, default: str, choices: Sequence[str]) -> str:
    value = _raw(name)
    if not value:
        return default
    if value not in choices:
        raise _refuse(name, value, "one of " + ", ".join(choices))
    return value


def names(name: str, default: Sequence[str] = ()) -> list[str]:
    """A comma-separated list; blanks around and between commas are dropped."""
    value = _raw(name)
    if not value:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def optional_path(name: str, default: str) -> str:
    """Unlike the other readers: set but empty means "none", unset means the default."""
    value = os.environ.get(name)
    return default if value is None else value.strip()
