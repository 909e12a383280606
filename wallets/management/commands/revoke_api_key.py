"""Revoke a key of the API."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from wallets.domain.api_keys import ApiKeyRefused, revoke
from wallets.models.clock import database_now


class Command(BaseCommand):
    help = "Revoke an API key; the next request with it is refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the part between the underscores; see list_api_keys")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = revoke(prefix=options["prefix"], now=database_now())
        except ApiKeyRefused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"The key {key} of {key.tenant} is revoked.")
