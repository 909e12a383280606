"""Let payouts go on after ``pause_payouts``."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from wallets.domain.pausing import resume_payouts
from wallets.domain.people import OperatorRefusal
from wallets.management.operator import add_by, name_of


class Command(BaseCommand):
    help = "Lift the pause that pause_payouts, the admin or the audit has set."

    def add_arguments(self, parser: CommandParser) -> None:
        add_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lifted = resume_payouts(by=name_of(options))
        except OperatorRefusal as refusal:
            raise CommandError(str(refusal)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database is in trouble, nothing was changed: {str(error).strip()}"
            ) from error
        if not lifted:
            self.stdout.write("Payouts were not paused.")
            return
        self.stdout.write("Payouts are resumed. They had been paused:")
        for pause in lifted:
            self.stdout.write(
                f"  {pause.at.isoformat(timespec='seconds')} by {pause.by}: {pause.reason}"
            )
