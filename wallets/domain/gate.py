"""The bank's gate: who may claim now, and how much.

One row is the claim mutex, the rate limit, the pauses and the circuit breaker of all executors.
The decisions are pure; ``enter``, ``leave`` and ``report`` bring them to the locked row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models.functions import Now

from wallets.domain.outcomes import BankHealth
from wallets.domain.policy import PayoutPolicy
from wallets.models import BankGate
from wallets.models.clock import database_now

GATE = "bank"
# Seconds' worth of tokens that may be saved up, for what comes late to the gate.
_BURST_SECONDS = 0.1
# What is claimed within one second may be sent within a shorter one: this much is left for that.
_SPREAD = 0.06
_POLL = timedelta(seconds=1)
# How long everybody waits after a 429 that names no time.
_DEFAULT_THROTTLE = timedelta(seconds=1)
# What ``report`` may change. A pause by a person is not the bank's to lift.
_BANK_COLUMNS = ("tokens", "paused_until", "breaker", "consecutive_failures", "retry_at")


class Closed(StrEnum):
    BUSY = "another executor is claiming"
    HALTED = "payouts are paused"
    THROTTLED = "the bank asked to wait"
    BREAKER_OPEN = "the circuit breaker is open"
    RATE_LIMITED = "the rate limit is used up"


@dataclass(frozen=True, slots=True)
class Permission:
    """How many rows may be claimed, or why none and how long to wait before asking again.

    While payouts are paused (``HALTED``) some may be allowed, but only to be asked about.
    """

    allowed: int = 0
    closed: Closed | None = None
    wait: timedelta = timedelta(0)
    probing: bool = False
    # Only a transfer can show that what opened the breaker is over.
    must_send: bool = False
    tokens: float = 0.0
    # Something to clear once the bank answers again.
    troubled: bool = False
    halted_reason: str = ""

    @property
    def asks_only(self) -> bool:
        return self.closed is Closed.HALTED

    @property
    def shut(self) -> bool:
        """Nothing more should go to the bank, not even what has been claimed."""
        return not self.allowed and self.closed not in (None, Closed.BUSY, Closed.RATE_LIMITED)


def ensure_gate() -> None:
    BankGate.objects.get_or_create(name=GATE)


def enter() -> tuple[BankGate, datetime] | None:
    """Lock the gate's row for the open transaction; ``None`` when somebody else has it.

    Returns the database's time with it.
    """
    gates = BankGate.objects.select_for_update(skip_locked=True, no_key=True)
    gate = gates.filter(name=GATE).annotate(database_now=Now()).first()
    return None if gate is None else (gate, gate.database_now)


def keep_claims_out() -> None:
    """Wait for the claim that is under way, and let none begin until the transaction ends."""
    BankGate.objects.select_for_update(no_key=True).filter(name=GATE).first()


def permit(gate: BankGate, *, wanted: int, now: datetime, policy: PayoutPolicy) -> Permission:
    """Decide, without changing anything, how many of ``wanted`` rows may be claimed at ``now``."""
    permission = _permitted_by_the_bank(gate, wanted=wanted, now=now, policy=policy)
    if gate.halted_at is None:
        return permission
    return replace(
        permission,
        allowed=permission.allowed if policy.inquiry_configured else 0,
        closed=Closed.HALTED,
        wait=max(permission.wait, _POLL),
        must_send=False,
        halted_reason=gate.halted_reason,
    )


def _permitted_by_the_bank(
    gate: BankGate, *, wanted: int, now: datetime, policy: PayoutPolicy
) -> Permission:
    probing = gate.breaker != BankGate.Breaker.CLOSED
    troubled = probing or gate.consecutive_failures > 0
    throttled = _still_ahead(gate.paused_until, now, policy.throttle_cap)
    if throttled:
        return Permission(closed=Closed.THROTTLED, wait=throttled, troubled=troubled)
    half_open = gate.breaker == BankGate.Breaker.HALF_OPEN
    longest = policy.lease if half_open else policy.breaker_cooldown
    cooling = _still_ahead(gate.retry_at, now, longest) if probing else timedelta(0)
    if cooling:
        return Permission(closed=Closed.BREAKER_OPEN, wait=min(cooling, _POLL), troubled=True)
    # A failing bank is approached with no more rows than may fail before the breaker opens.
    most = 1 if probing else max(1, policy.breaker_failures - gate.consecutive_failures)
    allowed = min(wanted, most) if troubled else wanted
    tokens = _tokens(gate, now, policy)
    if policy.max_rps > 0:
        if tokens < 1:
            # Rounded up, so that whoever waits so long finds a whole token.
            seconds = (1 - tokens) / _refill_rate(policy)
            wait = timedelta(seconds=seconds) + timedelta.resolution
            return Permission(closed=Closed.RATE_LIMITED, wait=wait, troubled=troubled)
        allowed = min(allowed, int(tokens))
    return Permission(
        allowed=allowed,
        probing=probing,
        must_send=probing and gate.consecutive_failures == 0,
        tokens=tokens,
        troubled=troubled,
    )


def _still_ahead(until: datetime | None, now: datetime, longest: timedelta) -> timedelta:
    """How far ``until`` lies ahead; nothing where it lies further than it was ever set.

    That is what a clock that was set back looks like, and it must not close the gate for hours.
    """
    if until is None:
        return timedelta(0)
    ahead = until - now
    return ahead if timedelta(0) < ahead <= longest else timedelta(0)


def _burst(policy: PayoutPolicy) -> float:
    return max(1.0, policy.max_rps * _BURST_SECONDS)


def _refill_rate(policy: PayoutPolicy) -> float:
    """Tokens a second. What may be saved up is taken off the limit, so that a full bucket and a
    second's refill together are less than the limit: it holds in any second, not on average."""
    return policy.max_rps * (1 - _SPREAD) - _burst(policy) + 1


