"""Our side of the protocol: the domain's own pure functions, called with one row.

A state of the model is spelled out as a ``Row`` at a fixed time, given to the code under proof, and
what comes back is read into a state again. Taking a guard away means telling that guard a lie.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

from proof.model import states
from proof.model.options import Options
from proof.model.states import ANSWERED, IDLE, LONG_AGO, NEVER, NOBODY, RECENTLY, Hand, Record
from wallets.domain.ledger import LockedWallet, Movement
from wallets.domain.outcomes import (
    CallKind,
    Idempotency,
    Observation,
    Outcome,
    Transfer,
    Transport,
    Verdict,
    classify,
    judge_inquiry,
    judge_transfer,
    may_retry,
)
from wallets.domain.policy import PayoutPolicy
from wallets.domain.withdrawals import claim, lifecycle, settle
from wallets.domain.withdrawals.followup import Step, next_step
from wallets.domain.withdrawals.lifecycle import Transition
from wallets.domain.withdrawals.rows import Row

AMOUNT = 60
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LEASE = timedelta(seconds=30)
_GRACE = 60.0  # seconds
_RETENTION = timedelta(days=1)
_FIRST = {NEVER: None, RECENTLY: _NOW - timedelta(hours=3), LONG_AGO: _NOW - 2 * _RETENTION}
_LAST = {NEVER: None, RECENTLY: _NOW - timedelta(seconds=1), LONG_AGO: _NOW - timedelta(hours=2)}
_SINCE = {NEVER: None, RECENTLY: 1.0, LONG_AGO: 7_200.0}  # seconds
_WORKERS = {"A": uuid.UUID(int=1), "B": uuid.UUID(int=2), states.DEAD: uuid.UUID(int=3)}
_NAMES = {worker: name for name, worker in _WORKERS.items()}
_EPOCH, _OLDER_EPOCH = 5, 4
_KEY = uuid.UUID(int=99)
_OWNER = (uuid.UUID(int=98), "IRR")
_TRANSFER = Transfer(str(_KEY), str(_OWNER[0]), AMOUNT, _OWNER[1])
_UNDECIDED = random.Random(0)  # the length of a pause is not part of the model

Move = tuple[str, str]  # (debit account, credit account)
F = TypeVar("F", bound=Callable[..., object])


def _seen(kind: CallKind, status: int | None, body: bytes = b"") -> Observation:
    transport = Transport.MAY_HAVE_ARRIVED if status is None else Transport.ANSWERED
    return Observation(kind, 0.0, 0.0, transport, detail="", http_status=status, body=body)


def _said(word: str, status: int = 200) -> bytes:
    return f'{{"data": "{word}", "status": {status}}}'.encode()


# What a try may show, by one letter each.
UNANSWERED, UNSENT, THROTTLED, TURNED_AWAY, UNAVAILABLE = "u", "n", "t", "m", "v"
ANSWERS = {states.PAID: "P", states.REFUSED: "R", states.PENDING: "D"}
TRIES = {
    UNANSWERED: _seen(CallKind.TRANSFER, None),
    UNSENT: Observation(CallKind.TRANSFER, 0.0, 0.0, Transport.NOT_SENT, detail="refused"),
    THROTTLED: _seen(CallKind.TRANSFER, 429),
    TURNED_AWAY: _seen(CallKind.TRANSFER, 401),
    UNAVAILABLE: _seen(CallKind.TRANSFER, 503),
    "P": _seen(CallKind.TRANSFER, 200, _said("success")),
    "R": _seen(CallKind.TRANSFER, 200, _said("failed", 503)),
    "D": _seen(CallKind.TRANSFER, 200, _said("pending")),
}
NO_WORD = "no word"
_WORDS = {
    NO_WORD: _seen(CallKind.INQUIRY, None),
    states.PAID: _seen(CallKind.INQUIRY, 200, _said("success")),
    states.REFUSED: _seen(CallKind.INQUIRY, 200, _said("failed", 503)),
    states.PENDING: _seen(CallKind.INQUIRY, 200, _said("pending")),
    states.UNKNOWN: _seen(CallKind.INQUIRY, 404, b'{"data": "not_found"}'),
}


class Taken(NamedTuple):
    """A row that was claimed or taken over. ``hand`` is empty when it waits for a person."""

    record: Record
    hand: Hand | None
    move: Move | None
    # The row now calls this moment its last send.
    stamped: bool


class Ended(NamedTuple):
    record: Record
    move: Move | None
    stamped: bool


def _remembered(method: F) -> F:
    """The model is asked the same small questions millions of times."""
    return cast(F, lru_cache(maxsize=None)(method))


class Ours:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._policy = PayoutPolicy(
            lease=_LEASE,
            idempotency=options.bank if options.keeps("no_resend") else Idempotency.FULL,
            inquiry_configured=options.inquiry,
            key_retention=_RETENTION if options.keeps("key_retention") else timedelta(days=9_999),
            ask_min=timedelta(seconds=2),
            ask_max=timedelta(seconds=900),
            max_rps=0.0,
            breaker_failures=10,
            breaker_cooldown=timedelta(seconds=30),
            throttle_cap=timedelta(seconds=60),
        )
        self.outcomes: list[Outcome] = []
        self._known: dict[tuple[Verdict, bool], int] = {}

    # --- The row in the database -----------------------------------------------------------------

    @_remembered
    def claimed(self, record: Record, who: str) -> Taken:
        row = _spelled(record)
        transition = lifecycle.claimed(row, worker=_WORKERS[who], until=_NOW + _LEASE, now=_NOW)
        return self._taken(row, transition, Step.SEND, who)

    @_remembered
    def refused_for_funds(self, record: Record) -> Record:
        return _read(lifecycle.refused_for_funds(_spelled(record)))

    @_remembered
    def taken_over(self, record: Record, who: str) -> Taken:
        row = _spelled(record)
        if not self._options.keeps("vanished"):
            row = replace(row, lease_owner=None)
        vanished = row.lease_owner is not None
        step = next_step(row, vanished=vanished, now=_NOW, policy=self._policy)
        if step is Step.WAIT:
            waits = lifecycle.stranded(row, until=_NOW + _LEASE, now=_NOW, known=False)
            return Taken(_read(waits), None, None, _stamps(waits))
        until = _NOW + _LEASE
        transition = lifecycle.reclaimed(row, worker=_WORKERS[who], until=until, now=_NOW)
        return self._taken(row, transition, step, who)

    @_remembered
    def settled(self, record: Record, hand: Hand) -> Ended | None:
        """What the answer in ``hand`` does to the row; ``None``: it is dropped."""
        row, worker = _spelled(record), _WORKERS[hand.who]
        outcome = self.outcomes[hand.outcome]
        epoch = _OLDER_EPOCH if hand.stale else _EPOCH
        if not self._options.keeps("epoch"):
            epoch = row.epoch
        if not self._options.keeps("lease_owner"):
            row = replace(row, lease_owner=worker)
        if not self._options.keeps("paid_on_processing") and outcome.verdict is Verdict.PAID:
            row = replace(row, status=states.PROCESSING)
        transition = settle._end(
            row,
            settle.Result(row.id, epoch, outcome, brought_at=0.0),
            worker=worker,
            now=_NOW,
            policy=self._policy,
            random_source=_UNDECIDED,
            settled=settle.Settled(),
        )
        if transition is None:
            return None
        return Ended(_read(transition), _move(transition), _stamps(transition))

    @_remembered
    def waits_for_a_person(self, record: Record) -> bool:
        """Nothing more will be sent or can be learned by asking."""
        if record.status != states.PROCESSING or record.owner or not record.in_doubt:
            return False
        step = next_step(_spelled(record), vanished=False, now=_NOW, policy=self._policy)
        forgotten = record.first_sent == LONG_AGO
        return step is Step.WAIT or (step is Step.ASK and forgotten)

    def _taken(self, row: Row, transition: Transition, step: Step, who: str) -> Taken:
        held = claim._in_hand(
            row, transition, step, {row.wallet_id: _OWNER}, _NOW, self._policy, False
        )
        asking = held.step is Step.ASK
        hand = Hand(
            who=who,
            stale=False,
            step=states.ASK if asking else states.SEND,
            fresh=not asking,
            key_kept=held.key_kept_seconds > 0,
            maybe_sent=held.maybe_sent and not asking,
            last_sent=_age(held.seconds_since_last_send) if asking else NEVER,
        )
        return Taken(_read(transition), hand, _move(transition), _stamps(transition))

    # --- The call --------------------------------------------------------------------------------

    @_remembered
    def after_try(self, hand: Hand, seen: str) -> Hand:
        """The gateway's loop: try once more, or judge what there is."""
        tries = hand.tries + seen
        left = self._options.size.retries + 1 - len(tries)
        if may_retry(classify(TRIES[seen], _TRANSFER), left, self._policy.idempotency):
            return hand._replace(phase=IDLE, tries=tries)
        return self._judged(hand._replace(tries=tries), cut_short=False)

    @_remembered
    def cut_short(self, hand: Hand) -> Hand:
        return self._judged(hand, cut_short=True)

    @_remembered
    def after_inquiry(self, hand: Hand, word: str) -> Hand:
        # What the executor tells the gateway: see ``Callers._call``.
        kept = hand.key_kept or not self._options.keeps("not_found_retention")
        since = _SINCE[hand.last_sent] if kept else None
        outcome = judge_inquiry(
            _WORDS[word],
            transfer=_TRANSFER,
            idempotency=(
                self._options.bank if self._options.keeps("inquiry_sticks") else Idempotency.FULL
            ),
            seconds_since_last_send=since,
            not_found_grace=_GRACE if self._options.keeps("not_found_grace") else 0.0,
        )
        return self._with(hand, outcome)

    def _judged(self, hand: Hand, *, cut_short: bool) -> Hand:
        outcome = judge_transfer(
            [TRIES[seen] for seen in hand.tries],
            transfer=_TRANSFER,
            maybe_sent=hand.maybe_sent and self._options.keeps("maybe_sent"),
            idempotency=self._options.bank,
            inquiry_configured=self._options.inquiry,
            cut_short=cut_short,
        )
        return self._with(hand, outcome)

    def _with(self, hand: Hand, outcome: Outcome) -> Hand:
        sent = any(record.kind is CallKind.TRANSFER for record in outcome.records)
        kind = (outcome.verdict, sent)
        if kind not in self._known:
            self._known[kind] = len(self.outcomes)
            self.outcomes.append(outcome)
        return Hand(hand.who, hand.stale, hand.step, ANSWERED, outcome=self._known[kind])


