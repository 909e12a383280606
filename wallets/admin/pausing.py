"""The kill switch."""

from typing import Any

from django.utils.translation import gettext, gettext_lazy as _

from wallets.admin.deeds import Deed, ReasonForm
from wallets.domain.pausing import pause_payouts, resume_payouts
from wallets.models import BankGate

_PERMISSION = "wallets.pause_payouts"


def _runs(row: BankGate) -> bool:
    return row.halted_at is None


def _is_paused(row: BankGate) -> bool:
    return row.halted_at is not None


def _what_a_pause_does(row: BankGate, given: dict[str, Any]) -> str:
    return gettext(
        "No executor will pay anything until somebody resumes. What has been sent is still "
        "settled, and withdrawals in doubt are still asked about."
    )


def _pause(row: BankGate, given: dict[str, Any], person: str) -> str:
    pause_payouts(by=person, reason=given["reason"])
    return gettext("Payouts are paused.")


def _why(row: BankGate) -> str:
    return gettext("Paused by %(person)s: %(reason)s") % {
        "person": row.halted_by,
        "reason": row.halted_reason,
    }


def _what_resuming_does(row: BankGate, given: dict[str, Any]) -> str:
    return gettext("All executors will pay again what is due, at once.")


def _resume(row: BankGate, given: dict[str, Any], person: str) -> str:
    resume_payouts(by=person, reason=given["reason"])
    return gettext("Payouts are resumed.")


GATE_DEEDS = (
    Deed(
        name="pause",
        label=_("Pause payouts"),
        permission=_PERMISSION,
        form=ReasonForm,
        fits=_runs,
        consequence=_what_a_pause_does,
        do=_pause,
    ),
    Deed(
        name="resume",
        label=_("Resume payouts"),
        permission=_PERMISSION,
        form=ReasonForm,
        fits=_is_paused,
        note=_why,
        consequence=_what_resuming_does,
        do=_resume,
    ),
)
