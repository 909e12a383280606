"""The bank's gate: who may claim now, and how much.

One row is the claim mutex, the rate limit, the pause and the circuit breaker of all executors.
The decisions are pure; ``enter``, ``leave`` and ``report`` bring them to the locked row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models.functions import Now

from wallets.domain.outcomes import BankHealth
from wallets.domain.policy import PayoutPolicy
from wallets.models import BankGate
from wallets.models.clock import database_now

GATE = "bank"
# Seconds' worth of tokens that may be saved up. Small, so that a burst after a pause cannot
# take much more than the limit in any one second.
_BURST_SECONDS = 0.2
_POLL = timedelta(seconds=1)
# How long everybody waits after a 429 that names no time.
_DEFAULT_THROTTLE = timedelta(seconds=1)


class Closed(StrEnum):
    BUSY = "another executor is claiming"
    THROTTLED = "the bank asked to wait"
    BREAKER_OPEN = "the circuit breaker is open"
    RATE_LIMITED = "the rate limit is used up"


@dataclass(frozen=True, slots=True)
class Permission:
    """How many rows may be claimed, or why none and how long to wait before asking again."""

    allowed: int = 0
    closed: Closed | None = None
    wait: timedelta = timedelta(0)
    probing: bool = False
    tokens: float = 0.0
    # Something to clear once the bank answers again.
    troubled: bool = False


def ensure_gate() -> None:
    BankGate.objects.get_or_create(name=GATE)


def enter() -> tuple[BankGate, datetime] | None:
    """Lock the gate's row for the open transaction; ``None`` when somebody else has it.

    Returns the database's time with it.
    """
    gates = BankGate.objects.select_for_update(skip_locked=True, no_key=True)
    gate = gates.filter(name=GATE).annotate(database_now=Now()).first()
    return None if gate is None else (gate, gate.database_now)


def permit(gate: BankGate, *, wanted: int, now: datetime, policy: PayoutPolicy) -> Permission:
    """Decide, without changing anything, how many of ``wanted`` rows may be claimed at ``now``."""
    troubled = gate.consecutive_failures > 0 or gate.breaker != BankGate.Breaker.CLOSED
    if gate.paused_until is not None and gate.paused_until > now:
        return Permission(closed=Closed.THROTTLED, wait=gate.paused_until - now, troubled=troubled)
    probing = gate.breaker != BankGate.Breaker.CLOSED
    if probing and gate.retry_at is not None and gate.retry_at > now:
        wait = min(gate.retry_at - now, _POLL)
        return Permission(closed=Closed.BREAKER_OPEN, wait=wait, troubled=True)
    # A failing bank is approached with no more rows than may fail before the breaker opens.
    most = 1 if probing else max(1, policy.breaker_failures - gate.consecutive_failures)
    allowed = min(wanted, most) if troubled else wanted
    tokens = _tokens(gate, now, policy)
    if policy.max_rps > 0:
        if tokens < 1:
            wait = timedelta(seconds=(1 - tokens) / policy.max_rps)
            return Permission(closed=Closed.RATE_LIMITED, wait=wait, troubled=troubled)
        allowed = min(allowed, int(tokens))
    return Permission(allowed=allowed, probing=probing, tokens=tokens, troubled=troubled)


def _tokens(gate: BankGate, now: datetime, policy: PayoutPolicy) -> float:
    capacity = max(1.0, policy.max_rps * _BURST_SECONDS)
    if gate.refilled_at is None:
        return capacity
    elapsed = max(0.0, (now - gate.refilled_at).total_seconds())
    return min(capacity, gate.tokens + elapsed * policy.max_rps)


def leave(
    gate: BankGate,
    permission: Permission,
    *,
    taken: int,
    now: datetime,
    policy: PayoutPolicy,
) -> None:
    """Record what was taken through the gate; the caller still holds its lock."""
    if not taken:
        return
    changed = []
    if policy.max_rps > 0:
        gate.tokens, gate.refilled_at = permission.tokens - taken, now
        changed += ["tokens", "refilled_at"]
    if permission.probing:
        # If the prober dies, its lease runs out and the next executor probes.
        gate.breaker, gate.retry_at = BankGate.Breaker.HALF_OPEN, now + policy.lease
        changed += ["breaker", "retry_at"]
    if changed:
        gate.save(update_fields=changed)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one finished call says about the bank as a whole, in the order calls finished."""

    health: BankHealth
    retry_after: float | None  # seconds
    # Requests made beyond the one that was paid for at the gate.
    extra_requests: int


def report(findings: Sequence[Finding], *, policy: PayoutPolicy) -> Permission:
    """Tell the gate how the bank behaved; return what it would now permit."""
    with transaction.atomic():
        gate = BankGate.objects.select_for_update(no_key=True).get(name=GATE)
        now = database_now()
        for finding in findings:
            _absorb(gate, finding, now, policy)
        gate.save()
    return permit(gate, wanted=1, now=now, policy=policy)


def _absorb(gate: BankGate, finding: Finding, now: datetime, policy: PayoutPolicy) -> None:
    gate.tokens -= finding.extra_requests
    half_open = gate.breaker == BankGate.Breaker.HALF_OPEN
    match finding.health:
        case BankHealth.ANSWERED:
            gate.consecutive_failures = 0
            if half_open:
                _close(gate)
        case BankHealth.THROTTLED:
            pause = (
                _DEFAULT_THROTTLE
                if finding.retry_after is None
                else min(timedelta(seconds=finding.retry_after), policy.throttle_cap)
            )
            gate.paused_until = max(gate.paused_until or now, now + pause)
            if half_open:
                _close(gate)
        case BankHealth.UNREACHABLE:
            gate.consecutive_failures += 1
            if half_open or gate.consecutive_failures >= policy.breaker_failures:
                _open(gate, now, policy)
        case BankHealth.MISCONFIGURED:
            _open(gate, now, policy)
        case BankHealth.UNTRIED:
            if half_open:
                gate.retry_at = now


def _open(gate: BankGate, now: datetime, policy: PayoutPolicy) -> None:
    gate.breaker = BankGate.Breaker.OPEN
    gate.retry_at = now + policy.breaker_cooldown


def _close(gate: BankGate) -> None:
    gate.breaker = BankGate.Breaker.CLOSED
    gate.consecutive_failures = 0
    gate.retry_at = None
