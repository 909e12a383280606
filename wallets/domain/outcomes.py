"""What a bank's answer means, decided once and by pure code.

``classify`` reads one try, ``judge_transfer`` and ``judge_inquiry`` say what follows for the money.
The rule behind every line: money is given back only on proof that the bank neither paid nor will,
it is counted as paid only on a plain statement that it was, and everything else is in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wallets.domain.bank_answer import BankAnswer, clean_text

# Statuses that mean our own configuration is wrong, not that this payment is.
_MISCONFIGURED = frozenset({401, 403, 404, 405})
# Statuses below 500 that ask for the same request once more.
_TRY_AGAIN = frozenset({408, 425, 429})


class Idempotency(StrEnum):
    """What the bank promises for a key it sees again."""

    FULL = "full"
    SUCCESS_ONLY = "success_only"
    NONE = "none"


class Verdict(StrEnum):
    PAID = "paid"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"
    # Still held, and will be taken up again as if it had not been tried.
    HANDED_BACK = "handed_back"


class CallKind(StrEnum):
    TRANSFER = "transfer"
    INQUIRY = "inquiry"


class BankHealth(StrEnum):
    """What a call tells about the bank itself; the circuit breaker lives on this."""

    ANSWERED = "answered"
    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"
    THROTTLED = "throttled"
    UNTRIED = "untried"


class Transport(StrEnum):
    ANSWERED = "answered"
    NOT_SENT = "not_sent"
    MAY_HAVE_ARRIVED = "may_have_arrived"


class Meaning(StrEnum):
    """What one try, taken by itself, says."""

    PAID = "paid"
    REFUSED = "refused"
    PENDING = "pending"
    NOT_FOUND = "not_found"
    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A payment as the bank is asked for it; ``amount`` in minor units."""

    idempotency_key: str
    wallet_owner_ref: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What one try showed, before anybody asks what it means.

    ``started`` is in monotonic seconds, ``duration`` and ``retry_after`` in seconds. ``detail`` is
    one word for how a try broke. ``body`` is as it came and at most as long as the gateway's cap.
    """

    kind: CallKind
    started: float
    duration: float
    transport: Transport
    detail: str = ""
    http_status: int | None = None
    body: bytes = b""
    retry_after: float | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One try, read. ``may_have_arrived`` means: and was not answered as not executed."""

    meaning: Meaning
    reason: str
    health: BankHealth
    may_have_arrived: bool = False
    retryable: bool = False
    reference: str | None = None
    alarm: str | None = None
    # A refusal in so many words, not just a status that anything on the way may have set.
    in_words: bool = False
    # What the record of the call shows, where the meaning alone would say too little.
    word: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One try as it is kept for auditors; ``started`` in monotonic seconds."""

    kind: CallKind
    started: float
    duration_ms: int
    http_status: int | None
    verdict: str
    reference: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to. ``may_have_arrived`` speaks of this call's own tries only."""

    verdict: Verdict
    reason: str
    reference: str | None
    may_have_arrived: bool
    proof: CallKind
    alarm: str | None
    retry_after: float | None
    health: BankHealth
    records: tuple[CallRecord, ...]


# --- From a call's tries to an outcome -----------------------------------------------------------


def may_retry(finding: Finding, tries_left: int, idempotency: Idempotency) -> bool:
    """Whether the same bytes may go out once more."""
    if not finding.retryable or tries_left <= 0:
        return False
    return not (finding.may_have_arrived and idempotency is Idempotency.NONE)


def may_send_again(*, maybe_sent: bool, idempotency: Idempotency) -> bool:
    """Whether a transfer may go out at all: a bank that ignores keys would pay it twice."""
    return not (maybe_sent and idempotency is Idempotency.NONE)


def judge_transfer(
    tries: Sequence[Observation],
    *,
    transfer: Transfer,
    maybe_sent: bool,
    idempotency: Idempotency,
    inquiry_configured: bool,
    cut_short: bool = False,
) -> Outcome:
    """The outcome of all tries of one call.

    ``maybe_sent``: an earlier call may have reached the bank. ``cut_short``: the caller was told to
    stop while tries were left, so that running out of luck is not yet proof of anything.
    """
    if not tries:
        return _untried(may_send_again(maybe_sent=maybe_sent, idempotency=idempotency))
    findings = [classify(observation, transfer) for observation in tries]
    verdict, reason = _weigh(
        findings,
        maybe_sent=maybe_sent,
        refusals_stick=idempotency is Idempotency.FULL and not inquiry_configured,
        cut_short=cut_short,
    )
    return _outcome(verdict, reason, tries, findings, CallKind.TRANSFER)


