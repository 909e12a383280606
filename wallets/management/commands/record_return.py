"""Credit back a payout that the bank returned after it had succeeded."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from wallets.domain.people import OperatorRefusal
from wallets.domain.withdrawals.returns import record_return
from wallets.management.operator import add_by, name_of


class Command(BaseCommand):
    help = (
        "Record that the bank sent a succeeded withdrawal's money back. The wallet is credited by "
        "a new transaction of type RETURN; the withdrawal stays SUCCEEDED."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="the withdrawal's id")
        parser.add_argument(
            "--reference", metavar="R", required=True, help="the bank's reference of the return"
        )
        parser.add_argument("--reason", required=True, help="why it came back, for the record")
        add_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = record_return(
                withdrawal_id=options["id"],
                reference=options["reference"],
                reason=options["reason"],
                by=name_of(options),
            )
        except OperatorRefusal as refusal:
            raise CommandError(str(refusal)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database is in trouble, nothing was changed: {str(error).strip()}"
            ) from error
        self.stdout.write(f"Withdrawal {options['id']} was returned by transaction {made}.")
