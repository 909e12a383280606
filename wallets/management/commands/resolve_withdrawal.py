"""Settle one withdrawal that is in doubt by a person's word."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from wallets.domain.people import OperatorRefusal
from wallets.domain.withdrawals.resolving import (
    PAID,
    Decision,
    Proposal,
    resolve,
    withdraw_proposal,
)
from wallets.management.operator import add_by, name_of


class Command(BaseCommand):
    help = (
        "Say what became of a withdrawal in doubt, after asking the bank about its key: paid under "
        "a reference, or not paid and never to be paid. With RESOLVE_REQUIRES_TWO a second person "
        "has to say the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="the withdrawal's id")
        verdict = parser.add_mutually_exclusive_group(required=True)
        verdict.add_argument(
            "--paid", action="store_true", help="the bank paid it; needs --reference"
        )
        verdict.add_argument(
            "--not-paid",
            action="store_true",
            help="the bank did not pay it and never will: the wallet gets its money back",
        )
        verdict.add_argument(
            "--withdraw",
            action="store_true",
            help="take back what was proposed, by you or by somebody else",
        )
        parser.add_argument("--reference", metavar="R", help="the bank's reference of the payment")
        parser.add_argument("--reason", required=True, help="how you know, for the record")
        add_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["paid"] != bool(options["reference"]):
            raise CommandError("--paid needs --reference, and nothing else takes it.")
        try:
            self.stdout.write(_withdraw(options) if options["withdraw"] else _resolve(options))
        except OperatorRefusal as refusal:
            raise CommandError(str(refusal)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database is in trouble, nothing was changed: {str(error).strip()}"
            ) from error


def _resolve(options: dict[str, Any]) -> str:
    decision = resolve(
        withdrawal_id=options["id"],
        paid=options["paid"],
        reference=options["reference"],
        reason=options["reason"],
        by=name_of(options),
        two_people=settings.RESOLVE_REQUIRES_TWO,
        not_found_grace=timedelta(seconds=settings.BANK_NOT_FOUND_GRACE_SECONDS),
    )
    return _outcome(options["id"], decision)


def _outcome(withdrawal_id: int, decision: Decision) -> str:
    if decision.proposal is None:
        return f"Withdrawal {withdrawal_id} is {decision.status}."
    verdict = _as_options(decision.proposal)
    return (
        f"Proposed by {decision.proposal.by}; nothing has changed yet. Somebody else confirms it "
        f"with:\n  python3 manage.py resolve_withdrawal {withdrawal_id} {verdict} --reason ..."
    )


def _withdraw(options: dict[str, Any]) -> str:
    proposal = withdraw_proposal(
        withdrawal_id=options["id"], reason=options["reason"], by=name_of(options)
    )
    return f"Taken back: {_as_options(proposal)}, proposed by {proposal.by}."


def _as_options(proposal: Proposal) -> str:
    return f"--paid --reference {proposal.reference}" if proposal.verdict == PAID else "--not-paid"