def affordable(balance: int) -> bool:
    """Whether the claim would pay one withdrawal out of this balance."""
    row = _spelled(Record())
    wallet = LockedWallet(row.wallet_id, _OWNER[0], _OWNER[1], balance)
    return bool(claim.decide([row], {row.wallet_id: wallet})[0])


# --- Spelling out and reading -------------------------------------------------------------------


def _spelled(record: Record) -> Row:
    return Row(
        id=1,
        wallet_id=1,
        status=record.status,
        amount=AMOUNT,
        idempotency_key=_KEY,
        epoch=0 if record.status == states.SCHEDULED else _EPOCH,
        lease_owner=_WORKERS[record.owner] if record.owner else None,
        maybe_sent=record.maybe_sent,
        first_sent_at=_FIRST[record.first_sent],
        last_sent_at=_LAST[record.last_sent],
        in_doubt_since=_NOW - timedelta(hours=1) if record.in_doubt else None,
        bank_reference=None,
    )


def _read(transition: Transition) -> Record:
    state = transition.state
    first, last = state.first_sent_at, state.last_sent_at
    return Record(
        status=state.status,
        owner=_NAMES[state.lease_owner] if state.lease_owner else NOBODY,
        lapsed=state.lease_expires_at is not None and state.lease_expires_at <= _NOW,
        maybe_sent=state.maybe_sent,
        in_doubt=state.in_doubt_since is not None,
        first_sent=NEVER if first is None else _either(_NOW - first >= _RETENTION),
        last_sent=NEVER if last is None else _age((_NOW - last).total_seconds()),
    )


def _age(seconds: float | None) -> int:
    return NEVER if seconds is None else _either(seconds >= _GRACE)


def _either(long_ago: bool) -> int:
    return LONG_AGO if long_ago else RECENTLY


def _stamps(transition: Transition) -> bool:
    return transition.state.last_sent_at == _NOW


def _move(transition: Transition) -> Move | None:
    movement: Movement | None = transition.movement
    return None if movement is None else (str(movement.debit), str(movement.credit))