def judge_inquiry(
    observation: Observation,
    *,
    transfer: Transfer,
    idempotency: Idempotency,
    seconds_since_last_send: float | None,
    not_found_grace: float,
) -> Outcome:
    """What the bank's word about a key settles.

    ``seconds_since_last_send`` is as measured when the question was asked; ``None``: unknown, or so
    long ago that the bank may have forgotten the key. "Not found" is proof only when asked so late
    that nothing sent before can still be on its way. So is "failed" from a bank that remembers only
    payments, which would pay a request that comes after it.
    """
    finding = classify(observation, transfer)
    verdict, reason = Verdict.IN_DOUBT, finding.reason
    late = seconds_since_last_send is not None and seconds_since_last_send >= not_found_grace
    if finding.meaning is Meaning.PAID:
        verdict = Verdict.PAID
    elif finding.meaning is Meaning.REFUSED:
        if late or idempotency is not Idempotency.SUCCESS_ONLY:
            verdict = Verdict.REFUSED
        else:
            reason = "refused_while_in_doubt"
    elif finding.meaning is Meaning.NOT_FOUND and late:
        verdict, reason = Verdict.REFUSED, "network_error"
    return _outcome(verdict, reason, [observation], [finding], CallKind.INQUIRY)


def _untried(allowed: bool) -> Outcome:
    return Outcome(
        verdict=Verdict.HANDED_BACK if allowed else Verdict.IN_DOUBT,
        reason="unsent" if allowed else "resend_forbidden",
        reference=None,
        may_have_arrived=False,
        proof=CallKind.TRANSFER,
        alarm=None,
        retry_after=None,
        health=BankHealth.UNTRIED,
        records=(),
    )


def _weigh(
    findings: Sequence[Finding],
    *,
    maybe_sent: bool,
    refusals_stick: bool,
    cut_short: bool,
) -> tuple[Verdict, str]:
    last, earlier = findings[-1], findings[:-1]
    open_tries = [finding for finding in earlier if finding.may_have_arrived]
    if last.meaning is Meaning.PAID:
        return Verdict.PAID, last.reason
    if last.meaning is Meaning.REFUSED:
        clean = not maybe_sent and not open_tries
        # A bare 503 may come from anything on the way to the bank: it says nothing about an
        # earlier try, whatever the bank promises for repeated keys.
        if clean or (refusals_stick and last.in_words):
            return Verdict.REFUSED, last.reason
        return Verdict.IN_DOUBT, "refused_while_in_doubt"
    if last.may_have_arrived:
        return Verdict.IN_DOUBT, last.reason
    if open_tries:
        return Verdict.IN_DOUBT, open_tries[-1].reason
    return _weigh_unsent(findings, maybe_sent=maybe_sent, cut_short=cut_short)


def _weigh_unsent(
    findings: Sequence[Finding], *, maybe_sent: bool, cut_short: bool
) -> tuple[Verdict, str]:
    """No try of this call was executed: all were unsent, throttled or turned away at the door."""
    answered = [finding for finding in findings if finding.meaning is not Meaning.NOT_SENT]
    if answered:
        return Verdict.HANDED_BACK, answered[-1].reason
    if cut_short:
        return Verdict.HANDED_BACK, "unsent"
    if maybe_sent:
        return Verdict.IN_DOUBT, findings[-1].reason
    return Verdict.REFUSED, findings[-1].reason


def _outcome(
    verdict: Verdict,
    reason: str,
    tries: Sequence[Observation],
    findings: Sequence[Finding],
    proof: CallKind,
) -> Outcome:
    last = findings[-1]
    alarms = [finding.alarm for finding in reversed(findings) if finding.alarm]
    return Outcome(
        verdict=verdict,
        reason=reason,
        reference=last.reference,
        may_have_arrived=proof is CallKind.TRANSFER and any(f.may_have_arrived for f in findings),
        proof=proof,
        alarm=alarms[0] if alarms else None,
        retry_after=tries[-1].retry_after,
        health=last.health,
        records=tuple(map(_record, tries, findings)),
    )


def _record(observation: Observation, finding: Finding) -> CallRecord:
    return CallRecord(
        kind=observation.kind,
        started=observation.started,
        duration_ms=round(observation.duration * 1000),
        http_status=observation.http_status,
        verdict=finding.word or finding.meaning.value,
        reference=finding.reference,
        digest=observation.digest,
    )


# --- One try -------------------------------------------------------------------------------------


