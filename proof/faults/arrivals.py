"""Requests and answers that get lost or come late."""

import time

from proof.crash_matrix import KILLED
from proof.faults.stage import Counts, Stage, fault

_LANDS_AFTER = 2.5  # seconds


@fault(2, "the bank pays, the answer is lost")
def answer_lost(stage: Stage) -> Counts:
    """Once, so that a replay is answered, and always, so that only an inquiry can tell."""
    each = stage.size(3, 100)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        kinds = ("reset_after_pay", "close_after_pay", "hang_after_pay", "truncated_body")
        due = []
        for number, kind in enumerate(kinds):
            once = here.due(wallet, [100 + number] * each)
            always = here.due(wallet, [200 + number] * each)
            for one in once:
                here.bank.misbehave(kind, match={"key": one.key}, times=1)
            here.bank.misbehave(kind, match={"amount": 200 + number})
            due += once + always
        here.drain(concurrency=8)
        here.expect(here.statuses(due) == {"SUCCEEDED"}, "a payment was not recognised")
        here.check()
        asked = here.bank.transfers_asked()
        here.expect(min(asked.values()) >= 2, "no key was replayed")
        return {"withdrawals": len(due), "transfers_sent": asked.total()}


@fault(3, "a request is delayed past the timeout and lands after reclaim and replay")
def lands_after_replay(stage: Stage) -> Counts:
    each = stage.size(4, 100)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        crashed = here.due(wallet, [100] * each)
        for one in crashed:
            here.bank.misbehave("late_landing", _LANDS_AFTER, match={"key": one.key}, times=1)
        # All are on their way to the bank when their executor dies.
        dies = here.executor(crash_at=f"after_send:{each}", concurrency=each)
        here.expect(dies.wait() == KILLED, dies.errors())
        sent_at = time.monotonic()
        # These are overtaken by a replay of the executor that sent them.
        overtaken = here.due(wallet, [101] * each)
        for one in overtaken:
            here.bank.misbehave("late_landing", 1.0, match={"key": one.key}, times=1)
        here.drain(concurrency=8)
        time.sleep(max(0.0, sent_at + _LANDS_AFTER + 0.5 - time.monotonic()))
        here.expect(here.statuses(crashed + overtaken) == {"SUCCEEDED"}, "not all were paid")
        here.check()
        asked = here.bank.transfers_asked()
        here.expect(min(asked.values()) >= 2, "some key was never replayed")
        return {"withdrawals": 2 * each, "transfers_sent": asked.total()}


@fault(4, 'a request is delayed past a "not found"')
def lands_after_not_found(stage: Stage) -> Counts:
    """ "Not found" counts only after the grace, which is longer than any request may travel."""
    each = stage.size(4, 100)
    with stage.world(
        BANK_RETRY_COUNT="0",
        BANK_NOT_FOUND_GRACE_SECONDS="4",
        BANK_KEY_RETENTION_SECONDS="3600",
    ) as here:
        wallet = here.wallet(10**9)
        late = here.due(wallet, [100] * each)
        here.bank.misbehave("late_landing", 1.5, match={"amount": 100})
        never = here.due(wallet, [101] * each)
        here.bank.misbehave("hang", match={"amount": 101})
        here.drain(concurrency=2 * each)
        here.expect(here.statuses(late) == {"SUCCEEDED"}, "a late payment was not recognised")
        here.expect(here.statuses(never) == {"FAILED"}, "what never arrived was not refunded")
        here.check()
        (denied,) = here.database.rows(
            "SELECT count(DISTINCT transaction_id) FROM wallets_bankcall"
            " WHERE kind = 'inquiry' AND verdict = 'not_found' AND transaction_id >= %s"
            " AND transaction_id <= %s",
            late[0].id,
            late[-1].id,
        )[0]
        here.expect(denied > 0, "the bank never denied a payment that came later")
        return {"withdrawals": 2 * each, "denied_then_paid": denied}
