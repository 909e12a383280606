"""The executor: one process that claims, calls the bank on threads, and settles.

The main thread owns the database; the threads own the network. The loop below never blocks for
longer than ``_TICK``, so a signal, a result and a lease each get their turn.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connection

from wallets.domain import gate
from wallets.domain.gate import Closed, Finding
from wallets.domain.outcomes import BankHealth, CallKind, Outcome, Verdict
from wallets.domain.policy import PayoutPolicy
from wallets.domain.statements.rows import BEGINNING, Horizon
from wallets.domain.withdrawals.agenda import look_ahead
from wallets.domain.withdrawals.claim import ClaimBatch, claim
from wallets.domain.withdrawals.followup import Step
from wallets.domain.withdrawals.lease import renew
from wallets.domain.withdrawals.settle import Result, Settled, settle
from wallets.tasks.callers import Callers
from wallets.tasks.crash_points import CrashPoint, before_commit, reach
from wallets.tasks.hand import Finished, InHand
from wallets.tasks.summary import Summary

logger = logging.getLogger("wallets.executor")
T = TypeVar("T")

_TICK = 0.2  # seconds
_SETTLE_BATCH = 100
_LOOK_BACK = 5.0  # seconds between two claims that look at the queues from their beginning
_SETTLE_AFTER = 0.05  # seconds a result may wait for company
_EMPTY_HANDED = 0.05  # seconds until the next claim after one that got nothing
_PAUSE_LOOK = 1.0  # seconds between two looks whether payouts were paused
_DATABASE_WAIT_MOST = 5.0  # seconds between two tries to reach a lost database
# What a lost connection, a restart, a deadlock or a timeout look like.
_DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)
_UNHEALTHY = (BankHealth.UNREACHABLE, BankHealth.MISCONFIGURED, BankHealth.THROTTLED)


class DatabaseLost(Exception):
    """The database stayed away for longer than a lease, so nothing in hand is ours any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How this executor runs. ``limit``: withdrawals a cycle; ``sleep_seconds``: idle pause."""

    limit: int
    concurrency: int
    loop: bool
    sleep_seconds: float


@dataclass(slots=True)
class _Ready:
    """Results that wait to be settled."""

    results: list[Result] = field(default_factory=list)
    since: float = 0.0
    # An earlier try to settle these may have committed without an acknowledgement.
    tried: bool = False


class Executor:
    def __init__(
        self,
        *,
        plan: Plan,
        policy: PayoutPolicy,
        callers: Callers,
        stop: threading.Event,
        on_cycle: Callable[[Summary], None],
        on_progress: Callable[[int], None],
        random_source: random.Random,
    ) -> None:
        self.worker = uuid.uuid4()  # a fresh one each start: a name would keep dead leases alive
        self._plan = plan
        self._policy = policy
        self._callers = callers
        self._stop = stop
        self._on_cycle = on_cycle
        self._on_progress = on_progress
        self._random = random_source
        self._lease_seconds = policy.lease.total_seconds()
        # One withdrawal in each thread, its next at hand, and as many more on their way when a
        # claim begins: the threads never wait for one, and few are held up if we die.
        self._capacity = 3 * plan.concurrency
        # Half of the threads at most wait for answers about old withdrawals, however slow.
        self._most_lapsed = max(1, plan.concurrency // 2)

        self._in_hand: dict[int, InHand] = {}
        self._ready = _Ready()
        self._summary = Summary()
        self._budget = plan.limit
        self._drained = False
        self._new = True
        self._horizon = BEGINNING
        self._look_back_at = 0.0
        self._claim_at = 0.0
        self._renew_at = 0.0
        self._bank_troubled = False
        self._gate_closed = False
        self._closed: Closed | None = None
        self._halted_reason = ""
        self._pause_look_at = 0.0
        self._looked = False
        self._stopping = False
        self._database_back_at = 0.0
        self._database_lost_at: float | None = None
        self._database_tries = 0

    # --- The loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Until done (once) or told to stop (loop).

        Raises ``DatabaseLost``, and whatever a thread or the domain raised that is nobody's answer.
        """
        logger.info("executor started", extra={"worker": str(self.worker)})
        self._callers.start()
        while not self._finished():
            self._collect(self._callers.wait(self._pause()))
            if self._stop.is_set():
                self._begin_stopping()
            if self._settle_is_due():
                self._settle()
            if self._in_hand and time.monotonic() >= self._renew_at:
                self._renew()
            if self._in_hand and time.monotonic() >= self._pause_look_at:
                self._look_for_pause()
            if self._claim_is_due():
                self._claim()
            self._end_cycle_if_over()
        self._callers.stop()
        logger.info("executor stopped", extra={"worker": str(self.worker)})

    def _finished(self) -> bool:
        if self._in_hand:
            return False
        once_done = not self._plan.loop and (self._drained or self._budget < 1)
        if self._stopping or once_done:
            self._report_cycle()
            return True
        return False

    def _pause(self) -> float:
        now = time.monotonic()
        wake = [now + _TICK]
        if self._ready.results:
            wake.append(max(self._ready.since + _SETTLE_AFTER, self._database_back_at))
        if self._wants_more():
            wake.append(max(self._claim_at, self._database_back_at))
        return max(0.0, min(wake) - now)

    # --- Results ---------------------------------------------------------------------------------

    def _collect(self, finished: list[Finished]) -> None:
        if not finished:
            return
        reach(CrashPoint.ANSWER_IN_MEMORY)
        now = time.monotonic()
        for one in finished:
            self._put_ready(one.item, one.outcome, now)
        self._tell_gate([_finding(one.item, one.outcome) for one in finished])

    def _put_ready(self, item: InHand, outcome: Outcome, now: float) -> None:
        taken_again = self._in_hand.get(item.claimed.id) is not item
        if taken_again and outcome.verdict is not Verdict.PAID:
            return  # our own lease had lapsed and we took the row again: only a payment counts
        if not self._ready.results:
            self._ready.since = now
        self._ready.results.append(
            Result(
                id=item.claimed.id,
                epoch=item.claimed.epoch,
                outcome=outcome,
                brought_at=now,
                probe=item.claimed.probe,
            )
        )

    def _settle_is_due(self) -> bool:
        ready = self._ready
        if not ready.results or not self._database_may_be_tried():
            return False
        return (
            len(ready.results) >= _SETTLE_BATCH
            or len(ready.results) >= len(self._in_hand)
            or time.monotonic() >= ready.since + _SETTLE_AFTER
        )

    def _settle(self) -> None:
        ready = self._ready
        # One result a row: a row we lost and took again may have two.
        batch = list({result.id: result for result in reversed(ready.results)}.values())
        before_commit(CrashPoint.BEFORE_SETTLE_COMMIT)
        settled = self._with_database(
            lambda: settle(
                batch,
                worker=self.worker,
                policy=self._policy,
                random_source=self._random,
                again=ready.tried,
            )
        )
        if settled is None:
            ready.tried = True
            return
        reach(CrashPoint.SETTLE_COMMITTED)
        self._log_settled(batch, settled)
        for result in batch:
            item = self._in_hand.get(result.id)
            if item is not None and item.claimed.epoch == result.epoch:
                del self._in_hand[result.id]
        self._on_progress(len(batch))
        self._summary.settled(settled)
        done = set(map(id, batch))
        self._ready = _Ready(
            results=[result for result in ready.results if id(result) not in done],
            since=ready.since,
        )

    def _log_settled(self, batch: list[Result], settled: Settled) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        by_verdict: dict[str, list[int]] = {}
        for result in batch:
            by_verdict.setdefault(result.outcome.verdict.value, []).append(result.id)
        logger.info(
            "settled",
            extra={
                "worker": str(self.worker),
                "transactions": by_verdict,
                "lost": settled.lost,
            },
        )

    # --- The bank's health -----------------------------------------------------------------------

    def _tell_gate(self, findings: list[Finding]) -> None:
        extra = sum(f.extra_requests for f in findings) if self._policy.max_rps else 0
        unhealthy = any(f.health in _UNHEALTHY for f in findings)
        if not (unhealthy or self._bank_troubled or extra):
            return
        permission = self._with_database(lambda: gate.report(findings, policy=self._policy))
        if permission is None:
            return
        self._bank_troubled = permission.troubled
        if permission.shut:
            self._gate_closed = True
            self._hand_back(self._callers.hold())
        elif self._gate_closed:
            # What was not claimed while the gate was closed may be waiting behind it.
            self._gate_closed = self._drained = False
            self._claim_at = 0.0

    def _hand_back(self, unsent: list[InHand]) -> None:
        now = time.monotonic()
        for item in unsent:
            self._put_ready(item, _unsent(), now)
        # A probe that was never made must not keep the breaker half open.
        probes = [_finding(item, _unsent()) for item in unsent if item.claimed.probe]
        if probes:
            self._tell_gate(probes)

    # --- Pauses ----------------------------------------------------------------------------------

    def _look_for_pause(self) -> None:
        """A claim meets a pause by itself. What waits in our hands must not leave either."""
        if not self._database_may_be_tried():
            return
        self._pause_look_at = time.monotonic() + _PAUSE_LOOK
        outlook = self._with_database(lambda: look_ahead(self._horizon, within=timedelta(0)))
        if outlook is not None:
            self._note_pause(outlook.halted_reason)

    def _note_pause(self, reason: str) -> None:
        if reason and not self._halted_reason:
            logger.warning("payouts are paused: %s", reason, extra={"worker": str(self.worker)})
        elif self._halted_reason and not reason:
            logger.info("payouts are resumed", extra={"worker": str(self.worker)})
        self._halted_reason = reason
        if reason and any(item.claimed.step is Step.SEND for item in self._in_hand.values()):
            self._hand_back_payouts()

    def _hand_back_payouts(self) -> None:
        """What has been sent gets its answer, questions are still asked, the rest goes back."""
        waiting = self._callers.hold()
        self._hand_back([item for item in waiting if item.claimed.step is Step.SEND])
        for item in waiting:
            if item.claimed.step is Step.ASK:
                self._callers.give(item)

    # --- Leases ----------------------------------------------------------------------------------

    def _renew(self) -> None:
        if not self._database_may_be_tried():
            return
        begun = time.monotonic()
        held = {pk: item.claimed.epoch for pk, item in self._in_hand.items()}
        before_commit(CrashPoint.IN_RENEWAL)
        kept = self._with_database(
            lambda: renew(worker=self.worker, held=held, policy=self._policy)
        )
        if kept is None:
            return
        self._renew_at = begun + self._lease_seconds / 3
        for pk in held:
            # Not ours any more: a deadline in the past keeps the threads from sending it.
            self._in_hand[pk].deadline = begun + self._lease_seconds if pk in kept else 0.0

    # --- Claims ----------------------------------------------------------------------------------

    def _free(self) -> int:
        unfinished = len(self._in_hand) - len(self._ready.results)
        return min(self._capacity - unfinished, self._budget)

    def _wants_more(self) -> bool:
        if self._stopping or self._free() < 1 or (self._drained and not self._plan.loop):
            return False
        # Few big batches rather than many small ones, unless the threads would run dry.
        return self._free() >= min(self._plan.concurrency, self._budget)

    def _claim_is_due(self) -> bool:
        return (
            self._wants_more()
            and time.monotonic() >= self._claim_at
            and self._database_may_be_tried()
        )

    def _claim(self) -> None:
        begun = time.monotonic()
        self._looked = True
        since = self._since(begun)
        if self._drained or self._new:
            # Idle, or started for nothing: one cheap look before the gate is bothered.
            wait = self._with_database(lambda: self._idle_seconds(since))
            if wait is None:
                self._claim_at = begun
                return
            self._new = False
            if wait > 0:
                self._drained = True
                self._claim_at = begun + wait
                return
        before_commit(CrashPoint.BEFORE_CLAIM_COMMIT)
        batch = self._with_database(
            lambda: claim(
                worker=self.worker,
                wanted=self._free(),
                policy=self._policy,
                random_source=self._random,
                most_lapsed=self._free_for_lapsed(),
                since=since,
            )
        )
        if batch is None:
            return
        if batch.taken:
            reach(CrashPoint.CLAIM_COMMITTED)
        if batch.reclaimed:
            reach(CrashPoint.IN_RECLAIM)
        self._take(batch, begun)
        self._horizon = batch.seen
        if not self._plan.loop and since != BEGINNING:
            # The last look of a single run is one at everything.
            self._look_back_at = begun if self._drained else self._look_back_at
            self._drained = False
        self._claim_at = begun + self._wait_after(batch)

    def _since(self, now: float) -> Horizon:
        """Mostly from where the last claim ended, now and then from the beginning."""
        if now < self._look_back_at:
            return self._horizon
        self._look_back_at = now + _LOOK_BACK
        return BEGINNING

    def _free_for_lapsed(self) -> int:
        """None until half are free: few big batches, here too."""
        lapsed = sum(item.claimed.epoch > 1 for item in self._in_hand.values())
        free = self._most_lapsed - lapsed
        return free if 2 * free >= self._most_lapsed else 0

    def _take(self, batch: ClaimBatch, begun: float) -> None:
        self._summary.claimed(batch)
        self._budget -= batch.taken
        self._drained = batch.drained
        self._gate_closed = batch.permission.shut
        if batch.permission.closed is not Closed.BUSY:
            self._note_pause(batch.permission.halted_reason)
        self._bank_troubled = self._bank_troubled or batch.permission.troubled
        self._on_progress(batch.insufficient_funds + batch.stranded)
        if not batch.claimed:
            return
        if not batch.permission.asks_only:
            self._callers.release()
        if not self._in_hand:
            self._renew_at = begun + self._lease_seconds / 3
        for claimed in batch.claimed:
            item = InHand(
                claimed,
                deadline=begun + self._lease_seconds,
                key_kept_until=begun + claimed.key_kept_seconds,
            )
            self._in_hand[claimed.id] = item
            self._callers.give(item)
        logger.info(
            "claimed",
            extra={
                "worker": str(self.worker),
                "transactions": [claimed.id for claimed in batch.claimed],
                "reclaimed": batch.reclaimed,
                "insufficient_funds": batch.insufficient_funds,
            },
        )

    def _wait_after(self, batch: ClaimBatch) -> float:
        closed = batch.permission.closed
        if closed is Closed.BUSY:
            return self._random.uniform(0.001, 0.004)
        self._log_closed(closed)
        if batch.taken:
            return 0.0
        if closed is not None:
            return min(batch.permission.wait.total_seconds(), self._plan.sleep_seconds)
        return _EMPTY_HANDED

    def _log_closed(self, closed: Closed | None) -> None:
        """Once for each change: a closed gate is asked many times, the rate limit all the time."""
        if closed not in (None, self._closed, Closed.RATE_LIMITED, Closed.HALTED):
            logger.info("not claiming: %s", closed, extra={"worker": str(self.worker)})
        self._closed = closed

    def _idle_seconds(self, since: Horizon) -> float:
        outlook = look_ahead(since, within=timedelta(seconds=self._plan.sleep_seconds))
        self._note_pause(outlook.halted_reason)
        coming = outlook.next_work_in
        # Never longer than asked for: the pause bounds how late a new withdrawal is seen.
        pause = self._plan.sleep_seconds * self._random.uniform(0.5, 1.0)
        return pause if coming is None else min(pause, coming.total_seconds())

    # --- Cycles ----------------------------------------------------------------------------------

    def _end_cycle_if_over(self) -> None:
        """In a loop, count anew. With the limit used up the next cycle begins while the last calls
        of this one still run, and their results are counted there."""
        if not self._plan.loop or self._stopping:
            return
        idle = self._drained and self._looked and not self._in_hand
        if idle or self._budget < 1:
            self._report_cycle()

    def _report_cycle(self) -> None:
        self._summary.paused = bool(self._halted_reason)
        self._on_cycle(self._summary)
        self._summary = Summary()
        self._budget = self._plan.limit
        self._looked = False

    # --- Stopping --------------------------------------------------------------------------------

    def _begin_stopping(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        logger.info("executor stopping", extra={"worker": str(self.worker)})
        self._hand_back(self._callers.hold())

    # --- The database ----------------------------------------------------------------------------

    def _database_may_be_tried(self) -> bool:
        return time.monotonic() >= self._database_back_at

    def _with_database(self, work: Callable[[], T]) -> T | None:
        """Do ``work``; when the database is in trouble, note it and return ``None``."""
        try:
            result = work()
        except _DATABASE_TROUBLE as error:
            self._note_trouble(error)
            return None
        self._database_lost_at = None
        self._database_tries = 0
        return result

    def _note_trouble(self, error: Exception) -> None:
        now = time.monotonic()
        if self._database_lost_at is None:
            self._database_lost_at = now
        self._database_tries += 1
        most = min(_DATABASE_WAIT_MOST, 0.05 * 2**self._database_tries)
        self._database_back_at = now + self._random.uniform(0, most)
        logger.warning(
            "database trouble, trying again: %s",
            str(error).strip(),
            extra={"worker": str(self.worker)},
        )
        connection.close()
        waits_for_ever = self._plan.loop and not self._stopping
        if not waits_for_ever and now - self._database_lost_at > self._lease_seconds:
            raise DatabaseLost from error


def _finding(item: InHand, outcome: Outcome) -> Finding:
    return Finding(
        health=outcome.health,
        retry_after=outcome.retry_after,
        extra_requests=max(0, len(outcome.records) - 1),
        probe=item.claimed.probe,
    )


def _unsent() -> Outcome:
    return Outcome(
        verdict=Verdict.HANDED_BACK,
        reason="unsent",
        reference=None,
        may_have_arrived=False,
        proof=CallKind.TRANSFER,
        alarm=None,
        retry_after=None,
        health=BankHealth.UNTRIED,
        records=(),
    )
