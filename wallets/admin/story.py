"""The story of one transaction: what was decided, moved and asked, in the order it happened."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.utils.html import format_html_join
from django.utils.translation import gettext as _

from wallets.admin.shown import code, filled, moment, money, movement, number, worker
from wallets.admin.words import in_words
from wallets.models import (
    Account,
    BankCall,
    LedgerEntry,
    Resolution,
    Status,
    StatusChange,
    Transaction,
    Type,
)

Row = TypeVar("Row", bound=Model)

# Reasons whose second part a person wrote.
_IN_OWN_WORDS = ("resolved_paid", "resolved_not_paid", "returned")

# Of each kind. A withdrawal that stays in doubt for weeks is asked about thousands of times.
MOST = 200


@dataclass(frozen=True, slots=True)
class Event:
    """``tone`` chooses the colour: good, bad, doubt, money, or plain."""

    at: datetime
    rank: int
    pk: int
    kind: str
    title: str
    detail: str = ""
    tone: str = "plain"

    @property
    def shown_at(self) -> str:
        return moment(self.at)


@dataclass(frozen=True, slots=True)
class Story:
    summary: str
    tone: str
    events: list[Event]
    # There is more of some kind than is told: the middle is left out.
    shortened: bool


def tell(row: Transaction) -> Story:
    """What is written in one transaction bears one time: then the call comes before its verdict,
    the verdict before the money it moves."""
    code_ = row.wallet.currency
    calls, more_calls = _ends(row.bank_calls.all())
    steps, more_steps = _ends(row.status_changes.all())
    decisions, more_decisions = _ends(row.resolutions.all())
    entries, more_entries = _ends(row.entries.all())
    events = [
        *(_call(each) for each in calls),
        *(_decision(each) for each in decisions),
        *(_step(each, row) for each in steps),
        *(_entry(each, code_) for each in entries),
    ]
    summary, tone = _summary(row)
    return Story(
        summary=summary,
        tone=tone,
        events=sorted(events, key=lambda event: (event.at, event.rank, event.pk)),
        shortened=more_calls or more_steps or more_decisions or more_entries,
    )


def _ends(rows: "QuerySet[Row]") -> "tuple[list[Row], bool]":
    """All rows, or the first and the last of too many."""
    first = list(rows.order_by("pk")[: MOST + 1])
    if len(first) <= MOST:
        return first, False
    half = MOST // 2
    return first[:half] + list(rows.order_by("-pk")[:half])[::-1], True


def _summary(row: Transaction) -> tuple[str, str]:
    if row.type == Type.DEPOSIT:
        return _("A deposit: the money is in the wallet."), "good"
    if row.type == Type.RETURN:
        return _("A return: the bank sent a payout back, and the wallet has it again."), "good"
    if row.status == Status.SUCCEEDED:
        return _("Paid out. The money has left for good."), "good"
    if row.status == Status.FAILED:
        return _failure(row), "bad"
    if row.in_doubt_since is not None:
        text = _(
            "In doubt since %(time)s: the bank may or may not have paid. The money stays held "
            "until the bank or a person says which."
        )
        return filled(text, time=moment(row.in_doubt_since)), "doubt"
    if row.status == Status.PROCESSING:
        return _("Being paid: the money is held, and the bank's answer is awaited."), "doubt"
    if row.status == Status.CANCELLED:
        return _("Cancelled before anybody took it up. No money moved."), "plain"
    text = _("Scheduled for %(time)s. The balance is looked at then, not before.")
    return filled(text, time=moment(row.execute_at) if row.execute_at else ""), "plain"


def _failure(row: Transaction) -> str:
    reason = in_words(row.failure_reason or "")
    if row.epoch == 0:
        return _("Failed: %(reason)s. No money moved.") % {"reason": reason}
    return _("Failed: %(reason)s. The money is back in the wallet.") % {"reason": reason}


def _step(step: StatusChange, row: Transaction) -> Event:
    title, tone = _step_words(step, row)
    return Event(
        at=step.created_at,
        rank=2,
        pk=step.pk,
        kind=_("status"),
        title=title,
        detail=_("by %(worker)s") % {"worker": worker(step.worker)} if step.worker else "",
        tone=tone,
    )


def _step_words(step: StatusChange, row: Transaction) -> tuple[str, str]:
    before, after = step.from_status, step.to_status
    kind, _separator, detail = step.reason.partition(": ")
    reason = detail if kind in _IN_OWN_WORDS else in_words(detail or kind)
    if kind == "returned":
        return _("Returned by the bank: %(reason)s") % {"reason": reason}, "good"
    if not before:
        text = _("Scheduled, to be executed at %(time)s")
        return filled(text, time=moment(row.execute_at) if row.execute_at else ""), "plain"
    if after == Status.SUCCEEDED:
        return _("Succeeded: %(reason)s") % {"reason": reason}, "good"
    if after == Status.FAILED:
        return _("Failed: %(reason)s") % {"reason": reason}, "bad"
    if after == Status.CANCELLED:
        return _("Cancelled: it will not be paid"), "plain"
    if kind == "rescheduled":
        return _("Moved to another time"), "plain"
    if before == Status.SCHEDULED:
        return _("Claimed: an executor took it up to pay it"), "plain"
    if kind == "in_doubt":
        return _("In doubt: %(reason)s") % {"reason": reason}, "doubt"
    if kind == "handed_back":
        return _("Handed back, to be tried again: %(reason)s") % {"reason": reason}, "doubt"
    if kind == "lease_lapsed":
        return _("Taken over from an executor that went silent"), "doubt"
    if kind == "awaiting_operator":
        return _("Waits for a person: it may not be sent again, and nobody can be asked"), "doubt"
    return (
        _("Still %(status)s: %(reason)s")
        % {
            "status": step.get_to_status_display(),
            "reason": reason,
        },
        "plain",
    )


def _entry(entry: LedgerEntry, currency: str) -> Event:
    texts = {
        (Account.BANK, Account.WALLET): _("%(amount)s came into the wallet"),
        (Account.WALLET, Account.IN_TRANSIT): _("%(amount)s left the wallet and is held"),
        (Account.IN_TRANSIT, Account.BANK): _("%(amount)s of held money was paid out"),
        (Account.IN_TRANSIT, Account.WALLET): _("%(amount)s went back to the wallet"),
    }
    places = (Account(entry.debit_account), Account(entry.credit_account))
    return Event(
        at=entry.created_at,
        rank=3,
        pk=entry.pk,
        kind=_("money"),
        title=filled(texts[places], amount=money(entry.amount, currency)),
        detail=filled(
            _("%(movement)s, wallet balance afterwards %(balance)s"),
            movement=movement(places[0].label, places[1].label),
            balance=money(entry.balance_after, currency),
        ),
        tone="money",
    )


def _call(call: BankCall) -> Event:
    asked = call.kind == BankCall.Kind.INQUIRY
    verdict = in_words(call.verdict)
    text = (
        _("The bank was asked about it: %(verdict)s")
        if asked
        else _("The bank was told to pay: %(verdict)s")
    )
    facts: list[str] = []
    if call.http_status is not None:
        facts.append(f"HTTP {call.http_status}")
    facts.append(_("%(number)s ms") % {"number": number(call.duration_ms)})
    facts.append(_("claim %(epoch)s") % {"epoch": number(call.epoch)})
    if call.reference:
        facts.append(filled(_("reference %(reference)s"), reference=code(call.reference)))
    return Event(
        at=call.started_at,
        rank=0,
        pk=call.pk,
        kind=_("bank"),
        title=text % {"verdict": verdict},
        detail=_listed(facts),
        tone={"paid": "good", "refused": "bad"}.get(call.verdict, "doubt"),
    )


def _decision(step: Resolution) -> Event:
    texts = {
        Resolution.Step.PROPOSED: _("%(person)s proposes: %(verdict)s"),
        Resolution.Step.WITHDRAWN: _("%(person)s takes the proposal back: %(verdict)s"),
        Resolution.Step.DECIDED: _("%(person)s decides: %(verdict)s"),
    }
    facts: list[str] = [step.reason]
    if step.reference:
        facts.append(filled(_("reference %(reference)s"), reference=code(step.reference)))
    return Event(
        at=step.created_at,
        rank=1,
        pk=step.pk,
        kind=_("person"),
        title=texts[Resolution.Step(step.step)]
        % {"person": step.by, "verdict": step.get_verdict_display()},
        detail=_listed(facts),
    )


def _listed(facts: Iterable[str]) -> str:
    # Each by itself, or a number in Persian would trade places with the Latin word before it.
    return format_html_join(" · ", "<bdi>{}</bdi>", ((fact,) for fact in facts))
