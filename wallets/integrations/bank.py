"""The bank, as the executor's threads see it."""

import logging
import random
import time
from collections.abc import Callable

from wallets.domain.outcomes import (
    Observation,
    Outcome,
    Transfer,
    Verdict,
    classify,
    judge_inquiry,
    judge_transfer,
    may_retry,
    may_send_again,
)
from wallets.integrations.backoff import full_jitter
from wallets.integrations.config import BankConfig
from wallets.integrations.http import BankTransport

logger = logging.getLogger("wallets.bank")


class BankGateway:
    """Owned by one thread, as is its connection.

    Neither call raises for anything the network or the bank does.
    """

    def __init__(
        self,
        config: BankConfig,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        # The system's source has no state to share between threads or to copy in a fork.
        self._rng = rng or random.SystemRandom()
        self._sleep = sleep
        self._transport = BankTransport(config)

    def transfer(
        self, transfer: Transfer, *, maybe_sent: bool, may_send: Callable[[], bool]
    ) -> Outcome:
        """Ask the bank to pay, again with the same bytes where that is safe.

        ``maybe_sent``: an earlier call may have reached the bank. ``may_send`` is asked before each
        send; once it says no, nothing more leaves.
        """
        tries: list[Observation] = []
        cut_short = False
        if may_send_again(maybe_sent=maybe_sent, idempotency=self._config.idempotency):
            cut_short = not self._try(tries, transfer, may_send)
        outcome = judge_transfer(
            tries,
            transfer=transfer,
            maybe_sent=maybe_sent,
            idempotency=self._config.idempotency,
            inquiry_configured=self._config.inquiry_configured,
            cut_short=cut_short,
        )
        _log(transfer, outcome)
        return outcome

    def inquire(self, transfer: Transfer, *, seconds_since_last_send: float | None) -> Outcome:
        """Ask once what became of a key; only where an inquiry path is configured."""
        observation = self._transport.send_inquiry(transfer)
        outcome = judge_inquiry(
            observation,
            transfer=transfer,
            idempotency=self._config.idempotency,
            seconds_since_last_send=seconds_since_last_send,
            not_found_grace=self._config.not_found_grace,
        )
        _log(transfer, outcome)
        return outcome

    def close(self) -> None:
        self._transport.close()

    def _try(
        self, tries: list[Observation], transfer: Transfer, may_send: Callable[[], bool]
    ) -> bool:
        """Fill ``tries``; False when told to stop before they were used up."""
        while may_send():
            observation = self._transport.send_transfer(transfer)
            tries.append(observation)
            tries_left = self._config.retry_count + 1 - len(tries)
            finding = classify(observation, transfer)
            if not may_retry(finding, tries_left, self._config.idempotency):
                return True
            pause = self._pause(len(tries), observation.retry_after)
            if pause is None:
                return True
            self._sleep(pause)
        return False

    def _pause(self, failed_tries: int, retry_after: float | None) -> float | None:
        """Seconds until the next try; None when the bank asks for longer than a call may wait."""
        cap = self._config.backoff_cap
        jitter = full_jitter(failed_tries, base=self._config.backoff_base, cap=cap, rng=self._rng)
        if retry_after is None:
            return jitter
        if retry_after > cap:
            return None
        # Never before the bank's moment, and not all of us at that very moment either.
        return min(retry_after + jitter, cap)


def _log(transfer: Transfer, outcome: Outcome) -> None:
    if outcome.alarm:
        level = logging.ERROR
    elif outcome.verdict is Verdict.IN_DOUBT:
        level = logging.WARNING
    elif outcome.verdict is Verdict.PAID:
        # The settlement says so too; a thousand lines a second here would say nothing new.
        level = logging.DEBUG
    else:
        level = logging.INFO
    if not logger.isEnabledFor(level):
        return
    last = outcome.records[-1] if outcome.records else None
    logger.log(
        level,
        "bank %s: %s (%s)",
        outcome.proof,
        outcome.verdict,
        outcome.reason,
        extra={
            "idempotency_key": transfer.idempotency_key,
            "verdict": outcome.verdict.value,
            "reason": outcome.reason,
            "alarm": outcome.alarm,
            "health": outcome.health.value,
            "tries": len(outcome.records),
            "http_status": last.http_status if last else None,
            "duration_ms": sum(record.duration_ms for record in outcome.records),
            "may_have_arrived": outcome.may_have_arrived,
            "retry_after": outcome.retry_after,
        },
    )