def _tokens(gate: BankGate, now: datetime, policy: PayoutPolicy) -> float:
    # A refill in the future: the clock was set back.
    if gate.refilled_at is None or gate.refilled_at > now:
        return _burst(policy)
    elapsed = (now - gate.refilled_at).total_seconds()
    return min(_burst(policy), gate.tokens + elapsed * _refill_rate(policy))


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
    retry_after: float | None = None  # seconds
    # Requests made beyond the one that was paid for at the gate.
    extra_requests: int = 0
    # The call was the one let through a breaker that was open.
    probe: bool = False


def report(findings: Sequence[Finding], *, policy: PayoutPolicy) -> Permission:
    """Tell the gate how the bank behaved; return what it would now permit."""
    with transaction.atomic():
        gate = BankGate.objects.select_for_update(no_key=True).get(name=GATE)
        now = database_now()
        for finding in findings:
            absorb(gate, finding, now=now, policy=policy)
        gate.save(update_fields=_BANK_COLUMNS)
    return permit(gate, wanted=1, now=now, policy=policy)


def absorb(gate: BankGate, finding: Finding, *, now: datetime, policy: PayoutPolicy) -> None:
    """Change ``gate`` in memory by what one call showed.

    Only the probe closes a half-open breaker or opens it again. What was sent before it opened and
    comes back late says how the bank was, not how it is.
    """
    if policy.max_rps > 0:
        gate.tokens -= finding.extra_requests
    probed = finding.probe and gate.breaker == BankGate.Breaker.HALF_OPEN
    match finding.health:
        case BankHealth.ANSWERED:
            gate.consecutive_failures = 0
            if probed:
                _close(gate)
        case BankHealth.THROTTLED:
            pause = (
                min(_DEFAULT_THROTTLE, policy.throttle_cap)
                if finding.retry_after is None
                else min(timedelta(seconds=finding.retry_after), policy.throttle_cap)
            )
            ahead = _still_ahead(gate.paused_until, now, policy.throttle_cap)
            gate.paused_until = now + max(ahead, pause)
            if probed:
                _close(gate)
        case BankHealth.UNREACHABLE:
            gate.consecutive_failures += 1
            closed = gate.breaker == BankGate.Breaker.CLOSED
            if probed or (closed and gate.consecutive_failures >= policy.breaker_failures):
                _open(gate, now, policy)
        case BankHealth.MISCONFIGURED:
            # Not a failure to reach the bank: with none counted the probe will be a transfer.
            gate.consecutive_failures = 0
            _open(gate, now, policy)
        case BankHealth.UNTRIED:
            if probed:
                gate.retry_at = now


def _open(gate: BankGate, now: datetime, policy: PayoutPolicy) -> None:
    gate.breaker = BankGate.Breaker.OPEN
    gate.retry_at = now + policy.breaker_cooldown


def _close(gate: BankGate) -> None:
    gate.breaker = BankGate.Breaker.CLOSED
    gate.consecutive_failures = 0
    gate.retry_at = None
