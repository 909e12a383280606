"""Executors that stand still, or are asked to leave at any moment."""

import signal
import time

from proof.faults.stage import Counts, Stage, fault
from proof.harness.processes import until
from proof.harness.world import World

_LEASE = 1.5  # seconds, as in the quick settings
_STANDS_STILL_AT = (
    "before_send",
    "after_send",
    "answer_in_memory",
    "before_settle_commit",
    "before_claim_commit",
)
_LEAVES_AT = (
    "before_claim_commit",
    "claim_committed",
    "before_send",
    "after_send",
    "answer_in_memory",
    "before_settle_commit",
    "settle_committed",
    "in_renewal",
)


@fault(13, "SIGSTOP for three leases, then SIGCONT, with an answer in hand and without")
def stopped_for_three_leases(stage: Stage) -> Counts:
    """One stands still inside each kind of transaction, with its locks: the database ends that."""
    count = stage.size(40, 1_000)
    with stage.world(latency_ms=50, DB_IDLE_TRANSACTION_TIMEOUT_MS="1000") as here:
        wallets = here.wallets([10**6] * 5)
        due = here.due_in([(wallets[n % 5], 100 + n % 3) for n in range(count)])
        here.bank.misbehave("failed_200", match={"amount": 101})
        here.bank.misbehave("reset_after_pay", match={"amount": 102}, probability=0.5)
        still = []
        for point in _STANDS_STILL_AT:
            one = here.executor(crash_at=f"{point}=stop", concurrency=2)
            until(f"it stands still at {point}", one.is_stopped)
            still.append(one)
        stopped_at = time.monotonic()
        fresh = here.executor(concurrency=8)
        here.until_done()
        time.sleep(max(0.0, stopped_at + 3 * _LEASE - time.monotonic()))
        before = here.check(audit=False)
        for one in still:
            one.signal(signal.SIGCONT)
        time.sleep(0.5)
        for one in (*still, fresh):
            here.expect(one.end() == 0, f"ended with {one.code}:\n{one.errors()}")
        after = here.check()
        here.expect(before.statuses == after.statuses, "an end was changed afterwards")
        return {"withdrawals": len(due), "stood_still": len(still)}


@fault(18, "SIGTERM in each phase, and twice")
def asked_to_leave(stage: Stage) -> Counts:
    """The first lets it finish what it has, the second lets it go at once; both are safe."""
    with stage.world(latency_ms=250) as here:
        wallet = here.wallet(10**9)
        here.due(wallet, [100, 101, 102] * stage.size(16, 200))
        here.bank.misbehave("failed_200", match={"amount": 101})
        here.bank.misbehave("reset_after_pay", match={"amount": 102}, probability=0.5)
        leaving = [here.executor(crash_at=f"{p}=term", concurrency=2) for p in _LEAVES_AT]
        for point, one in zip(_LEAVES_AT, leaving, strict=True):
            here.expect(one.wait() == 0, f"asked at {point} it ended with {one.code}")
        held = here.database.rows(
            "SELECT id FROM wallets_transaction WHERE lease_owner IS NOT NULL"
        )
        here.expect(not held, f"{len(held)} withdrawals were left to their leases")
        hurried = _hurry(here)
        here.drain(concurrency=8)
        books = here.check()
        return {
            "left_once": len(leaving),
            "left_twice": hurried,
            "withdrawals": len(books.withdrawals),
        }


def _hurry(here: World) -> int:
    """Two signals while the bank keeps the executor waiting."""
    here.due(here.wallet(1_000), [77, 77])
    here.bank.misbehave("hang_after_pay", match={"amount": 77}, times=2)
    started = here.executor(concurrency=16, settings={"BANK_TIMEOUT": "5", **_LONG_LEASE})
    asked = here.bank.transfers_asked().total()
    until("calls are on their way", lambda: here.bank.transfers_asked().total() >= asked + 2)
    started.signal(signal.SIGTERM)
    until("it heard the first", lambda: "executor stopping" in started.errors())
    here.expect(started.code is None, "it left with calls in flight after one signal")
    began = time.monotonic()
    started.signal(signal.SIGTERM)
    code = started.wait()
    here.expect(code == 128 + signal.SIGTERM, f"hurried, it ended with {code}")
    here.expect(time.monotonic() - began < 2, "hurried, it took its time")
    # Nobody need wait for the long lease of this one.
    here.database.execute(
        "UPDATE wallets_transaction SET lease_expires_at = now() WHERE lease_owner IS NOT NULL"
    )
    return 1


_LONG_LEASE = {"WITHDRAWAL_PROCESSING_STALE_SECONDS": "30"}
