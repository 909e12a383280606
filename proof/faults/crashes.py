"""Executors that die again and again."""

import time

from proof.crash_matrix import KILLED
from proof.faults.stage import Counts, Stage, fault
from proof.harness.processes import PATIENCE_SECONDS, Process, ProofError
from proof.harness.world import World

_EXECUTORS = 3
CRASH_POINTS = (
    *("before_claim_commit", "claim_committed", "before_send", "after_send", "answer_in_memory"),
    *("before_settle_commit", "settle_committed", "in_renewal", "in_reclaim", "in_inquiry"),
)
# The most a point is passed before it kills, where it is passed often.
_MOST_PASSES = 20


@fault(1, "kill -9 at each crash point, three executors")
def crash_everywhere(stage: Stage) -> Counts:
    """Each point once and more, in an order and at passes drawn from the seed."""
    chance = stage.random()
    count = stage.size(240, 10_000)
    with stage.world(latency_ms=20) as here:
        wallets = here.wallets([1_000_000] * 10)
        here.due_in([(chance.choice(wallets), chance.randint(100, 150)) for _ in range(count)])
        for amount, misdeed in (
            (101, "failed_503"),
            (102, "reset_after_pay"),
            (103, "reset_before_pay"),
            (104, "garbage_body"),
        ):
            here.bank.misbehave(misdeed, match={"amount": amount})
        here.bank.misbehave("reset_after_pay", match={"amount": 105}, probability=0.5)
        orders = [
            f"{point}:{chance.randint(1, _MOST_PASSES if point.endswith('_send') else 2)}"
            for point in CRASH_POINTS * stage.size(1, 6)
        ]
        chance.shuffle(orders)
        crashes = _die_in_turns(here, orders)
        here.drain(executors=_EXECUTORS, concurrency=8, seconds=PATIENCE_SECONDS * 5)
        books = here.check(audit=True)
        return {
            "withdrawals": count,
            "crashes": crashes,
            "succeeded": books.count("SUCCEEDED"),
            "failed": books.count("FAILED"),
        }


def _die_in_turns(here: World, orders: list[str]) -> int:
    """Keep three executors going, each with an order to die, until the orders are used up."""
    running: list[Process] = []
    crashes = 0
    end = time.monotonic() + PATIENCE_SECONDS * 5
    while (orders or running) and here.open_count():
        if time.monotonic() > end:
            raise ProofError("the executors neither died nor finished")
        for one in [one for one in running if one.code is not None]:
            here.expect(one.code in (0, KILLED), f"ended with {one.code}:\n{one.errors()}")
            crashes += one.code == KILLED
            running.remove(one)
        while orders and len(running) < _EXECUTORS:
            running.append(here.executor(crash_at=orders.pop(), concurrency=8))
        time.sleep(0.05)
    for one in running:
        one.end()
    return crashes
