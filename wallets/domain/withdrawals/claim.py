"""Claim due withdrawals: hold their money and lease them to a worker, a batch at a time."""

import logging
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from wallets.domain import gate, ledger
from wallets.domain.gate import Closed, Permission
from wallets.domain.ledger import LockedWallet
from wallets.domain.outcomes import Transfer
from wallets.domain.policy import PayoutPolicy
from wallets.domain.statements import for_database
from wallets.domain.statements.portable import lock_due, lock_lapsed
from wallets.domain.statements.rows import BEGINNING, Horizon, LockedWork
from wallets.domain.withdrawals import lifecycle
from wallets.domain.withdrawals.followup import Step, key_is_kept_for, next_step
from wallets.domain.withdrawals.lifecycle import Transition
from wallets.domain.withdrawals.rows import Row
from wallets.models import StatusChange, Wallet
from wallets.models.clock import database_now

logger = logging.getLogger("wallets.claim")

# How long after its check against the clock a transaction that schedules may commit at the latest,
# but for accidents. Until then a withdrawal may turn up behind others that were due after it.
_LATEST_DUE = timedelta(seconds=10)
# The same for one that hands back. Of lapsed leases the order does not matter.
_LATEST_LAPSED = timedelta(seconds=1)


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
    # As of the claim, in seconds: how long the key may still be sent.
    key_kept_seconds: float
    # Let through an open breaker to see whether the bank is back.
    probe: bool = False


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    permission: Permission
    claimed: tuple[Claimed, ...] = ()
    reclaimed: int = 0
    insufficient_funds: int = 0
    stranded: int = 0
    # False when more may be waiting right now.
    drained: bool = True
    # From where the next claim may look.
    seen: Horizon = BEGINNING

    @property
    def taken(self) -> int:
        return len(self.claimed) + self.insufficient_funds + self.stranded


def claim(
    *,
    worker: uuid.UUID,
    wanted: int,
    policy: PayoutPolicy,
    random_source: random.Random,
    most_lapsed: int | None = None,
    since: Horizon = BEGINNING,
) -> ClaimBatch:
    """Take at most ``wanted`` withdrawals: lapsed leases and due ones, half and half.

    What one side leaves the other takes, but never more than ``most_lapsed`` of the first. Within
    a wallet, due withdrawals are decided in order of (execute_at, id) against the balance of that
    moment. The gate makes claims of all executors take turns, so the order holds across batches;
    row locks make them safe even without it.

    ``since``: look from there, where an earlier claim has seen everything before. What turned up
    behind it, or was locked by somebody then, is found by a claim that looks from the beginning.
    """
    with transaction.atomic():
        entered = gate.enter()
        if entered is None:
            return ClaimBatch(permission=Permission(closed=Closed.BUSY), drained=False)
        locked_gate, entered_at = entered
        permission = gate.permit(locked_gate, wanted=wanted, now=entered_at, policy=policy)
        if not permission.allowed:
            drained = permission.closed is not Closed.RATE_LIMITED
            return ClaimBatch(permission=permission, drained=drained)

        work, drained = _choose(permission, most_lapsed, entered_at, random_source, since)
        lapsed, wallets, now = work.lapsed, work.wallets, work.now
        taken_over, stranded = _take_over(lapsed, worker=worker, now=now, policy=policy)
        affordable, unaffordable = decide(work.due, wallets)
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
            now=entered_at,
            policy=policy,
        )
        owners = {w.id: (w.uuid, w.currency) for w in wallets.values()}
        owners |= _owners(row.wallet_id for row in lapsed)
        to_send = zip(affordable, held, strict=True)
        steps = [*taken_over, *((row, transition, Step.SEND) for row, transition in to_send)]
        claimed = tuple(
            _in_hand(row, t, step, owners, now, policy, permission.probing)
            for row, t, step in steps
        )
    return ClaimBatch(
        claimed=claimed,
        reclaimed=len(lapsed),
        insufficient_funds=len(failed),
        stranded=len(stranded),
        permission=permission,
        drained=drained,
        seen=_before_latecomers(work.seen),
    )


