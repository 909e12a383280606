"""Stop payouts of all executors at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from wallets.domain.pausing import pause_payouts
from wallets.domain.people import OperatorRefusal
from wallets.management.operator import add_by, name_of


class Command(BaseCommand):
    help = (
        "Pause payouts: nothing new is paid and nothing is sent again, by any executor, until "
        "resume_payouts. Withdrawals in doubt are still asked about."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why, for those who find it paused")
        add_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            earlier = pause_payouts(by=name_of(options), reason=options["reason"])
        except OperatorRefusal as refusal:
            raise CommandError(str(refusal)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database is in trouble, nothing was changed: {str(error).strip()}"
            ) from error
        if earlier is None:
            self.stdout.write("Payouts are paused.")
        else:
            self.stdout.write(
                f"Payouts have been paused since {earlier.at.isoformat(timespec='seconds')} by "
                f"{earlier.by}: {earlier.reason}. Your reason was added."
            )
