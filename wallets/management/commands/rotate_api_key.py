"""Replace a key of the API without an interruption."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from wallets.domain.api_keys import ApiKeyRefused, rotate
from wallets.management.api_keys import told_once
from wallets.models.clock import database_now


class Command(BaseCommand):
    help = "Create a successor of an API key and show it, once; the old key works on for a while."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the part between the underscores; see list_api_keys")
        parser.add_argument(
            "--grace-hours",
            type=float,
            default=24.0,
            help="how long the old key goes on working (default 24)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["grace_hours"]
        if not 0 <= hours <= 8_760:
            raise CommandError(f"--grace-hours accepts a number from 0 to 8760, not {hours}.")
        try:
            issued = rotate(
                prefix=options["prefix"], grace=timedelta(hours=hours), now=database_now()
            )
        except ApiKeyRefused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(told_once(issued))
