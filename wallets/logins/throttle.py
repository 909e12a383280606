"""How often somebody may try to log in, for all server processes together.

Counted in a window that slides, in three ways:

- a name from one address: the limit. Nobody else is affected, the name's owner neither.
- a name from everywhere: ten times the limit, against guessing from many addresses. Then that
  name has to wait, and nobody else.
- an address for all names: ten times the limit, against trying one password on many names; only
  for public addresses, because a private one is a proxy of ours, behind which everybody is.

Attempts that are refused do not count, so no lock lasts longer than the window.
"""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from wallets.logins.models import LoginAttempt

_WIDER = 10
_SALT = "wallets.logins"


@dataclass(frozen=True, slots=True)
class Attempt:
    pk: int
    name: str
    address: str


class TooManyAttempts(Exception):
    """The password is not looked at."""


def begin(*, name: str, address: str) -> Attempt:
    """Count an attempt before its password is looked at, so that parallel ones count each other.

    Raises ``TooManyAttempts``.
    """
    since = Now() - timedelta(seconds=settings.ADMIN_LOGIN_WINDOW_SECONDS)
    LoginAttempt.objects.filter(at__lt=since).delete()
    row = LoginAttempt.objects.create(name=_digest(name.casefold()), address=_digest(address))
    limit = settings.ADMIN_LOGIN_FAILURES
    counted = [
        (Q(name=row.name, address=row.address), limit),
        (Q(name=row.name), limit * _WIDER),
    ]
    if _is_public(address):
        counted.append((Q(address=row.address), limit * _WIDER))
    for which, most in counted:
        if LoginAttempt.objects.filter(which).count() > most:
            row.delete()
            raise TooManyAttempts
    return Attempt(pk=row.pk, name=row.name, address=row.address)


def succeeded(attempt: Attempt) -> None:
    LoginAttempt.objects.filter(name=attempt.name, address=attempt.address).delete()


def client_address(request: HttpRequest) -> str:
    """The last address that a proxy of ours has seen; an IPv6 host owns a whole /64."""
    address = str(request.META.get("REMOTE_ADDR", ""))
    if settings.TRUST_X_FORWARDED_FOR:
        # What stands before the last was sent by the client and may say anything.
        address = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _digest(text: str) -> str:
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()
