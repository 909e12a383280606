"""Hosts whose clocks disagree."""

from pathlib import Path

from proof.faults.stage import Counts, Stage, fault

_SKEWED = Path(__file__).resolve().parents[1] / "harness" / "skewed_clock"


@fault(17, "the hosts' clocks are ten minutes apart")
def clocks_apart(stage: Stage) -> Counts:
    """Leases and due times are the database's: an executor's own clock decides nothing."""
    count = stage.size(40, 2_000)
    with stage.world(latency_ms=30) as here:
        wallets = here.wallets([10_000] * 4)
        due = here.due_in([(wallets[n % 4], 100 + n % 4) for n in range(count)])
        later = here.due(wallets[0], [50])
        # Due in five minutes: for the executor that is ahead it would have been five minutes ago.
        here.database.execute(
            "UPDATE wallets_transaction SET execute_at = now() + interval '5 minutes'"
            " WHERE id = %s",
            later[0].id,
        )
        here.bank.misbehave("reset_after_pay", match={"amount": 101}, probability=0.3)
        here.bank.misbehave("failed_200", match={"amount": 102})
        here.bank.misbehave("throttle_429", "Thu, 01 Jan 2099 00:00:00 GMT", times=3)
        fleet = [
            here.executor(settings={"PYTHONPATH": str(_SKEWED), "SKEW_SECONDS": skew})
            for skew in ("-600", "0", "600")
        ]
        here.until_done()
        for executor in fleet:
            here.expect(executor.end() == 0, executor.errors())
        here.expect(here.statuses(later) == {"SCHEDULED"}, "a withdrawal was paid before its time")
        here.expect("+10 minutes" in fleet[2].output(), "the clocks were not skewed")
        here.database.execute(
            "UPDATE wallets_transaction SET execute_at = now() WHERE id = %s", later[0].id
        )
        here.drain()
        here.check()
        (reclaimed,) = here.database.rows(
            "SELECT count(*) FROM wallets_statuschange WHERE reason = 'lease_lapsed'"
        )[0]
        here.expect(reclaimed == 0, f"{reclaimed} leases were taken from executors that lived")
        return {"withdrawals": len(due) + 1, "executors": 3}