def _choose(
    permission: Permission,
    most_lapsed: int | None,
    now: datetime,
    random_source: random.Random,
    since: Horizon,
) -> tuple[LockedWork, bool]:
    """Lock the lapsed and the due rows to take; say whether these were all there are."""
    if permission.probing and not permission.asks_only:
        return _choose_probe(permission, now)
    allowed = permission.allowed
    most = allowed if most_lapsed is None else min(allowed, most_lapsed)
    if permission.asks_only:
        lapsed = lock_lapsed(most, now, Q(in_doubt_since__isnull=False))
        return LockedWork(lapsed, [], {}, now), len(lapsed) < most
    # More may be locked than is taken: only then is it known what the due rows leave.
    share = _share(allowed, random_source)
    work: LockedWork = for_database().lock_work(
        now=now, most=allowed, most_lapsed=most, share=share, since=since
    )
    for_due = allowed - min(len(work.lapsed), share)
    drained = len(work.lapsed) < most and len(work.due) < for_due
    lapsed = work.lapsed[: allowed - len(work.due)]
    if len(lapsed) < len(work.lapsed):
        work = replace(work, seen=replace(work.seen, lapsed=since.lapsed))
    return replace(work, lapsed=lapsed), drained


def _before_latecomers(seen: Horizon) -> Horizon:
    return Horizon(
        lapsed=seen.lapsed and seen.lapsed - _LATEST_LAPSED,
        due=seen.due and seen.due - _LATEST_DUE,
    )


def _choose_probe(permission: Permission, now: datetime) -> tuple[LockedWork, bool]:
    """One row, of those whose money is held already if there is one: a probe debits nobody new."""
    lapsed = lock_lapsed(1, now, Q(in_doubt_since__isnull=True) if permission.must_send else Q())
    due = [] if lapsed else lock_due(1, now)
    if not (lapsed or due):
        lapsed = lock_lapsed(1, now)
    wallets = ledger.lock_wallets(row.wallet_id for row in due)
    return LockedWork(lapsed, due, wallets, database_now()), not (lapsed or due)


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
    """Half for lapsed leases, the odd one by lot: neither side starves the other."""
    return (allowed + random_source.randrange(2)) // 2


def _take_over(
    lapsed: Iterable[Row], *, worker: uuid.UUID, now: datetime, policy: PayoutPolicy
) -> tuple[list[tuple[Row, Transition, Step]], list[Transition]]:
    steps = [
        (row, next_step(row, vanished=row.lease_owner is not None, now=now, policy=policy))
        for row in lapsed
    ]
    known = _announce([row for row, step in steps if _needs_a_person(row, step, now, policy)])
    taken: list[tuple[Row, Transition, Step]] = []
    stranded: list[Transition] = []
    for row, step in steps:
        if step is Step.WAIT:
            until = now + policy.ask_max
            stranded.append(lifecycle.stranded(row, until=until, now=now, known=known[row.id]))
            continue
        transition = lifecycle.reclaimed(row, worker=worker, until=now + policy.lease, now=now)
        if not known.get(row.id, True):
            transition = replace(transition, reason=lifecycle.AWAITING_OPERATOR, recorded=True)
        taken.append((row, transition, step))
    return taken, stranded


def _needs_a_person(row: Row, step: Step, now: datetime, policy: PayoutPolicy) -> bool:
    """Also what is still asked about, once the bank may have forgotten the key: of a key that it
    does not know it says "not found", whatever it paid."""
    if step is Step.ASK:
        first_sent_at = row.first_sent_at or now
        return key_is_kept_for(first_sent_at, now=now, policy=policy) <= timedelta(0)
    return step is Step.WAIT


def _announce(rows: Sequence[Row]) -> dict[int, bool]:
    """Say once of each row that it waits for a person; return for each whether that is known."""
    if not rows:
        return {}
    told = set(
        StatusChange.objects.filter(
            transaction_id__in=[row.id for row in rows], reason=lifecycle.AWAITING_OPERATOR
        ).values_list("transaction_id", flat=True)
    )
    for row in rows:
        if row.id not in told:
            logger.error(
                "alarm: %s",
                lifecycle.AWAITING_OPERATOR,
                extra={"alarm": lifecycle.AWAITING_OPERATOR, "transaction": row.id},
            )
    return {row.id: row.id in told for row in rows}


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
    policy: PayoutPolicy,
    probe: bool,
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
        key_kept_seconds=key_is_kept_for(
            transition.state.first_sent_at or now, now=now, policy=policy
        ).total_seconds(),
        probe=probe,
    )
