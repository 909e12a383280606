"""What to do next with a withdrawal that is being processed. Pure."""

import random
from datetime import datetime, timedelta
from enum import StrEnum

from wallets.domain.outcomes import Idempotency
from wallets.domain.policy import PayoutPolicy
from wallets.domain.withdrawals.rows import Row


class Step(StrEnum):
    SEND = "send"
    ASK = "ask"
    WAIT = "wait"  # for a person


def next_step(row: Row, *, vanished: bool, now: datetime, policy: PayoutPolicy) -> Step:
    """The next step for a row taken over at ``now``; ``vanished``: its worker disappeared.

    Clean rows are sent. A row that may have been sent and whose worker vanished is replayed with
    its key where the bank remembers payments, else asked about. A row in doubt is asked about
    where that is possible, else replayed while the bank remembers the key.
    """
    if not (row.maybe_sent or vanished):
        return Step.SEND
    replay_allowed = policy.idempotency != Idempotency.NONE and _key_is_remembered(
        row, now=now, policy=policy
    )
    crashed = row.in_doubt_since is None
    if replay_allowed and (crashed or not policy.inquiry_configured):
        return Step.SEND
    return Step.ASK if policy.inquiry_configured else Step.WAIT


def _key_is_remembered(row: Row, *, now: datetime, policy: PayoutPolicy) -> bool:
    """Whether a replay sent within one lease from now still meets the bank's memory of the key."""
    return key_is_kept_for(row.first_sent_at or now, now=now, policy=policy) > policy.lease


def key_is_kept_for(first_sent_at: datetime, *, now: datetime, policy: PayoutPolicy) -> timedelta:
    """How long the bank will still know a key. After that a replay would be a new payment."""
    return first_sent_at + policy.key_retention - now


def pause_before_asking(
    in_doubt_since: datetime | None,
    *,
    now: datetime,
    policy: PayoutPolicy,
    random_source: random.Random,
) -> timedelta:
    """Grow the pause with the time already spent in doubt, with full jitter, within bounds.

    The upper bound doubles as the doubt gets twice as old, so no count of tries need be kept.
    """
    age = now - in_doubt_since if in_doubt_since is not None else timedelta(0)
    most = min(max(age, policy.ask_min), policy.ask_max)
    spread = (most - policy.ask_min) * random_source.random()
    return max(policy.ask_min, policy.ask_min + spread)
