"""A bank that asks everybody to wait, or is at it already."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from proof.faults.stage import Counts, Stage, fault


@fault(5, "a storm of 429 with Retry-After 0, 1, 3600, a date, garbage")
def storm_of_429(stage: Stage) -> Counts:
    """Nobody loses the payment for it, and the longest pause is capped."""
    count = stage.size(30, 1_000)
    each = stage.size(5, 100)
    with stage.world(BANK_RETRY_AFTER_CAP_SECONDS="0.5") as here:
        due = here.due(here.wallet(10**9), [100] * count)
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)
        for retry_after in ("0", "1", "3600", soon, "soon, we hope"):
            here.bank.misbehave("throttle_429", retry_after, times=each)
        took = here.drain(executors=stage.size(1, 3), concurrency=8)
        here.expect(here.statuses(due) == {"SUCCEEDED"}, "a 429 cost somebody a payment")
        here.check()
        asked = here.bank.transfers_asked()
        here.expect(asked.total() >= count + 5 * each, "the storm did not happen")
        return {"withdrawals": count, "throttled": 5 * each, "drained_in_ms": round(took * 1000)}


@fault(12, "409 for a while, then success; 409 and 422 for another body")
def conflicts(stage: Stage) -> Counts:
    """A conflict is no answer: the first request may still be at work."""
    each = stage.size(3, 50)
    at_work = 1.5 if not stage.full else 30.0
    with stage.world(BANK_NOT_FOUND_GRACE_SECONDS=str(at_work + 3)) as here:
        wallet = here.wallet(10**9)
        busy = here.due(wallet, [100] * each)
        for one in busy:
            here.bank.misbehave("late_landing", at_work, match={"key": one.key}, times=1)
        here.bank.misbehave("status", _conflict(409, "in_progress"), match={"amount": 100})
        other_409 = here.due(wallet, [101] * each)
        other_422 = here.due(wallet, [102] * each)
        reused = "idempotency_key_reused"
        here.bank.misbehave("status", _conflict(409, reused), match={"amount": 101})
        here.bank.misbehave("status", _conflict(422, reused), match={"amount": 102})
        started = time.monotonic()
        here.drain(concurrency=3 * each, seconds=at_work + 60)
        here.expect(here.statuses(busy) == {"SUCCEEDED"}, "a conflict cost somebody a payment")
        here.expect(here.statuses(other_409 + other_422) == {"FAILED"}, "what was never paid stays")
        here.expect(time.monotonic() - started >= at_work + 3, "refunded before the grace")
        here.check()
        alarms = here.log().count('"alarm": "key_reused"')
        here.expect(alarms >= 2 * each, "a reused key raised no alarm")
        return {"withdrawals": 3 * each, "alarms": alarms}


def _conflict(code: int, word: str) -> dict[str, object]:
    return {"code": code, "body": {"data": "conflict", "status": code, "code": word}}
