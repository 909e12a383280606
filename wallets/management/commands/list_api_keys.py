"""List the keys of the API."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from wallets.domain.api_keys import listed
from wallets.models import ApiKey
from wallets.models.clock import database_now


class Command(BaseCommand):
    help = "List the API keys: never the keys themselves, which are kept nowhere."

    def handle(self, *args: Any, **options: Any) -> None:
        now = database_now()
        for key in listed():
            self.stdout.write(
                "\t".join(
                    [
                        key.prefix,
                        str(key.tenant),
                        key.name,
                        ",".join(key.scopes),
                        _state(key, now),
                        f"last used {_day(key.last_used_at)}",
                    ]
                )
            )


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'expired' if key.expires_at <= now else 'valid until'} {_day(key.expires_at)}"


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
