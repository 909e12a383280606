"""Claim due withdrawals: hold their money and lease them to a worker, a batch at a time."""

import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from wallets.domain import gate, ledger
from wallets.domain.gate import Closed, Permission
from wallets.domain.ledger import LockedWallet
from wallets.domain.outcomes import Transfer
from wallets.domain.policy import PayoutPolicy
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.followup import Step, next_step
from wallets.domain.withdrawals.lifecycle import Transition
from wallets.domain.withdrawals.rows import Row, read
from wallets.models import Status, Transaction, Wallet


@dataclass(frozen=True, slots=True)
class Claimed:
    """One withdrawal in a worker's hands. Holds no ORM row, so it can cross the network."""

    id: int
    epoch: int
    transfer: Transfer
    step: Step
    maybe_sent: bool
    # As of the claim, in seconds; ``None`` if nothing was ever sent.
    seconds_since_last_send: float | None


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    permission: Permission
    claimed: tuple[Claimed, ...] = ()
    reclaimed: int = 0
    insufficient_funds: int = 0
    stranded: int = 0
    # False when more may be waiting right now.
    drained: bool = True

    @property
    def taken(self) -> int:
        return len(self.claimed) + self.insufficient_funds + self.stranded


def claim(
    *,
    worker: uuid.UUID,
    wanted: int,
    policy: PayoutPolicy,
    random_source: random.Random,
) -> ClaimBatch:
    """Take at most ``wanted`` withdrawals: lapsed leases first, up to half, then due ones.

    Within a wallet, due withdrawals are decided in order of (execute_at, id) against the balance
    of that moment. The gate makes claims of all executors take turns, so the order holds across
    batches; row locks make them safe even without it.
    """
    with transaction.atomic():
        entered = gate.enter()
        if entered is None:
            return ClaimBatch(permission=Permission(closed=Closed.BUSY), drained=False)
        locked_gate, now = entered
        permission = gate.permit(locked_gate, wanted=wanted, now=now, policy=policy)
        if not permission.allowed:
            drained = permission.closed is not Closed.RATE_LIMITED
            return ClaimBatch(permission=permission, drained=drained)

        for_lapsed = _share(permission.allowed, random_source)
        lapsed = _lock_lapsed(for_lapsed, now)
        for_due = permission.allowed - len(lapsed)
        due = _lock_due(for_due, now)

        taken_over, stranded = _take_over(lapsed, worker=worker, now=now, policy=policy)
        wallets = ledger.lock_wallets(row.wallet_id for row in due) if due else {}
        affordable, unaffordable = decide(due, wallets)
        until = now + policy.lease
        held = [lifecycle.claimed(r, worker=worker, until=until, now=now) for r in affordable]
        failed = [lifecycle.refused_for_funds(row) for row in unaffordable]
        lifecycle.apply(
            [*(t for _, t, _ in taken_over), *stranded, *held, *failed],
            locked=wallets,
            worker=str(worker),
            now=now,
        )
        gate.leave(
            locked_gate,
            permission,
            taken=len(taken_over) + len(held),
            now=now,
            policy=policy,
        )
        owners = {w.id: (w.uuid, w.currency) for w in wallets.values()}
        owners |= _owners(row.wallet_id for row in lapsed)
    return ClaimBatch(
        claimed=(
            *(_in_hand(row, t, step, owners, now) for row, t, step in taken_over),
            *(
                _in_hand(row, t, Step.SEND, owners, now)
                for row, t in zip(affordable, held, strict=True)
            ),
        ),
        reclaimed=len(lapsed),
        insufficient_funds=len(failed),
        stranded=len(stranded),
        permission=permission,
        drained=len(lapsed) < for_lapsed and len(due) < for_due,
    )


def decide(due: Iterable[Row], wallets: dict[int, LockedWallet]) -> tuple[list[Row], list[Row]]:
    """Pay each in turn if its wallet still covers it: what does not fit does not block the next."""
    left = {wallet_id: wallet.balance for wallet_id, wallet in wallets.items()}
    affordable, unaffordable = [], []
    for row in due:
        if row.amount <= left[row.wallet_id]:
            left[row.wallet_id] -= row.amount
            affordable.append(row)
        else:
            unaffordable.append(row)
    return affordable, unaffordable


def _share(allowed: int, random_source: random.Random) -> int:
    """Half for lapsed leases, the odd one by lot, so that neither side starves the other."""
    return (allowed + random_source.randrange(2)) // 2


def _locked(rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
    # ``of``: were a wallet ever joined here, a deposit in flight would hide the queue's head.
    return rows.select_for_update(skip_locked=True, of=("self",), no_key=True)


def _lock_lapsed(most: int, now: datetime) -> list[Row]:
    rows = Transaction.objects.filter(status=Status.PROCESSING, lease_expires_at__lte=now)
    return read(_locked(rows).order_by("lease_expires_at", "id")[:most]) if most else []


def _lock_due(most: int, now: datetime) -> list[Row]:
    rows = Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=now)
    return read(_locked(rows).order_by("execute_at", "id")[:most]) if most else []


def _take_over(
    lapsed: Iterable[Row], *, worker: uuid.UUID, now: datetime, policy: PayoutPolicy
) -> tuple[list[tuple[Row, Transition, Step]], list[Transition]]:
    taken: list[tuple[Row, Transition, Step]] = []
    stranded: list[Transition] = []
    for row in lapsed:
        step = next_step(row, vanished=row.lease_owner is not None, now=now, policy=policy)
        if step is Step.WAIT:
            stranded.append(lifecycle.stranded(row, until=now + policy.ask_max, now=now))
            continue
        transition = lifecycle.reclaimed(row, worker=worker, until=now + policy.lease, now=now)
        taken.append((row, transition, step))
    return taken, stranded


def _owners(ids: Iterable[int]) -> dict[int, tuple[uuid.UUID, str]]:
    """UUID and currency never change, so no lock is needed to read them."""
    wallet_ids = set(ids)
    if not wallet_ids:
        return {}
    wallets = Wallet.objects.filter(pk__in=wallet_ids)
    return {
        pk: (ref, currency) for pk, ref, currency in wallets.values_list("pk", "uuid", "currency")
    }


def _in_hand(
    row: Row,
    transition: Transition,
    step: Step,
    owners: dict[int, tuple[uuid.UUID, str]],
    now: datetime,
) -> Claimed:
    owner, currency = owners[row.wallet_id]
    last_sent_at = transition.state.last_sent_at
    return Claimed(
        id=row.id,
        epoch=transition.state.epoch,
        transfer=Transfer(
            idempotency_key=str(row.idempotency_key),
            wallet_owner_ref=str(owner),
            amount=row.amount,
            currency=currency,
        ),
        step=step,
        maybe_sent=transition.state.maybe_sent,
        seconds_since_last_send=(
            None if last_sent_at is None else (now - last_sent_at).total_seconds()
        ),
    )
