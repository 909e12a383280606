"""Hold the bank's statement against our withdrawals, and settle by it what was in doubt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from wallets.domain import ledger
from wallets.domain.people import OperatorRefusal
from wallets.domain.reconciliation.compare import Ours, look_at_payment, look_at_return
from wallets.domain.reconciliation.findings import Finding, Kind
from wallets.domain.reconciliation.lines import LineType
from wallets.domain.reconciliation.scratch import Placed, Scratch
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.returns import Return, owners_of_references, record_returns
from wallets.domain.withdrawals.rows import read
from wallets.models import Status, Transaction, Type
from wallets.models.clock import database_now

# Lines looked at, and withdrawals settled in one transaction, at a time.
_PAGE = 500
# Ids looked through at a time for withdrawals that the statement does not have.
_STRIDE = 20_000


@dataclass(frozen=True, slots=True)
class Window:
    """The time that the statement covers; ``None``: without an end on that side."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Author:
    """Whom the history names: the statement's file and who brought it in."""

    statement: str
    by: str

    @property
    def worker(self) -> str:
        return f"statement:{self.by}"[:150]

    def reason(self, what: str, line: int) -> str:
        return f"{what}: line {line} of {self.statement}"[:200]


def reconcile(
    scratch: Scratch, *, author: Author, apply: bool, window: Window | None
) -> Iterator[Finding]:
    """Yield what each line comes to, then what is missing from the statement within ``window``.

    Nothing is changed unless ``apply``. Payments come before returns, so that a withdrawal in doubt
    that was paid and sent back takes both steps. Each page is a transaction of its own: what it
    settled stays settled whatever happens to the next, and running it again does nothing twice.
    """
    for page in scratch.pages(LineType.PAYMENT, _PAGE):
        yield from _payments(page, author=author, apply=apply)
    for page in scratch.pages(LineType.RETURN, _PAGE):
        yield from _returns(page, scratch, author=author, apply=apply)
    if window is not None:
        yield from _absent(scratch, window)


def _payments(page: Sequence[Placed], *, author: Author, apply: bool) -> list[Finding]:
    findings = _look_at_payments(page, lock=False)
    doubtful = [
        placed
        for placed, found in zip(page, findings, strict=True)
        if found.kind is Kind.WOULD_SETTLE
    ]
    if not (apply and doubtful):
        return findings
    with transaction.atomic():
        # Looked at again under lock: what is found is what is settled.
        again = _look_at_payments(doubtful, lock=True)
        _settle([f for f in again if f.kind is Kind.WOULD_SETTLE], author)
    settled = {
        f.line: replace(f, kind=Kind.SETTLED) if f.kind is Kind.WOULD_SETTLE else f for f in again
    }
    return [settled.get(found.line, found) for found in findings]


def _look_at_payments(page: Sequence[Placed], *, lock: bool) -> list[Finding]:
    ours = _ours(page, lock=lock)
    owners = _owners_of_references([placed.line.reference for placed in page])
    return [
        look_at_payment(
            placed,
            ours.get(placed.line.key),
            reference_owner=owners.get(placed.line.reference),
        )
        for placed in page
    ]


def _settle(findings: Sequence[Finding], author: Author) -> None:
    """The rows are locked already; the one ending is the same as ever."""
    by_id = {f.withdrawal_id: f for f in findings if f.withdrawal_id is not None}
    rows = read(Transaction.objects.filter(pk__in=list(by_id)).order_by("pk"))
    if not rows:
        return
    steps = []
    for row in rows:
        found = by_id[row.id]
        reason = author.reason("paid_by_statement", found.line or 0)
        steps.append(replace(lifecycle.paid(row, reference=found.reference), reason=reason))
    locked = ledger.lock_wallets(row.wallet_id for row in rows)
    lifecycle.apply(steps, locked=locked, worker=author.worker, now=database_now())


def _returns(
    page: Sequence[Placed], scratch: Scratch, *, author: Author, apply: bool
) -> Iterator[Finding]:
    ours = _ours(page)
    paid = scratch.keys_of_payments([placed.line.key for placed in page])
    owners = owners_of_references(placed.line.reference for placed in page)
    for placed in page:
        key = placed.line.key
        found = look_at_return(
            placed,
            ours.get(key),
            payment_is_there=not apply and key in paid,
            reference_owner=owners.get(placed.line.reference),
        )
        if apply and found.kind is Kind.WOULD_RETURN:
            found = _give_back(ours[key].id, found, author)
        yield found


def _give_back(withdrawal_id: int, found: Finding, author: Author) -> Finding:
    """One at a time: few come back, and one that cannot be credited must not hold up the others."""
    reason = author.reason("returned_by_statement", found.line or 0)
    back = Return(withdrawal_id, found.reference or "", reason)
    try:
        record_returns([back], worker=author.worker)
    except OperatorRefusal as refusal:
        return replace(found, kind=Kind.RETURN_REFUSED, detail=str(refusal))
    return replace(found, kind=Kind.RETURNED)


def _ours(page: Sequence[Placed], *, lock: bool = False) -> dict[str, Ours]:
    """Our withdrawals of the page's keys; ``lock``: for the open transaction, in id order."""
    keys = [key for placed in page if (key := placed.line.uuid) is not None]
    rows = Transaction.objects.filter(idempotency_key__in=keys, type=Type.WITHDRAWAL)
    if lock:
        ids = list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
        rows = Transaction.objects.filter(pk__in=ids)
    columns = (
        "pk",
        "idempotency_key",
        "status",
        "amount",
        "wallet__currency",
        "bank_reference",
        "return_credit__bank_reference",
    )
    found = [Ours(*values) for values in rows.values_list(*columns)]
    return {str(each.key): each for each in found}


def _owners_of_references(references: Sequence[str]) -> dict[str, int]:
    rows = Transaction.objects.filter(bank_reference__in=references, type=Type.WITHDRAWAL)
    return {
        reference: pk
        for reference, pk in rows.order_by("-pk").values_list("bank_reference", "pk")
        if reference is not None
    }


def _absent(scratch: Scratch, window: Window) -> Iterator[Finding]:
    """Only what can have been paid at no time outside the window: first sent and settled in it.

    Ids are walked in strides, so that no statement has to look for long, however many withdrawals
    lie outside of it.
    """
    last = Transaction.objects.aggregate(last=Max("pk"))["last"] or 0
    for start in range(0, last, _STRIDE):
        rows = Transaction.objects.filter(
            pk__gt=start,
            pk__lte=start + _STRIDE,
            type=Type.WITHDRAWAL,
            status=Status.SUCCEEDED,
        )
        if window.since is not None:
            rows = rows.filter(first_sent_at__gte=window.since)
        if window.until is not None:
            rows = rows.filter(updated_at__lt=window.until)
        columns = ("pk", "idempotency_key", "amount", "wallet__currency", "bank_reference")
        found = list(rows.order_by("pk").values_list(*columns))
        for page in (found[at : at + _PAGE] for at in range(0, len(found), _PAGE)):
            there = scratch.keys_of_payments([str(key) for _, key, *_ in page])
            for pk, key, amount, currency, reference in page:
                if str(key) not in there:
                    yield Finding(
                        kind=Kind.ABSENT,
                        key=str(key),
                        amount=amount,
                        currency=currency,
                        reference=reference,
                        withdrawal_id=pk,
                    )
