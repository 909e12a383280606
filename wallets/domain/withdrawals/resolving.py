"""A person's word about a withdrawal in doubt, where the bank's own cannot be had.

It is taken only for withdrawals that are in doubt and in nobody's hands, never against the record,
and ends them as the bank's answer would: by the same transitions.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from unicodedata import normalize

from django.db import transaction

from wallets.domain import ledger
from wallets.domain.ledger import LockedWallet
from wallets.domain.outcomes import Meaning
from wallets.domain.people import (
    OperatorRefusal,
    checked_name,
    checked_reason,
    checked_reference,
)
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.lifecycle import Transition
from wallets.domain.withdrawals.rows import Row, read
from wallets.models import (
    MAX_BALANCE,
    TERMINAL,
    BankCall,
    Resolution,
    Status,
    Transaction,
    Type,
)
from wallets.models.clock import database_now

PAID, NOT_PAID = Resolution.Verdict.PAID, Resolution.Verdict.NOT_PAID
# What the client sees of a decision that the bank did not pay. The words stay in the history.
_FAILURE_REASON = "operator_not_paid"


class NoSuchWithdrawal(OperatorRefusal):
    """There is no withdrawal with this id."""

    code = "no_such_withdrawal"


class NotInDoubt(OperatorRefusal):
    """Nobody has to decide: it is not due, is being paid, or has ended."""

    code = "not_in_doubt"


class InSomebodysHands(OperatorRefusal):
    """An executor works on it, or a request may still be under way."""

    code = "in_somebodys_hands"


class ContradictsTheRecord(OperatorRefusal):
    """What is on record says otherwise."""

    code = "contradicts_the_record"


class AnotherProposal(OperatorRefusal):
    """What was proposed is not what is said now, or the same person says it."""

    code = "another_proposal"


@dataclass(frozen=True, slots=True)
class Proposal:
    withdrawal_id: int
    verdict: str
    reference: str | None
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """``proposal``: what now waits for a second person; ``None``: the withdrawal has ended."""

    status: str
    proposal: Proposal | None


@dataclass(frozen=True, slots=True)
class _Word:
    """What a person says, checked for form."""

    verdict: Resolution.Verdict
    reference: str | None
    reason: str
    by: str


def resolve(
    *,
    withdrawal_id: int,
    paid: bool,
    reference: str | None,
    reason: str,
    by: str,
    two_people: bool,
    not_found_grace: timedelta,
) -> Decision:
    """Say that the bank paid, under ``reference``, or that it did not and never will.

    ``two_people``: the first word is kept as a proposal, and a second person's same word decides.
    ``not_found_grace``: how long a request may still be under way after it was sent.

    Raises the refusals above, and ``BadInput``.
    """
    word = _Word(
        verdict=PAID if paid else NOT_PAID,
        reference=checked_reference(reference or "") if paid else None,
        reason=checked_reason(reason),
        by=checked_name(by),
    )
    with transaction.atomic():
        row, now = _lock(withdrawal_id)
        _check_in_doubt(row, now)
        if paid:
            _check_paid(row, word)
        else:
            _check_not_paid(row, now, not_found_grace)
        proposal = open_proposal(withdrawal_id)
        if proposal is not None:
            _check_same(proposal, word, two_people=two_people)
        if two_people and proposal is None:
            _record(row, Resolution.Step.PROPOSED, word, now)
            return Decision(status=row.status, proposal=open_proposal(withdrawal_id))
        status = _end(row, word)
        _record(row, Resolution.Step.DECIDED, word, now)
    return Decision(status=status, proposal=None)


def withdraw_proposal(*, withdrawal_id: int, reason: str, by: str) -> Proposal:
    """Take the open proposal back, one's own or another's; return what it was.

    Raises ``NoSuchWithdrawal``, ``AnotherProposal`` when there is none, and ``BadInput``.
    """
    reason, by = checked_reason(reason), checked_name(by)
    with transaction.atomic():
        row, now = _lock(withdrawal_id)
        proposal = open_proposal(withdrawal_id)
        if proposal is None:
            raise AnotherProposal(f"Nothing is proposed for withdrawal {withdrawal_id}.")
        word = _Word(Resolution.Verdict(proposal.verdict), proposal.reference, reason, by)
        _record(row, Resolution.Step.WITHDRAWN, word, now)
    return proposal


def open_proposal(withdrawal_id: int) -> Proposal | None:
    last = Resolution.objects.filter(transaction_id=withdrawal_id).order_by("-id").first()
    if last is None or last.step != Resolution.Step.PROPOSED:
        return None
    return Proposal(
        withdrawal_id=withdrawal_id,
        verdict=last.verdict,
        reference=last.reference,
        reason=last.reason,
        by=last.by,
        at=last.created_at,
    )


def _lock(withdrawal_id: int) -> tuple[Row, datetime]:
    rows = Transaction.objects.filter(pk=withdrawal_id, type=Type.WITHDRAWAL)
    found = read(rows.select_for_update(no_key=True))
    if not found:
        raise NoSuchWithdrawal(f"There is no withdrawal {withdrawal_id}.")
    return found[0], database_now()


def _check_in_doubt(row: Row, now: datetime) -> None:
    if row.status in TERMINAL:
        raise NotInDoubt(f"Withdrawal {row.id} has ended: it is {row.status}, for good.")
    if row.status == Status.SCHEDULED:
        raise NotInDoubt(f"Withdrawal {row.id} has not been taken up yet: it is SCHEDULED.")
    if row.in_doubt_since is None:
        raise NotInDoubt(
            f"Withdrawal {row.id} is not in doubt: an executor pays it or will take it up again."
        )
    if row.lease_owner is not None and row.lease_expires_at and row.lease_expires_at > now:
        raise InSomebodysHands(
            f"An executor is asking the bank about withdrawal {row.id}, until "
            f"{_moment(row.lease_expires_at)} at the latest. Try again after that."
        )


def _check_paid(row: Row, word: _Word) -> None:
    if word.reference == str(row.idempotency_key):
        raise ContradictsTheRecord("That is our own key and not the bank's reference.")
    recorded = _references_of_payments(row.id)
    if recorded and word.reference not in recorded:
        raise ContradictsTheRecord(
            f"The bank has called withdrawal {row.id} paid under another reference: "
            f"{', '.join(sorted(recorded))}."
        )
    other = (
        Transaction.objects.filter(bank_reference=word.reference)
        .exclude(pk=row.id)
        .values_list("type", "pk")
        .first()
    )
    if other is not None:
        raise ContradictsTheRecord(
            f"Reference {word.reference} belongs to {other[0].lower()} {other[1]} already."
        )


def _references_of_payments(withdrawal_id: int) -> set[str]:
    calls = BankCall.objects.filter(transaction_id=withdrawal_id, verdict=Meaning.PAID)
    return {reference for reference in calls.values_list("reference", flat=True) if reference}


def _check_not_paid(row: Row, now: datetime, grace: timedelta) -> None:
    if BankCall.objects.filter(transaction_id=row.id, verdict=Meaning.PAID).exists():
        raise ContradictsTheRecord(f"The bank has called withdrawal {row.id} paid.")
    # Whoever vanished may have sent up to the last moment of the lease.
    lapse = row.lease_expires_at if row.lease_owner is not None else None
    sent = [moment for moment in (row.last_sent_at, lapse) if moment is not None]
    if sent and max(sent) + grace > now:
        raise InSomebodysHands(
            f"A request for withdrawal {row.id} may still be under way to the bank, which would "
            f"pay it. Try again after {_moment(max(sent) + grace)}."
        )


def _check_same(proposal: Proposal, word: _Word, *, two_people: bool) -> None:
    said = f"{proposal.by} has proposed {_said(proposal.verdict, proposal.reference)}"
    if (word.verdict, word.reference) != (proposal.verdict, proposal.reference):
        raise AnotherProposal(f"{said}. Withdraw that first, if it is wrong.")
    if two_people and _same_person(word.by, proposal.by):
        raise AnotherProposal(f"{said} already. Somebody else has to confirm it.")


def _same_person(one: str, other: str) -> bool:
    """However the name is typed: keyboards, shells and the admin compose letters differently."""
    return normalize("NFKC", one).casefold() == normalize("NFKC", other).casefold()


def _said(verdict: str, reference: str | None) -> str:
    return f"paid under reference {reference}" if verdict == PAID else "not paid"


def _end(row: Row, word: _Word) -> str:
    locked = ledger.lock_wallets([row.wallet_id])
    end = _paid(row, word) if word.verdict == PAID else _not_paid(row, word, locked)
    worker = f"operator:{word.by}"[:150]
    lifecycle.apply([end], locked=locked, worker=worker, now=database_now())
    return end.state.status


def _paid(row: Row, word: _Word) -> Transition:
    end = lifecycle.paid(row, reference=word.reference)
    return replace(end, reason=f"resolved_paid: {word.reason}")


def _not_paid(row: Row, word: _Word, locked: dict[int, LockedWallet]) -> Transition:
    if row.amount > MAX_BALANCE - locked[row.wallet_id].balance:
        raise ContradictsTheRecord(f"Wallet {row.wallet_id} cannot hold {row.amount} more.")
    end = lifecycle.refused(row, reason=_FAILURE_REASON)
    return replace(end, reason=f"resolved_not_paid: {word.reason}")


def _record(row: Row, step: Resolution.Step, word: _Word, now: datetime) -> None:
    Resolution.objects.create(
        transaction_id=row.id,
        step=step,
        verdict=word.verdict,
        reference=word.reference,
        reason=word.reason,
        by=word.by,
        created_at=now,
    )


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
