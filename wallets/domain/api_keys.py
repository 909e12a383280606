"""Issue, check, rotate and revoke the keys of the API."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from wallets.domain.statements import for_database
from wallets.domain.statements.rows import ApiKeyRow
from wallets.models import ApiKey, Scope, Tenant

# wlt_<prefix>_<secret>: the prefix finds the row, and tells keys apart in lists and logs.
_FORM = re.compile(r"wlt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class InvalidApiKey(Exception):
    """The key is unknown, revoked or expired. Which of these, the bearer is not told."""


class ApiKeyRefused(Exception):
    """What was asked for cannot be done to a key, and nothing was changed. The text says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from."""

    tenant_id: int
    key_id: int
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """``secret`` is shown once and kept nowhere."""

    key: ApiKey
    secret: str


def issue(
    *,
    tenant: str,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None,
    now: datetime,
) -> IssuedKey:
    """A new key for the account called ``tenant``, which is opened if there is none.

    Raises ``ApiKeyRefused``.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in Scope.values]
    if unknown or not wanted:
        raise ApiKeyRefused(
            f"A key has one or more of the scopes {', '.join(Scope.values)}"
            + (f", not {', '.join(unknown)}." if unknown else ".")
        )
    if expires_at is not None and expires_at <= now:
        raise ApiKeyRefused("A key expires in the future.")
    for text, most in ((tenant, 100), (name, 100)):
        if not 1 <= len(text) <= most or not text.isprintable():
            raise ApiKeyRefused(f"Names have 1 to {most} printable characters.")
    with transaction.atomic():
        owner, _ = Tenant.objects.get_or_create(name=tenant, defaults={"created_at": now})
        return _create(owner, name, wanted, expires_at, now)


def rotate(*, prefix: str, grace: timedelta, now: datetime) -> IssuedKey:
    """A new key with the same name, account and scopes; the old one ends after ``grace``.

    Raises ``ApiKeyRefused``.
    """
    with transaction.atomic():
        old = _valid(prefix, now)
        ends = now + grace
        if old.expires_at is None or old.expires_at > ends:
            ApiKey.objects.filter(pk=old.pk).update(expires_at=ends)
        ApiKey.objects.filter(pk=old.pk).update(
            name=f"{old.name[:75]} (until {ends:%Y-%m-%d %H:%M})"
        )
        return _create(old.tenant, old.name, old.scopes, old.expires_at, now)


def revoke(*, prefix: str, now: datetime) -> ApiKey:
    """End a key at once. Raises ``ApiKeyRefused``."""
    with transaction.atomic():
        key = _valid(prefix, now)
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=now)
    return key


def authenticate(text: str) -> Caller:
    """Whose key this is. One indexed query, and at most one write a minute for each key.

    Raises ``InvalidApiKey``.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise InvalidApiKey
    row: ApiKeyRow | None = for_database().find_api_key(form[1])
    # An unknown prefix is compared too, so that both refusals take as long.
    digest = row.digest if row else "0" * 64
    if not hmac.compare_digest(_digest(text), digest) or row is None:
        raise InvalidApiKey
    expired = row.expires_at is not None and row.expires_at <= row.now
    if row.revoked_at is not None or expired:
        raise InvalidApiKey
    if row.last_used_at is None or row.last_used_at <= row.now - _USE_IS_NOTED_EVERY:
        _note_use(row.id, row.now)
    return Caller(tenant_id=row.tenant_id, key_id=row.id, scopes=frozenset(row.scopes))


def _note_use(pk: int, now: datetime) -> None:
    """Once a minute, whichever of the requests of that minute gets there first."""
    unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - _USE_IS_NOTED_EVERY)
    ApiKey.objects.filter(unnoted, pk=pk).update(last_used_at=now)


def _create(
    tenant: Tenant, name: str, scopes: list[str], expires_at: datetime | None, now: datetime
) -> IssuedKey:
    prefix = secrets.token_hex(6)
    secret = f"wlt_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    try:
        with transaction.atomic():
            key = ApiKey.objects.create(
                tenant=tenant,
                name=name,
                prefix=prefix,
                digest=_digest(secret),
                scopes=scopes,
                created_at=now,
                expires_at=expires_at,
            )
    except IntegrityError:
        raise ApiKeyRefused(
            f"The account {tenant} has a key called {name}: rotate or revoke it, or choose "
            "another name."
        ) from None
    return IssuedKey(key=key, secret=secret)


def _valid(prefix: str, now: datetime) -> ApiKey:
    key = (
        ApiKey.objects.select_for_update(of=("self",))
        .select_related("tenant")
        .filter(prefix=prefix, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        .first()
    )
    if key is None:
        raise ApiKeyRefused(f"There is no valid key with the prefix {prefix}.")
    return key


def listed() -> Iterable[ApiKey]:
    return (
        ApiKey.objects.select_related("tenant")
        .order_by("tenant__name", "name", F("created_at").desc())
        .iterator()
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
