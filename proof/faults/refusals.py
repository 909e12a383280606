"""Refusals that are not what they seem."""

import signal
import time
from itertools import product

from proof.faults.stage import Counts, Stage, fault
from proof.harness.bank import FAILED_BODY
from proof.harness.processes import until
from proof.harness.world import Due, World

_LANDS_AFTER = 6.0  # seconds: longer than the lease and the other's refusal

_SECOND_ANSWERS = {
    "429": ("throttle_429", "0"),
    "401": ("status", {"code": 401}),
    "400": ("status", {"code": 400, "body": FAILED_BODY | {"status": 400}}),
    "failed": ("status", {"code": 200, "body": FAILED_BODY}),
    "failed_503": ("status", {"code": 503, "body": FAILED_BODY}),
}


@fault(6, "the first try times out, the second gets 429, 401, 400 or failed")
def refused_after_a_timeout(stage: Stage) -> Counts:
    """Whether the first try was paid or not, the second answer decides nothing by itself."""
    each = stage.size(1, 20)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        paid: list[Due] = []
        unpaid: list[Due] = []
        for first, (misdeed, arg) in product(("hang_after_pay", "hang"), _SECOND_ANSWERS.values()):
            group = here.due(wallet, [100] * each)
            for one in group:
                here.bank.misbehave(first, match={"key": one.key}, times=1)
                here.bank.misbehave(misdeed, arg, match={"key": one.key}, times=1)
            (paid if first == "hang_after_pay" else unpaid).extend(group)
        here.drain(concurrency=len(paid) + len(unpaid))
        here.expect(here.statuses(paid) == {"SUCCEEDED"}, "a payment was given back")
        books = here.check()
        return {
            "withdrawals": len(paid) + len(unpaid),
            "succeeded": books.count("SUCCEEDED"),
            "failed": books.count("FAILED"),
        }


@fault(7, "refusals do not stick: one executor is refused while a stalled one holds the request")
def refusals_that_do_not_stick(stage: Stage) -> Counts:
    with stage.world(
        BANK_IDEMPOTENCY="success_only",
        # One try: a second one would not be refused.
        BANK_RETRY_COUNT="0",
        BANK_NOT_FOUND_GRACE_SECONDS="60",
    ) as here:
        wallet = here.wallet(1_000)
        held = here.due(wallet, [100, 100])
        here.bank.misbehave("refusals_forgotten")
        for one in held:
            here.bank.misbehave("late_landing", _LANDS_AFTER, match={"key": one.key}, times=1)
        here.bank.misbehave("failed_200")
        stalled = here.executor(crash_at="after_send:2=stop", concurrency=2)
        until("it stalled with its requests under way", stalled.is_stopped)
        other = here.executor(concurrency=2)
        until("the other was refused both", lambda: _in_doubt(here) == 2)
        unsent = here.due(wallet, [100])
        here.until_done()
        stalled.signal(signal.SIGCONT)
        time.sleep(0.3)
        for executor in (stalled, other):
            here.expect(executor.end() == 0, executor.errors())
        here.expect(here.statuses(held) == {"SUCCEEDED"}, "paid after a refusal, and refunded")
        here.expect(here.statuses(unsent) == {"FAILED"}, "a first refusal did not count")
        here.check()
        return {"withdrawals": 3, "paid_after_a_refusal": 2}


@fault(8, "503 after the payment was made")
def unavailable_after_paying(stage: Stage) -> Counts:
    """After an earlier try that may have arrived it is in doubt. A first try is taken at its word,
    as the contract with the bank says; the bank's statement finds the lie."""
    each = stage.size(3, 100)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        doubtful = here.due(wallet, [100] * each)
        for one in doubtful:
            here.bank.misbehave("hang_after_pay", match={"key": one.key}, times=1)
        here.bank.misbehave("503_after_pay", match={"amount": 100})
        lied = here.due(wallet, [101] * each)
        here.bank.misbehave("503_after_pay", match={"amount": 101})
        here.drain(concurrency=2 * each)
        here.expect(here.statuses(doubtful) == {"SUCCEEDED"}, "a payment in doubt was given back")
        here.expect(here.statuses(lied) == {"FAILED"}, "the contract's 503 did not refund")
        here.check(lied_about=lied)
        statement = here.bank.statement(here.directory / "statement.csv")
        found = here.manage("reconcile_bank_statement", str(statement))
        here.expect(found.code != 0, "the statement agreed with a refund of what was paid")
        for one in lied:
            here.expect(one.key in found.output(), f"{one.key} is not named:\n{found.output()}")
        return {"withdrawals": 2 * each, "found_by_statement": each}


def _in_doubt(here: World) -> int:
    return sum(row.in_doubt for row in here.books().withdrawals)
