"""A bank that is away, or that will not know us, for a long time."""

import time

from proof.faults.stage import Counts, Stage, fault
from proof.harness.processes import until
from proof.harness.world import World


@fault(19, "wrong credentials for a long time: nothing refunded, nothing debited, full drain after")
def wrong_credentials(stage: Stage) -> Counts:
    """With a cooldown of 0.3 s the time the issue asks for, ten minutes, is that of 20 probes."""
    count = stage.size(40, 2_000)
    with stage.world(BANK_BREAKER_COOLDOWN_SECONDS="0.3") as here:
        due = here.due(here.wallet(10**9), [100] * count)
        here.bank.misbehave("status", {"code": 401})
        fleet = [here.executor() for _ in range(2)]
        until("the breaker is open", lambda: _breaker(here) != "CLOSED")
        time.sleep(0.3)
        debited = _debited(here)
        time.sleep(stage.size(2, 20))
        here.expect(_debited(here) == debited, "something was debited with the breaker open")
        # Two executors, each with three times its four threads in hand at the most.
        here.expect(debited <= 2 * 12, f"{debited} were debited before the breaker opened")
        counts = here.status_counts()
        here.expect(counts.keys() <= {"SCHEDULED", "PROCESSING"}, f"some ended: {counts}")
        here.bank.behave()
        here.until_done(seconds=120)
        for executor in fleet:
            here.expect(executor.end() == 0, executor.errors())
        here.expect(here.statuses(due) == {"SUCCEEDED"}, "not all were paid in the end")
        here.check()
        return {"withdrawals": count, "debited_meanwhile": debited}


@fault(20, "key retention passes during an outage: no replay, operator queue, statement settles")
def keys_forgotten(stage: Stage) -> Counts:
    each = stage.size(3, 100)
    with stage.world(
        BANK_INQUIRY_PATH="", BANK_KEY_RETENTION_SECONDS="3", BANK_RETRY_COUNT="0"
    ) as here:
        wallet = here.wallet(10**9)
        paid = here.due(wallet, [100] * each)
        unpaid = here.due(wallet, [101] * each)
        here.bank.misbehave("hang_after_pay", match={"amount": 100})
        here.bank.misbehave("hang", match={"amount": 101})
        executor = here.executor(concurrency=2 * each)
        until("all were sent", lambda: len(here.bank.transfers_asked()) == 2 * each)
        until("all are in doubt", lambda: _in_doubt(here) == 2 * each)
        here.bank.kill()
        time.sleep(3.5)
        here.bank.start()
        time.sleep(1.5)
        here.expect(not here.bank.transfers_asked(), "a key was sent after the bank forgot it")
        here.expect(executor.end() == 0, executor.errors())
        here.check(waiting=paid + unpaid, audit=False)
        _import_statement(here)
        here.expect(here.statuses(paid) == {"SUCCEEDED"}, "the statement did not settle")
        for one in unpaid:
            resolved = here.manage(
                *("resolve_withdrawal", str(one.id), "--not-paid"),
                *("--reason", "not on the statement"),
                settings={"RESOLVE_REQUIRES_TWO": "False"},
            )
            here.expect(resolved.code == 0, resolved.output() + resolved.errors())
        here.expect(here.statuses(unpaid) == {"FAILED"}, "the operator's word did not count")
        here.check(audit=True)
        return {"settled_by_statement": each, "settled_by_operator": each}


def _import_statement(here: World) -> None:
    statement = here.bank.statement(here.directory / "statement.csv")
    looked = here.manage("reconcile_bank_statement", str(statement))
    here.expect(looked.code is not None, "it did not end")
    applied = here.manage("reconcile_bank_statement", str(statement), "--apply")
    here.expect(applied.code == 0, applied.output() + applied.errors())


def _breaker(here: World) -> str:
    gates = here.database.rows("SELECT breaker FROM wallets_bankgate")
    return str(gates[0][0]) if gates else "CLOSED"


def _debited(here: World) -> int:
    return int(
        here.database.rows(
            "SELECT count(*) FROM wallets_ledgerentry WHERE debit_account = 'WALLET'"
        )[0][0]
    )


def _in_doubt(here: World) -> int:
    return int(
        here.database.rows(
            "SELECT count(*) FROM wallets_transaction WHERE in_doubt_since IS NOT NULL"
        )[0][0]
    )
