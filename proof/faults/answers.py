"""Answers that cannot be read or believed."""

from proof.faults.stage import Counts, Stage, fault

_UNREADABLE: tuple[tuple[str, object], ...] = (
    ("garbage_body", None),
    ("empty_body", None),
    ("truncated_body", None),
    ("huge_body", None),
    ("trickle_body", 0.05),
    ("trickle_headers", 0.05),
    ("wrong_amount", None),
    ("wrong_key", None),
    ("wrong_currency", None),
    ("pending", 0.3),
    ("unknown_word", None),
)


@fault(9, "200 with HTML, empty, truncated, huge, trickled, wrong amount or key, pending, nonsense")
def unbelievable_answers(stage: Stage) -> Counts:
    each = stage.size(2, 50)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        paid = []
        for number, (misdeed, arg) in enumerate(_UNREADABLE):
            paid += here.due(wallet, [100 + number] * each)
            here.bank.misbehave(misdeed, arg, match={"amount": 100 + number})
        refused = here.due(wallet, [99] * each)
        here.bank.misbehave("pending_then_failed", 0.3, match={"amount": 99})
        here.drain(concurrency=16, seconds=120)
        here.expect(here.statuses(paid) == {"SUCCEEDED"}, "a payment was not recognised")
        here.expect(here.statuses(refused) == {"FAILED"}, "a late refusal was not recognised")
        here.check()
        return {"withdrawals": len(paid) + len(refused), "kinds": len(_UNREADABLE) + 1}


@fault(10, "302 to a page that says success")
def redirected_to_success(stage: Stage) -> Counts:
    each = stage.size(4, 100)
    with stage.world() as here:
        wallet = here.wallet(10**9)
        never = here.due(wallet, [100] * each)
        here.bank.misbehave("redirect_302", match={"amount": 100})
        once = here.due(wallet, [101] * each)
        for one in once:
            here.bank.misbehave("redirect_302", match={"key": one.key}, times=1)
        here.drain(concurrency=2 * each)
        here.expect(here.statuses(never) == {"FAILED"}, "a page was taken for a payment")
        here.expect(here.statuses(once) == {"SUCCEEDED"}, "the second try was not made")
        here.check()
        return {"withdrawals": 2 * each}


@fault(11, "a replay gives another reference")
def another_reference(stage: Stage) -> Counts:
    each = stage.size(6, 100)
    with stage.world() as here:
        due = here.due(here.wallet(10**9), [100] * each)
        for one in due:
            here.bank.misbehave("reset_after_pay", match={"key": one.key}, times=1)
        here.bank.misbehave("other_reference")
        here.drain(concurrency=each)
        here.expect(here.statuses(due) == {"SUCCEEDED"}, "a payment was not recognised")
        books = here.check(references_change=True)
        references = {payment.reference for payment in books.payments}
        differ = sum(row.reference not in references for row in books.withdrawals)
        here.expect(differ > 0, "no replay was answered with another reference")
        return {"withdrawals": each, "other_references": differ}
