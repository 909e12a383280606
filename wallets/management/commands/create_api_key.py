"""Create a key of the API."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from wallets.domain.api_keys import ApiKeyRefused, issue
from wallets.management.api_keys import parsed_expiry, told_once
from wallets.models import Scope
from wallets.models.clock import database_now


class Command(BaseCommand):
    help = "Create an API key and show it, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the key is for")
        parser.add_argument(
            "--account",
            default="default",
            help="whose wallets it reaches; opened if there is none (default: default)",
        )
        parser.add_argument(
            "--scopes",
            required=True,
            nargs="+",
            metavar="SCOPE",
            help=f"one or more of {', '.join(Scope.values)}",
        )
        parser.add_argument("--expires", help="a date or a time with offset (default: never)")

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = [scope for given in options["scopes"] for scope in given.split(",") if scope]
        expires_at = parsed_expiry(options["expires"])
        try:
            issued = issue(
                tenant=options["account"],
                name=options["name"],
                scopes=scopes,
                expires_at=expires_at,
                now=database_now(),
            )
        except ApiKeyRefused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(told_once(issued))
