"""A person's word about a withdrawal in doubt, and returns of what was paid."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext, gettext_lazy as _

from wallets.admin.deeds import Deed, ReasonForm
from wallets.admin.shown import code, filled, money
from wallets.domain.bank_answer import REFERENCE_LENGTH
from wallets.domain.withdrawals.resolving import (
    NOT_PAID,
    PAID,
    open_proposal,
    resolve,
    withdraw_proposal,
)
from wallets.domain.withdrawals.returns import record_return
from wallets.models import Resolution, Status, Transaction, Type

_PERMISSION = "wallets.resolve_withdrawals"


class ResolveForm(ReasonForm):
    verdict = forms.ChoiceField(
        label=_("What became of it"),
        choices=[
            (PAID.value, _("The bank paid it")),
            (NOT_PAID.value, _("The bank did not pay it and never will")),
        ],
        widget=forms.RadioSelect,
    )
    reference = forms.CharField(
        label=_("Bank reference"),
        max_length=REFERENCE_LENGTH,
        required=False,
        help_text=_("The bank's reference of the payment; only for what was paid."),
    )
    field_order = ("verdict", "reference", "reason")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        paid, referred = given.get("verdict") == PAID, bool(given.get("reference"))
        if "verdict" in given and "reference" in given and paid != referred:
            self.add_error(
                "reference",
                _("A payment has a reference.") if paid else _("Only a payment has a reference."),
            )
        return given


class ReturnForm(ReasonForm):
    reference = forms.CharField(
        label=_("Bank reference"),
        max_length=REFERENCE_LENGTH,
        help_text=_("The bank's reference of the return, not of the payment."),
    )
    field_order = ("reference", "reason")


def _is_in_doubt(row: Transaction) -> bool:
    return row.in_doubt_since is not None


def _has_proposal(row: Transaction) -> bool:
    return _is_in_doubt(row) and open_proposal(row.pk) is not None


def _may_come_back(row: Transaction) -> bool:
    succeeded = row.type == Type.WITHDRAWAL and row.status == Status.SUCCEEDED
    return succeeded and not Transaction.objects.filter(returned_withdrawal=row).exists()


def _proposed(row: Transaction) -> str:
    proposal = open_proposal(row.pk)
    if proposal is None:
        return ""
    label = str(Resolution.Verdict(proposal.verdict).label)
    return filled(
        gettext("%(person)s has proposed: %(verdict)s %(reference)s – %(reason)s"),
        person=proposal.by,
        verdict=label,
        reference=code(proposal.reference) if proposal.reference else "",
        reason=proposal.reason,
    )


def _as_proposed(row: Transaction) -> dict[str, Any]:
    proposal = open_proposal(row.pk)
    return (
        {} if proposal is None else {"verdict": proposal.verdict, "reference": proposal.reference}
    )


def _what_a_word_does(row: Transaction, given: dict[str, Any]) -> str:
    if settings.RESOLVE_REQUIRES_TWO and open_proposal(row.pk) is None:
        return gettext("Nothing changes yet: somebody else has to say the same.")
    amount = money(row.amount, row.wallet.currency)
    if given["verdict"] == PAID:
        text = gettext("%(amount)s will count as paid out for good, under reference %(reference)s.")
        return filled(text, amount=amount, reference=code(given["reference"]))
    text = gettext(
        "%(amount)s will go back to the wallet for good. If the bank has paid it or ever does, "
        "the money is lost."
    )
    return filled(text, amount=amount)


def _resolve(row: Transaction, given: dict[str, Any], person: str) -> str:
    decision = resolve(
        withdrawal_id=row.pk,
        paid=given["verdict"] == PAID,
        reference=given["reference"] or None,
        reason=given["reason"],
        by=person,
        two_people=settings.RESOLVE_REQUIRES_TWO,
        not_found_grace=timedelta(seconds=settings.BANK_NOT_FOUND_GRACE_SECONDS),
    )
    if decision.proposal is not None:
        return gettext("Proposed. Somebody else has to say the same.")
    return gettext("Decided: %(status)s") % {"status": Status(decision.status).label}


def _what_withdrawing_does(row: Transaction, given: dict[str, Any]) -> str:
    return gettext("The proposal will be taken back; the withdrawal stays in doubt.")


def _withdraw(row: Transaction, given: dict[str, Any], person: str) -> str:
    withdraw_proposal(withdrawal_id=row.pk, reason=given["reason"], by=person)
    return gettext("The proposal is taken back.")


def _what_a_return_does(row: Transaction, given: dict[str, Any]) -> str:
    text = gettext(
        "%(amount)s will be credited to the wallet by a new transaction. The withdrawal stays as "
        "it is."
    )
    return filled(text, amount=money(row.amount, row.wallet.currency))


def _return(row: Transaction, given: dict[str, Any], person: str) -> str:
    made = record_return(
        withdrawal_id=row.pk, reference=given["reference"], reason=given["reason"], by=person
    )
    return gettext("Returned by transaction %(id)s.") % {"id": made}


WITHDRAWAL_DEEDS = (
    Deed(
        name="resolve",
        label=_("Say what became of it"),
        permission=_PERMISSION,
        form=ResolveForm,
        fits=_is_in_doubt,
        note=_proposed,
        initial=_as_proposed,
        consequence=_what_a_word_does,
        do=_resolve,
    ),
    Deed(
        name="withdraw-proposal",
        label=_("Take the proposal back"),
        permission=_PERMISSION,
        form=ReasonForm,
        fits=_has_proposal,
        note=_proposed,
        consequence=_what_withdrawing_does,
        do=_withdraw,
    ),
    Deed(
        name="return",
        label=_("Record its return"),
        permission=_PERMISSION,
        form=ReturnForm,
        fits=_may_come_back,
        consequence=_what_a_return_does,
        do=_return,
    ),
)