def classify(observation: Observation, transfer: Transfer) -> Finding:
    """What one try says by itself, without a look at the tries around it."""
    if observation.transport is Transport.NOT_SENT:
        return Finding(
            Meaning.NOT_SENT,
            "network_error",
            BankHealth.UNREACHABLE,
            retryable=True,
            word=clean_text(observation.detail, 64),
        )
    status = observation.http_status
    if observation.transport is Transport.MAY_HAVE_ARRIVED or status is None:
        return _unclear(clean_text(observation.detail, 64) or "transport_error", retryable=True)
    answer = BankAnswer(
        observation.body,
        idempotency_key=transfer.idempotency_key,
        amount=transfer.amount,
        currency=transfer.currency,
    )
    if 200 <= status < 300:
        return _classify_2xx(answer)
    if observation.kind is CallKind.INQUIRY:
        return _classify_inquiry_error(status, answer)
    return _classify_transfer_error(status, answer)


def _classify_2xx(answer: BankAnswer) -> Finding:
    if answer.says_refused:
        return _refusal(answer)
    if answer.says_paid:
        return _payment(answer)
    if answer.says_pending:
        return Finding(
            Meaning.PENDING,
            "pending_at_bank",
            BankHealth.ANSWERED,
            may_have_arrived=True,
            reference=answer.reference,
        )
    return _unclear("unreadable_answer", retryable=True)


def _classify_transfer_error(status: int, answer: BankAnswer) -> Finding:
    retryable = status in _TRY_AGAIN or (status != 503 and not 400 <= status < 500)
    if status in (409, 422) and answer.speaks_of_another_body:
        return _unclear("key_reused", health=BankHealth.ANSWERED, alarm="key_reused")
    if status == 409:
        return _unclear("conflict", health=BankHealth.ANSWERED)
    if answer.hints_at_payment:
        health = BankHealth.UNREACHABLE if retryable else BankHealth.ANSWERED
        return _unclear("contradictory_answer", retryable=retryable, health=health)
    if status == 503:
        return _refusal(answer)
    if status == 429:
        return Finding(Meaning.THROTTLED, "throttled", BankHealth.THROTTLED, retryable=True)
    if status in _MISCONFIGURED:
        return Finding(
            Meaning.MISCONFIGURED,
            "misconfigured",
            BankHealth.MISCONFIGURED,
            alarm="misconfigured",
        )
    if 300 <= status < 400:
        return _unclear("redirected", retryable=True, alarm="redirected")
    if retryable:
        return _unclear(f"http_{status}", retryable=True)
    if answer.says_refused:
        return _refusal(answer)
    return _unclear(f"http_{status}", health=BankHealth.ANSWERED)


def _classify_inquiry_error(status: int, answer: BankAnswer) -> Finding:
    if status == 404 and answer.says_not_found and answer.is_ours:
        return Finding(Meaning.NOT_FOUND, "not_found", BankHealth.ANSWERED)
    if status == 429:
        return Finding(Meaning.THROTTLED, "throttled", BankHealth.THROTTLED)
    if status in _MISCONFIGURED:
        return _unclear(f"http_{status}", health=BankHealth.ANSWERED, alarm="inquiry_misconfigured")
    if not (status == 503 or 400 <= status < 500):
        return _unclear(f"http_{status}")
    # The bank may give the answer the transfer got, status included; then the words decide.
    if answer.says_refused and status not in _TRY_AGAIN and status != 409:
        return _refusal(answer)
    return _unclear(f"http_{status}", health=BankHealth.ANSWERED)


def _payment(answer: BankAnswer) -> Finding:
    if not answer.is_ours:
        return _unclear("echo_mismatch", health=BankHealth.ANSWERED, alarm="echo_mismatch")
    return Finding(
        Meaning.PAID,
        "paid",
        BankHealth.ANSWERED,
        may_have_arrived=True,
        reference=answer.reference,
    )


def _refusal(answer: BankAnswer) -> Finding:
    if not answer.is_ours:
        return _unclear("echo_mismatch", health=BankHealth.ANSWERED, alarm="echo_mismatch")
    return Finding(
        Meaning.REFUSED,
        answer.reason or ("bank_refused" if answer.says_refused else "bank_unavailable"),
        BankHealth.ANSWERED,
        reference=answer.reference,
        in_words=answer.says_refused,
    )


def _unclear(
    reason: str,
    *,
    retryable: bool = False,
    health: BankHealth = BankHealth.UNREACHABLE,
    alarm: str | None = None,
) -> Finding:
    return Finding(
        Meaning.UNCLEAR,
        reason,
        health,
        may_have_arrived=True,
        retryable=retryable,
        alarm=alarm,
        word=reason,
    )
